"""What is allowed but probably not meant, each with its numbers and a cure."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from kernbench.config.machine import HbmSpec
from kernbench.config.schema import TopologySpec
from kernbench.theory.buffers import full_rate_bytes, full_rate_queue, full_rate_window, under_way_bytes
from kernbench.theory.flow import total_rate
from kernbench.theory.idle_transfer import host_requester, memory_rate, pe_requester
from kernbench.theory.peaks import LevelPeak, Peaks
from kernbench.topology.graph import Edge, TopologyGraph
from kernbench.topology.hbm import HbmLayout
from kernbench.topology.levels import levels_of
from kernbench.topology.routes import Routes
from kernbench.units import Rate, format_bytes
from kernbench.wording import plural

Told = Iterator[tuple[str, str]]

_QUEUE_OF_BANKS = 32  # below, a model with banks loses bandwidth (Ramulator 2.1, measured)

_CLASSES = {
    "mesh": ("a mesh link", "cube.noc"),
    "niu": ("the link of a PE to its router", "cube.noc"),
    "port": ("the link of a router to a memory or port", "cube.noc"),
    "d2d": ("a die-to-die link", "sip.ucie"),
    "io": ("a link of the IO die", "sip.io_die.noc"),
    "pcie": ("the PCIe link", "sip.io_die.pcie_ep"),
    "sip_link": ("the link to other SIPs", "system.sip_link"),
}
"""What each kind of edge is called, and the part of the configuration that describes its buffer."""


def lint(graph: TopologyGraph, limits: Peaks) -> tuple[str, ...]:
    """Warnings about ``graph``, whose bounds are ``limits``.

    Alike ones are told once, with the first node and how many more there are.
    """
    found: dict[str, list[str]] = {}
    for where, what in (
        *_ports_faster_than_their_feeders(graph),
        *_memories_faster_than_their_links(graph),
        *_levels_held_back(graph.spec, limits),
        *_buffers_too_small_for_full_rate(graph),
        *_windows_too_small_for_full_rate(graph),
        *_shallow_memory_queues(graph),
        *_hbm_outside_of_slices(graph),
    ):
        found.setdefault(what, []).append(where)
    return tuple(f"{_several(places)}: {what}" for what, places in found.items())


# -- rates ----------------------------------------------------------------------------------------------------


def _ports_faster_than_their_feeders(graph: TopologyGraph) -> Told:
    for port in (*graph.of_kind("io_ucie"), *graph.of_kind("ucie")):
        crossing = total_rate(edge for edge in graph.out_edges(port.index) if edge.kind == "d2d")
        feeders = [edge for edge in graph.in_edges(port.index) if edge.kind != "d2d"]
        fed = total_rate(feeders)
        if crossing > fed:
            is_io = port.kind == "io_ucie"
            what = "IO NoC feeds" if is_io else f"{plural(len(feeders), 'edge router')} feed"
            cure = "sip.io_die.noc.link_bw" if is_io else "cube.noc.link_bw"
            yield (
                port.name,
                f"carries {Rate.of(crossing)} but the {what} only {Rate.of(fed)}; raise {cure} or lower sip.ucie.bw",
            )


def _memories_faster_than_their_links(graph: TopologyGraph) -> Told:
    for node in (*graph.of_kind("hbm_ctrl"), *graph.of_kind("sram")):
        (link,) = graph.out_edges(node.index)
        rate = memory_rate(graph, node.index).fraction
        linked = total_rate([link])
        if rate > linked:
            is_hbm = isinstance(node.spec, HbmSpec)
            what = f"channel {node.spec.channel_rate}" if is_hbm else f"bank {node.spec.bank_rate}"
            if is_hbm and rate != node.spec.channel_rate.fraction:
                what += f", of which the model sustains {Rate.of(rate)}"
            yield (
                node.name,
                f"{what}, its router link {Rate.of(linked)}: raise {_rate_key(graph, link)}, or lower "
                f"{'cube.hbm.pc_bw' if is_hbm else 'cube.sram.bank_bw'}",
            )


def _levels_held_back(spec: TopologySpec, limits: Peaks) -> Told:
    """Levels of which less can be reached than they give, beside ports and memories, which are told one by one."""
    cube, link = spec.cube, spec.cube.noc.link_rate
    n_channels = min(cube.hbm.channels, levels_of(spec)[-1].count)
    given: list[tuple[str, LevelPeak | None, Rate | None]] = [
        ("HBM of a cube", limits.cube_hbm, _least(cube.hbm.sustained_rate, link).scaled(n_channels)),
        ("SRAM of a cube", limits.cube_sram, _least(cube.sram.bank_rate, link).scaled(cube.sram.banks)),
        ("TCM of a PE, reading", limits.tcm_read, None),
        ("network port of a PE", limits.niu, None),
        ("host link of a SIP", limits.host, None),
        ("link to other SIPs", limits.sip_link, None),
    ]
    for name, level, rate in given:
        if level is not None and level.reachable.fraction < (rate or level.rate).fraction:
            keys = " or ".join(level.limited_by)
            yield name, f"gives {rate or level.rate}, of which {level.reachable} can be reached; raise {keys}"


# -- buffers --------------------------------------------------------------------------------------------------


def _buffers_too_small_for_full_rate(graph: TopologyGraph) -> Told:
    """Links of one kind are told together, by the one that needs most."""
    noc = graph.spec.cube.noc
    times = min(noc.vcs.req, noc.vcs.resp, noc.vcs.comm)
    needed: dict[tuple[Rate, int], int] = {}
    short: dict[tuple[str, int], list[tuple[int, Rate, int, Edge]]] = {}
    for edge in graph.edges:
        if edge.rate is None:
            continue
        latency_ps = edge.latency_ps + graph.nodes[edge.src].latency_ps
        link = (edge.rate, latency_ps)
        if link not in needed:
            needed[link] = full_rate_bytes(noc, *link)
        if edge.buffer_bytes * times < needed[link]:
            short.setdefault((edge.kind, edge.buffer_bytes), []).append((needed[link], *link, edge))
    for (kind, buffer_bytes), links in short.items():
        most_bytes, rate, latency_ps, _ = max(links, key=lambda link: link[0])
        what, part = _CLASSES[kind]
        text = (
            f"{what} of {rate} needs {most_bytes} B to run full: rate x round trip, "
            f"{under_way_bytes(rate, latency_ps)} B, in whole chunks, and the next chunk; {part}.buffer_per_vc is "
            f"{format_bytes(buffer_bytes)}: write {ceil(most_bytes / times)} or more"
        )
        yield from ((_link_name(graph, edge), text) for *_, edge in links)


def _windows_too_small_for_full_rate(graph: TopologyGraph) -> Told:
    """Windows that are shorter than the way to the nearest memory: a PE's to its slice, the host's to the first SIP."""
    routes, layout = Routes(graph), HbmLayout.of(graph.spec.cube)
    own = graph.node(f"sip0.cube0.hbm{layout.slice_of(0)[0]}").index
    windows = (
        ("pe.dma.max_inflight", "a PE's loads from its own slice", pe_requester(graph, 0), False),
        (
            "pe.dma.max_inflight",
            "a PE's stores to its own slice",
            pe_requester(graph, 0, is_write=True),
            True,
        ),
        ("host.max_inflight", "copies to the host", host_requester(graph), False),
        ("host.max_inflight", "copies from the host", host_requester(graph), True),
    )
    short: dict[str, tuple[int, str]] = {}
    for key, what, requester, is_write in windows:
        needed = full_rate_window(graph, routes, requester, own, is_write=is_write)
        if requester.max_inflight_bytes < needed:
            size = format_bytes(requester.max_inflight_bytes)
            text = f"{size} hold less than rate x round trip of {what}, {needed} B; write {needed} or more"
            short[key] = max(short.get(key, (0, "")), (needed, text))
    yield from ((key, text) for key, (_, text) in short.items())


def _shallow_memory_queues(graph: TopologyGraph) -> Told:
    packet = format_bytes(graph.spec.cube.noc.packet_bytes)
    for node in (*graph.of_kind("hbm_ctrl"), *graph.of_kind("sram")):
        spec = node.spec
        is_hbm = isinstance(spec, HbmSpec)
        if is_hbm and spec.model != "flat":
            needed, why = _QUEUE_OF_BANKS, "a model with banks cannot keep them busy"
        else:
            latency_ps = spec.flat_latency_ps if is_hbm else spec.latency_ps
            needed = full_rate_queue(graph, node.index, latency_ps)
            why = f"a stream of loads of {packet} waits for entries"
        if spec.queue < needed:
            key = "cube.hbm.queue" if is_hbm else "cube.sram.queue"
            yield node.name, f"{key} is {spec.queue}; below {needed} {why}; write {needed} or more"


def _hbm_outside_of_slices(graph: TopologyGraph) -> Told:
    cube, layout, n_pes = graph.spec.cube, HbmLayout.of(graph.spec.cube), graph.levels[-1].count
    if cube.hbm.channels > n_pes:
        yield (
            "cube.hbm.channels",
            f"{cube.hbm.channels} channels for {n_pes} PEs: what no PE has a slice of holds no tensors; "
            f"write {n_pes}",
        )
    idle = cube.hbm.capacity_bytes - layout.used_bytes
    if idle:
        n_slices = max(cube.hbm.channels, n_pes)
        yield (
            "cube.hbm.capacity",
            f"{cube.hbm.capacity_bytes} B do not divide among {n_slices} slices: {idle} B of each cube stay idle; "
            f"write {layout.used_bytes}",
        )


def _rate_key(graph: TopologyGraph, link: Edge) -> str:
    """The key that the rate of a router's link is from: its own override, or that of all."""
    name = _link_name(graph, link)
    return f"overrides.{name}.bw" if "bw" in graph.spec.overrides.get(name, {}) else "cube.noc.link_bw"


def _link_name(graph: TopologyGraph, link: Edge) -> str:
    return f"{graph.nodes[link.src].name}->{graph.nodes[link.dst].name}"


def _least(*rates: Rate) -> Rate:
    return min(rates, key=lambda rate: rate.fraction)


def _several(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"
