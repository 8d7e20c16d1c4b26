"""What a machine can do at most: arithmetic, and of each level of memory and links what its traffic can reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, product

from kernbench.config.schema import TopologySpec
from kernbench.theory.flow import Flow, flow, total_rate
from kernbench.topology.builder import build_graph
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.topology.hbm import HbmLayout
from kernbench.topology.levels import count_of, levels_of
from kernbench.topology.routes import Routes
from kernbench.units import Rate

_KEY_OF_LINK = {
    "mesh": "cube.noc.link_bw",
    "port": "cube.noc.link_bw",
    "d2d": "sip.ucie.bw",
    "io": "sip.io_die.noc.link_bw",
    "pcie": "sip.io_die.pcie_ep.bw",
    "sip_link": "system.sip_link.bw",
}
_KEY_OF_END = {
    "hbm_ctrl": "cube.hbm.pc_bw",
    "sram": "cube.sram.bank_bw",
    "niu": "pe.tcm.write_bw",
    "host": "host.dram_bw",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPeak:
    """One level of a machine: the ``rate`` of its pins or wires, and what traffic can reach of it.

    ``limited_by`` are the keys whose rates hold the traffic at that.
    """

    rate: Rate
    reachable: Rate
    limited_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The bounds that follow from a specification alone; rates are per direction, ``flops_per_ns`` is fp16.

    Headers of packets count as traffic. None: the machine has no such thing.

    ``cube_hbm``: what all PEs of a cube load from their own slices; ``cube_sram``: from the banks of their cube.
    ``tcm_read``: what a PE fetches into registers; ``niu``: its port to the fabric. ``bisection``: a cube's mesh across
    its smaller cut. ``ucie_port``: a port between two cubes, or from the IO die to the only one. ``io_noc``: a link of
    the IO die's crossbar to a column of cubes. ``host``, ``sip_link``: what a SIP exchanges with the host and with the
    others. ``ridge``: the FLOP per HBM byte that can be reached at which a cube turns from memory to compute bound.
    """

    n_pes: int
    n_cubes: int
    pe_flops_per_ns: Fraction
    cube_flops_per_ns: Fraction
    system_flops_per_ns: Fraction
    cube_hbm: LevelPeak
    cube_sram: LevelPeak
    tcm_read: LevelPeak
    niu: LevelPeak
    bisection: LevelPeak | None
    ucie_port: LevelPeak
    io_noc: LevelPeak
    host: LevelPeak
    sip_link: LevelPeak | None
    ridge: Fraction


def peaks(spec: TopologySpec) -> Peaks:
    """The bounds of the machine ``spec`` describes; single overridden nodes and links do not count."""
    cube, pe = spec.cube, spec.pe
    levels = levels_of(spec)
    n_cubes, n_pes = count_of(levels[:-1]), levels[-1].count
    macs = pe.gemm.macs_per_cycle
    pe_flops = Fraction(2 * macs.get("fp16", max(macs.values())) * pe.clock_mhz, 1000)
    ways = _Ways(_typical(spec))
    hbm = ways.hbm()
    n_cuts = min(levels[-1].grid) if n_pes > 1 else 0
    mesh = cube.noc.link_rate.scaled(n_cuts)
    return Peaks(
        n_pes=n_cubes * n_pes,
        n_cubes=n_cubes,
        pe_flops_per_ns=pe_flops,
        cube_flops_per_ns=pe_flops * n_pes,
        system_flops_per_ns=pe_flops * n_pes * n_cubes,
        cube_hbm=hbm,
        cube_sram=ways.sram(),
        tcm_read=_slowest(
            pe.tcm.read_rate,
            {
                "pe.tcm.read_bw": pe.tcm.read_rate,
                "pe.fetch_store.bw": pe.fetch_store.rate,
                "pe.regfile.write_bw": pe.regfile.write_rate,
            },
        ),
        niu=ways.niu(),
        bisection=_slowest(mesh, {"cube.noc.link_bw": mesh}) if n_cuts else None,
        ucie_port=ways.ucie_port(),
        io_noc=ways.io_noc(),
        host=ways.host(),
        sip_link=ways.sip_link() if levels[0].count > 1 else None,
        ridge=pe_flops * n_pes / hbm.reachable.fraction,
    )


def _typical(spec: TopologySpec) -> TopologyGraph:
    """The graph of one SIP, or of two that are joined, without what is special about single nodes."""
    n_sips = min(2, spec.system.sips.count)
    sips = spec.system.sips.model_copy(update={"count": n_sips, "grid": (n_sips, 1)})
    system = spec.system.model_copy(update={"sips": sips})
    return build_graph(spec.model_copy(update={"system": system, "overrides": {}}))


