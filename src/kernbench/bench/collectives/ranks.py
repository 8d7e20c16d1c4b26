"""The ranks that take part, on their machine; and its data sheet."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cached_property
from itertools import islice
from math import isqrt, prod

from kernbench.bench.collectives.request import Request
from kernbench.ccl.algorithm import ALGORITHMS
from kernbench.components.pe.pe_math import lanes_for
from kernbench.config.schema import Config, TopologySpec
from kernbench.dtypes import float32
from kernbench.errors import UsageError
from kernbench.theory.group import group_of
from kernbench.theory.ideal import IdealModel, Way
from kernbench.topology.builder import build_graph
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.ids import PeId
from kernbench.topology.levels import count_of, levels_of, parts_of
from kernbench.topology.routes import Routes
from kernbench.units import PS_PER_NS, ceil_div
from kernbench.wording import plural

MOST_RANKS = 8192  # of theory, on a machine that is smaller


class Ranks:
    """The PEs that serve as the ranks of a request, on their machine with its routes, which are made when asked for.

    Theory alone has room for more ranks than the machine has PEs: ``config`` is then that of a larger one.
    """

    def __init__(self, config: Config, request: Request) -> None:
        n_pes = count_of(levels_of(config.topology))
        n_ranks = _n_ranks(config, request, n_pes)
        self.n_machine_pes = n_pes
        self.config = config if n_ranks <= n_pes else _enlarged(config, n_ranks)
        self.pes = tuple(range(n_ranks))
        places = islice(parts_of(levels_of(self.config.topology)), n_ranks)
        self.group = group_of(self.config.topology, [PeId._make(at) for at in places], self.pes)
        if not 0 <= request.root < n_ranks:
            raise UsageError(f"-r {request.root}: ranks are 0..{n_ranks - 1}; name one of them")

    @cached_property
    def graph(self) -> TopologyGraph:
        """The machine."""
        return build_graph(self.config.topology)

    @cached_property
    def routes(self) -> Routes:
        """The ways through it."""
        return Routes(self.graph)

    @cached_property
    def data_sheet(self) -> IdealModel:
        """What the machine's links and engines take, as the model of closed forms."""
        return data_sheet(self.config.topology)

    def model_of(self, name: str) -> IdealModel:
        """The data sheet as the model of closed forms, for an algorithm."""
        return self.data_sheet._replace(is_crossbar=ALGORITHMS[name].is_crossbar)

    def machine_model_of(self, name: str, pairs: Iterable[tuple[int, int]]) -> IdealModel:
        """The model of the machine itself: for ``pairs`` of ranks, their route's latency and slowest link.

        Where all are alike, it is a model of one link, for which closed forms hold.
        """
        nodes, model = [self.graph.niu_of(pe) for pe in self.pes], self.model_of(name)
        ways = {pair: self._way(*(nodes[rank] for rank in pair)) for pair in sorted(pairs)}
        if not ways:
            return model
        beta = min(way.beta for way in ways.values())
        alphas = {way.alpha for way in ways.values()}
        if len(set(ways.values())) == 1:
            return model._replace(alpha=alphas.pop(), beta=beta)
        return model._replace(beta=beta, ways=ways)

    def _way(self, src: int, dst: int) -> Way:
        slowest = self.routes.bottleneck(src, dst)
        return Way(Fraction(self.routes.latency_ps(src, dst)), PS_PER_NS / slowest.fraction)


def _n_ranks(config: Config, request: Request, n_pes: int) -> int:
    """How many ranks are asked for: of a machine no more than its PEs, of theory up to :data:`MOST_RANKS`."""
    asked = request.n_ranks
    if asked is None:
        settings = config.ccl.algorithms.get(request.algorithm or "")
        return (settings and settings.world_size) or levels_of(config.topology)[-1].count
    most = max(n_pes, MOST_RANKS) if request.is_oracle else n_pes
    if 1 <= asked <= most:
        return asked
    whose = (
        f"theory has room for {most:,} ranks" if most > n_pes else f"the machine has {plural(n_pes, 'PE')}"
    )
    raise UsageError(f"--ranks {asked}: {whose}; give 1 to {most}")


def _enlarged(config: Config, n_ranks: int) -> Config:
    """A configuration of a machine with as many SIPs as ``n_ranks`` fill, in a grid as square as can be."""
    spec = config.topology
    n_sips = ceil_div(n_ranks, count_of(levels_of(spec)[1:]))
    rows = max(n for n in range(1, isqrt(n_sips) + 1) if n_sips % n == 0)
    return config.model_copy(update={"topology": _with_sips(spec, (n_sips // rows, rows))})


def _with_sips(spec: TopologySpec, grid: tuple[int, int]) -> TopologySpec:
    sips = spec.system.sips.model_copy(update={"count": prod(grid), "grid": grid})
    return spec.model_copy(update={"system": spec.system.model_copy(update={"sips": sips})})


def data_sheet(spec: TopologySpec) -> IdealModel:
    """A machine as a model: the latency of a route between neighbours, a mesh link's rate, PE_MATH's fp32 additions."""
    math = spec.pe.math
    bytes_per_cycle = lanes_for(float32, math.lanes) * Fraction(math.rate["add"]) * float32.size_bytes
    return IdealModel(
        alpha=Fraction(_neighbours_ps(spec)),
        beta=PS_PER_NS / spec.cube.noc.link_rate.fraction,
        gamma=Fraction(1_000_000, spec.pe.clock_mhz) / bytes_per_cycle,
    )


def _neighbours_ps(spec: TopologySpec) -> int:
    """Latency from PE 0 to PE 1, 0 if there is one PE: a route that does not leave the first SIP, or the first two."""
    levels = levels_of(spec)
    n_sips = min(levels[0].count, 1 if count_of(levels[1:]) > 1 else 2)
    beyond = tuple(f"{levels[0].name}{i}." for i in range(n_sips, levels[0].count))
    kept = {
        name: changes
        for name, changes in spec.overrides.items()
        if not any(end.startswith(beyond) for end in name.split("->"))
    }
    near = spec if not beyond else _with_sips(spec.model_copy(update={"overrides": kept}), (n_sips, 1))
    graph = build_graph(near)
    return Routes(graph).latency_ps(graph.niu_of(0), graph.niu_of(1)) if graph.n_pes > 1 else 0
