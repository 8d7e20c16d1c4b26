"""The ranks that take part, on their machine; and its data sheet."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from kernbench.bench.collectives.request import Request
from kernbench.ccl.algorithm import ALGORITHMS
from kernbench.components.pe.pe_math import lanes_for
from kernbench.config.schema import Config
from kernbench.dtypes import float32
from kernbench.errors import UsageError
from kernbench.theory.group import group_of
from kernbench.theory.ideal import IdealModel, Way
from kernbench.topology.builder import build_graph
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.routes import Routes
from kernbench.units import PS_PER_NS
from kernbench.wording import plural


class Ranks:
    """The PEs that serve as the ranks of a request, on their machine with its routes."""

    def __init__(self, config: Config, request: Request) -> None:
        self.config = config
        self.graph: TopologyGraph = build_graph(config.topology)
        self.routes = Routes(self.graph)
        self.pes = tuple(range(self._n_asked(request)))
        self.group = group_of(config.topology, self.graph.pes, self.pes)
        if not 0 <= request.root < len(self.pes):
            raise UsageError(f"-r {request.root}: ranks are 0..{len(self.pes) - 1}; name one of them")

    def _n_asked(self, request: Request) -> int:
        n_pes, asked = self.graph.n_pes, request.n_ranks
        if asked is None:
            settings = self.config.ccl.algorithms.get(request.algorithm or "")
            return (settings and settings.world_size) or self.graph.levels[-1].count
        if not 1 <= asked <= n_pes:
            raise UsageError(f"--ranks {asked}: the machine has {plural(n_pes, 'PE')}; give 1 to {n_pes}")
        return asked

    def model_of(self, name: str) -> IdealModel:
        """The machine's data sheet as the model of closed forms, for an algorithm."""
        return data_sheet(self.graph, self.routes, is_crossbar=ALGORITHMS[name].is_crossbar)

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


def data_sheet(graph: TopologyGraph, routes: Routes, *, is_crossbar: bool) -> IdealModel:
    """A machine as a model: the latency of a route between neighbours, a mesh link's rate, PE_MATH's fp32 additions."""
    spec = graph.spec
    neighbour = min(1, graph.n_pes - 1)
    alpha = routes.latency_ps(graph.niu_of(0), graph.niu_of(neighbour)) if neighbour else 0
    math = spec.pe.math
    bytes_per_cycle = lanes_for(float32, math.lanes) * Fraction(math.rate["add"]) * float32.size_bytes
    return IdealModel(
        alpha=Fraction(alpha),
        beta=PS_PER_NS / spec.cube.noc.link_rate.fraction,
        gamma=Fraction(1_000_000, spec.pe.clock_mhz) / bytes_per_cycle,
        is_crossbar=is_crossbar,
    )