class _Ways:
    """The traffic of each level on one graph."""

    def __init__(self, graph: TopologyGraph) -> None:
        self.graph = graph
        self.spec = graph.spec
        self.routes = Routes(graph)
        self._first_cube = (0,) * (len(graph.levels) - 1)
        self._pes_of_a_cube = graph.pes_of(self._first_cube)

    def hbm(self) -> LevelPeak:
        """The first cube's PEs load from their own slices."""
        cube = self.spec.cube
        layout = HbmLayout.of(cube)
        pairs = [
            (self._node(f"hbm{layout.slice_of(pe)[0]}").index, self.graph.niu_of(pe))
            for pe in self._pes_of_a_cube
        ]
        channel = cube.hbm.sustained_rate
        found = flow(self.routes, {memory: channel for memory, _ in pairs}, self._pes(), pairs)
        return self._level(cube.hbm.channel_rate.scaled(cube.hbm.channels), found)

    def sram(self) -> LevelPeak:
        """The first cube's PEs load from all its banks."""
        sram = self.spec.cube.sram
        banks = {self._node(f"sram{bank}").index: sram.bank_rate for bank in range(sram.banks)}
        found = flow(self.routes, banks, self._pes(), product(banks, self._pes()))
        return self._level(sram.bank_rate.scaled(sram.banks), found)

    def niu(self) -> LevelPeak:
        """A PE loads: through the link from its router, into TCM."""
        pe = self.spec.pe
        rates = {
            "pe.dma.bw": pe.dma.rate,
            "cube.noc.link_bw": self.spec.cube.noc.link_rate,
            "pe.tcm.write_bw": pe.tcm.write_rate,
        }
        return _slowest(pe.dma.rate, rates)

    def ucie_port(self) -> LevelPeak:
        """From one cube to the next; from the IO die to a cube, if there is one only."""
        ports = self.graph.of_kind("ucie")
        between = [edge for port in ports for edge in self._from_cube(port)]
        return self._crossing(between[0]) if between else self._crossing(self._into_cubes()[0])

    def _from_cube(self, port: Node) -> list[Edge]:
        edges = self.graph.out_edges(port.index)
        return [e for e in edges if e.kind == "d2d" and self.graph.nodes[e.dst].kind == "ucie"]

    def _into_cubes(self) -> list[Edge]:
        ports = self.graph.of_kind("io_ucie")
        return [edge for port in ports for edge in self.graph.out_edges(port.index) if edge.kind == "d2d"]

    def _crossing(self, link: Edge) -> LevelPeak:
        """A die-to-die link with what feeds it and what drains it."""
        feeders = [e for e in self.graph.in_edges(link.src) if e.kind != "d2d"]
        drains = [e for e in self.graph.out_edges(link.dst) if e.kind != "d2d"]
        cut = min(([link], feeders, drains), key=total_rate)
        rate, reachable = (Rate.of(total_rate(edges)) for edges in ([link], cut))
        return LevelPeak(rate=rate, reachable=reachable, limited_by=self._keys(cut))

    def io_noc(self) -> LevelPeak:
        """From the IO die's crossbar to a column of cubes."""
        return replace(self._crossing(self._into_cubes()[0]), rate=self.spec.sip.io_die.noc.link_rate)

    def host(self) -> LevelPeak:
        """The host writes to all memory of the first SIP."""
        host, spec = self.graph.node("host").index, self.spec
        memories = self._memories(0)
        found = flow(
            self.routes, {host: spec.host.dram_rate}, memories, ((host, memory) for memory in memories)
        )
        end_point = spec.sip.io_die.pcie_ep
        return self._level(end_point.rate.scaled(end_point.payload_eff), found)

    def sip_link(self) -> LevelPeak:
        """The PEs of the first SIP load from all memory of the second."""
        memories = self._memories(1)
        pes = {self.graph.niu_of(pe): self.spec.pe.tcm.write_rate for pe in self.graph.pes_of((0,))}
        # A way to another SIP is a way out and a way in: each of either kind once makes all links there are.
        pairs = chain(product(memories, [next(iter(pes))]), product([next(iter(memories))], pes))
        link = self.spec.system.sip_link
        return self._level(link.rate.scaled(link.payload_eff), flow(self.routes, memories, pes, pairs))

    def _level(self, rate: Rate, found: Flow) -> LevelPeak:
        ends = dict.fromkeys(_KEY_OF_END[self.graph.nodes[node].kind] for node in found.ends)
        return LevelPeak(rate=rate, reachable=found.rate, limited_by=(*self._keys(found.cut), *ends))

    def _keys(self, cut: Iterable[Edge]) -> tuple[str, ...]:
        """The keys that set the rates of these links."""
        narrow = self.spec.pe.dma.rate.fraction < self.spec.cube.noc.link_rate.fraction
        keys = _KEY_OF_LINK | {"niu": "pe.dma.bw" if narrow else "cube.noc.link_bw"}
        return tuple(dict.fromkeys(keys[edge.kind] for edge in cut))

    def _memories(self, sip: int) -> dict[int, Rate]:
        rate = self.spec.cube.hbm.sustained_rate
        return {node.index: rate for node in self.graph.of_kind("hbm_ctrl") if node.at[0] == sip}

    def _pes(self) -> dict[int, Rate]:
        """The PEs of the first cube, and what TCM takes of each."""
        return {self.graph.niu_of(pe): self.spec.pe.tcm.write_rate for pe in self._pes_of_a_cube}

    def _node(self, name: str) -> Node:
        return self.graph.node_of(self._first_cube, name)


def _slowest(rate: Rate, rates: Mapping[str, Rate]) -> LevelPeak:
    """A level of which the slowest of ``rates``, by key, can be reached."""
    key = min(rates, key=lambda key: rates[key].fraction)
    return LevelPeak(rate=rate, reachable=rates[key], limited_by=(key,))
