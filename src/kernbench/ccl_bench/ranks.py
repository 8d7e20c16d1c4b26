"""The ranks that take part, on their machine; and its data sheet."""

from __future__ import annotations

from fractions import Fraction

from kernbench.ccl.algorithm import ALGORITHMS, Group
from kernbench.ccl.wiring import coords_of
from kernbench.ccl_bench.request import Request
from kernbench.components.pe.pe_math import lanes_for
from kernbench.config.schema import Config
from kernbench.dtypes import float32
from kernbench.errors import UsageError
from kernbench.machine.ideal_machine import IdealModel
from kernbench.topology.builder import build_graph
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.routes import Routes


class Ranks:
    """The PEs that serve as the ranks of a request, on their machine with its routes."""

    def __init__(self, config: Config, request: Request) -> None:
        self.config = config
        self.graph: TopologyGraph = build_graph(config.topology)
        self.routes = Routes(self.graph)
        self.pes = tuple(range(self._n_asked(request)))
        names = tuple(self.graph.pes[pe] for pe in self.pes)
        self.group = Group(tuple(coords_of(config.topology, name) for name in names), names)
        if not 0 <= request.root < len(self.pes):
            raise UsageError(f"-r {request.root}: ranks are 0..{len(self.pes) - 1}; name one of them")

    def _n_asked(self, request: Request) -> int:
        n_pes, asked = self.graph.n_pes, request.n_ranks
        if asked is None:
            settings = self.config.ccl.algorithms.get(request.algorithm or "")
            return (settings and settings.world_size) or self.config.topology.cube.pes.count
        if not 1 <= asked <= n_pes:
            raise UsageError(f"--ranks {asked}: the machine has {n_pes} PEs; give 1 to {n_pes}")
        return asked

    def model_of(self, name: str) -> IdealModel:
        """The machine's data sheet as the model of closed forms, for an algorithm."""
        return data_sheet(self.graph, self.routes, is_crossbar=ALGORITHMS[name].is_crossbar)


def data_sheet(graph: TopologyGraph, routes: Routes, *, is_crossbar: bool) -> IdealModel:
    """A machine as a model: the latency of a route between neighbours, a mesh link's rate, PE_MATH's fp32 additions."""
    spec = graph.spec
    neighbour = min(1, graph.n_pes - 1)
    alpha = routes.latency_ps(graph.niu_of(0), graph.niu_of(neighbour)) if neighbour else 0
    math = spec.pe.math
    bytes_per_cycle = lanes_for(float32, math.lanes) * Fraction(math.rate["add"]) * float32.size_bytes
    return IdealModel(
        alpha=Fraction(alpha),
        beta=1000 / spec.cube.noc.link_rate.fraction,
        gamma=Fraction(1_000_000, spec.pe.clock_mhz) / bytes_per_cycle,
        is_crossbar=is_crossbar,
    )
