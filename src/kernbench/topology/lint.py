"""What is allowed but probably not meant, each with its numbers and a cure; and what a machine can do at most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from kernbench.config.schema import TopologySpec
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.units import Rate, format_bytes

_MIN_HBM_QUEUE = 32
_MIN_CHUNKS = 4


def lint(graph: TopologyGraph) -> tuple[str, ...]:
    """Warnings about ``graph``; alike ones are told once, with the first node and how many more there are."""
    found: dict[str, list[str]] = {}
    for where, what in (
        *_ports_faster_than_their_feeders(graph),
        *_buffers_too_small_for_full_rate(graph),
        *_shallow_hbm_queues(graph),
        *_hbm_outside_of_slices(graph),
    ):
        found.setdefault(what, []).append(where)
    return tuple(f"{_several(places)}: {what}" for what, places in found.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The bounds that follow from a specification alone; rates are per direction, ``flops_per_ns`` is fp16.

    ``bisection_rate`` is that of a cube's mesh across its smaller cut, ``mesh_feed_rate`` that of the routers behind a
    UCIe port; ``ridge`` is the FLOP per HBM byte at which a cube turns from memory to compute bound.
    """

    n_pes: int
    n_cubes: int
    pe_flops_per_ns: Fraction
    cube_flops_per_ns: Fraction
    system_flops_per_ns: Fraction
    niu_rate: Rate
    tcm_read_rate: Rate
    cube_hbm_rate: Rate
    cube_hbm_effective_rate: Rate
    cube_sram_rate: Rate
    bisection_rate: Rate
    ucie_port_rate: Rate
    io_noc_rate: Rate
    host_rate: Rate
    sip_link_rate: Rate
    ridge: Fraction


def peaks(spec: TopologySpec) -> Peaks:
    """The bounds of the machine ``spec`` describes; single overridden nodes do not count."""
    cube, sip, pe, hbm = spec.cube, spec.sip, spec.pe, spec.cube.hbm
    macs = pe.gemm.macs_per_cycle
    n_cubes = spec.system.sips.count * sip.cubes.count
    pe_flops = Fraction(2 * macs.get("fp16", max(macs.values())) * pe.clock_mhz, 1000)
    hbm_rate = hbm.channel_rate.scaled(hbm.channels)
    return Peaks(
        n_pes=n_cubes * cube.pes.count,
        n_cubes=n_cubes,
        pe_flops_per_ns=pe_flops,
        cube_flops_per_ns=pe_flops * cube.pes.count,
        system_flops_per_ns=pe_flops * cube.pes.count * n_cubes,
        niu_rate=min(cube.noc.link_rate, pe.dma.rate, key=lambda rate: rate.fraction),
        tcm_read_rate=pe.tcm.read_rate,
        cube_hbm_rate=hbm_rate,
        cube_hbm_effective_rate=hbm_rate.scaled(hbm.flat_eff),
        cube_sram_rate=cube.sram.bank_rate.scaled(cube.sram.banks),
        bisection_rate=cube.noc.link_rate.scaled(min(cube.pes.grid)),
        ucie_port_rate=sip.ucie.rate.scaled(sip.ucie.eff),
        io_noc_rate=sip.io_die.noc.link_rate,
        host_rate=sip.io_die.pcie_ep.rate.scaled(sip.io_die.pcie_ep.payload_eff),
        sip_link_rate=spec.system.sip_link.rate.scaled(spec.system.sip_link.payload_eff),
        ridge=pe_flops * cube.pes.count / hbm_rate.fraction,
    )


def _ports_faster_than_their_feeders(graph: TopologyGraph) -> Iterator[tuple[str, str]]:
    for port in (*graph.of_kind("io_ucie"), *graph.of_kind("ucie")):
        crossing = _rate(edge for edge in graph.out_edges(port.index) if edge.kind == "d2d")
        feeders = [edge for edge in graph.in_edges(port.index) if edge.kind != "d2d"]
        fed = _rate(iter(feeders))
        if crossing > fed:
            what = "IO NoC feeds" if port.kind == "io_ucie" else f"{len(feeders)} edge routers feed"
            cure = "sip.io_die.noc.link_bw" if port.kind == "io_ucie" else "cube.noc.link_bw"
            yield (
                port.name,
                f"carries {_gbps(crossing)} but the {what} only {_gbps(fed)}; raise {cure} or lower sip.ucie.bw",
            )


def _buffers_too_small_for_full_rate(graph: TopologyGraph) -> Iterator[tuple[str, str]]:
    noc = graph.spec.cube.noc
    chunk = noc.chunk_bytes + noc.header_bytes
    for edge in graph.edges:
        src, dst = graph.nodes[edge.src], graph.nodes[edge.dst]
        if edge.kind in ("mesh", "niu", "port", "io"):
            needed, why = _MIN_CHUNKS * chunk, f"{_MIN_CHUNKS} chunks with header"
        elif edge.rate is not None:
            round_trip = edge.rate.fraction * 2 * (edge.latency_ps + src.latency_ps) / 1000
            needed, why = -(-round_trip // 1) + chunk, "the link's rate x round trip and a chunk"
        else:
            continue
        if edge.buffer_bytes < needed:
            yield (
                f"{src.name}->{dst.name}",
                f"{_buffer_key(edge, src, dst)} is {format_bytes(edge.buffer_bytes)}, less than {why} = {needed} B: "
                f"a single flow cannot fill the link; raise it",
            )


def _shallow_hbm_queues(graph: TopologyGraph) -> Iterator[tuple[str, str]]:
    for node in graph.of_kind("hbm_ctrl"):
        queue = node.spec.queue
        if queue < _MIN_HBM_QUEUE:
            yield (
                node.name,
                f"cube.hbm.queue is {queue}; below {_MIN_HBM_QUEUE} a controller cannot keep its banks busy; "
                "raise it",
            )


def _hbm_outside_of_slices(graph: TopologyGraph) -> Iterator[tuple[str, str]]:
    cube = graph.spec.cube
    if cube.hbm.channels > cube.pes.count:
        yield (
            "cube.hbm.channels",
            f"{cube.hbm.channels} channels for {cube.pes.count} PEs: what no PE has a slice of holds no tensors; "
            f"write {cube.pes.count}",
        )


def _buffer_key(edge: Edge, src: Node, dst: Node) -> str:
    owner = {
        "d2d": "sip.ucie",
        "io": "sip.io_die.noc",
        "pcie": "sip.io_die.pcie_ep",
        "sip_link": "system.sip_link",
    }
    return f"{owner.get(edge.kind, 'cube.noc')}.buffer_per_vc"


def _rate(edges: Iterator[Edge]) -> Fraction:
    return sum((edge.rate.fraction for edge in edges if edge.rate is not None), Fraction(0))


def _gbps(rate: Fraction) -> str:
    return f"{float(rate):g} GB/s"


def _several(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"
