"""How long a transfer takes on an idle machine: the truth that ``kernbench probe`` holds the simulator to.

A max-plus recursion over the chunks of the transfer, written from the graph and the data sheets alone, apart from the
engine: windows, memories and ports included, contention left out, because there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from kernbench.config.machine import HbmSpec, SramSpec
from kernbench.theory.idle_path import Arrival, IdleRoute, stages
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.routes import Routes
from kernbench.units import PS_PER_NS, Rate, ceil_div


class IdleServer:
    """A resource of a fixed rate that bytes pass in order and leave ``latency_ps`` later; within it times are exact."""

    def __init__(self, rate: Rate, latency_ps: int = 0) -> None:
        self.rate = rate
        self.latency_ps = latency_ps
        self.free = Fraction(0)

    def serial(self, size_bytes: int) -> Fraction:
        """Time it is occupied by ``size_bytes``."""
        return size_bytes * PS_PER_NS / self.rate.fraction

    def pass_(self, size_bytes: int, offer: Arrival) -> Arrival:
        """When the first and the last byte are through, of bytes that stream in as ``offer`` says."""
        ready = max(offer.head_ps, offer.tail_ps - floor(self.serial(size_bytes)))
        start = max(Fraction(ready), self.free)
        self.free = start + self.serial(size_bytes)
        return Arrival(ceil(start) + self.latency_ps, ceil(self.free) + self.latency_ps)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPoint:
    """One end of a transfer: its window, and how its own memory takes or gives a chunk.

    If it has pages (of ``page_bytes``, 0: none), it looks each up before the first packet from it; the transfer begins
    ``page_offset`` bytes into one. Of a transfer in descriptors of ``descriptor_bytes`` (0: one), each but the first is
    set up behind the one before, which is asked for by then.
    """

    node: int
    max_inflight_bytes: int
    port: IdleServer
    page_bytes: int = 0
    page_offset: int = 0
    look_up_ps: int = 0
    descriptor_bytes: int = 0
    setup_ps: int = 0

    def packets(self, size_bytes: int, packet_bytes: int) -> Iterator[tuple[int, int, int]]:
        """``(place in the transfer, bytes, time to set up and look up before it)`` of each packet, within its page."""
        at = 0
        for descriptor in cut(size_bytes, self.descriptor_bytes or size_bytes):
            before_ps = self.setup_ps if at else 0
            place = self.page_offset + at
            for page in cut(descriptor, self.page_bytes, place) if self.page_bytes else (descriptor,):
                before_ps += self.look_up_ps
                for packet in cut(page, packet_bytes):
                    yield at, packet, before_ps
                    at, before_ps = at + packet, 0


def host_requester(graph: TopologyGraph) -> EndPoint:
    """The host, whose copies have one window for each SIP."""
    spec = graph.spec.host
    return EndPoint(
        node=graph.node("host").index,
        max_inflight_bytes=spec.max_inflight_bytes,
        port=IdleServer(spec.dram_rate, spec.dram_latency_ps),
    )


def pe_requester(
    graph: TopologyGraph, pe: int, *, descriptor_bytes: int = 0, is_write: bool = False
) -> EndPoint:
    """PE number ``pe``, about to load from the beginning of a tensor, or to store there."""
    node = graph.nodes[graph.niu_of(pe)]
    spec = node.pe_spec
    assert spec is not None
    return EndPoint(
        node=node.index,
        max_inflight_bytes=spec.dma.max_inflight_bytes,
        port=IdleServer(spec.tcm.read_rate if is_write else spec.tcm.write_rate, spec.tcm.latency_ps),
        page_bytes=spec.mmu.page_bytes,
        look_up_ps=spec.mmu.hit_ps,
        descriptor_bytes=descriptor_bytes,
        setup_ps=spec.dma.setup_ps,
    )


def idle_transfer_ps(
    graph: TopologyGraph,
    routes: Routes,
    requester: EndPoint,
    memory: int,
    size_bytes: int,
    *,
    is_write: bool,
) -> int:
    """Time from the first request to the last byte in its place (a write: to the last acknowledgement's arrival).

    ``size_bytes`` lie side by side, from the beginning of a burst on, at the memory controller with node index
    ``memory``; set-up is not included, looking up pages that the TLB holds is.
    """
    noc = graph.spec.cube.noc
    there = IdleRoute(stages(graph, routes.route(requester.node, memory)))
    back = IdleRoute(stages(graph, routes.route(memory, requester.node)))
    port, bursts = requester.port, _memory(graph, memory)
    window = _InFlight(requester.max_inflight_bytes)
    now_ps = done_ps = 0
    for at, packet, look_up_ps in requester.packets(size_bytes, noc.packet_bytes):
        now_ps = window.take(packet, now_ps + look_up_ps)
        offer, header = _at_once(now_ps), noc.header_bytes
        if not is_write:
            offer = _at_once(there.cross(header, offer).tail_ps)
        for payload, share in _shares(graph, at, packet):
            if is_write:
                came = there.cross(payload + header, port.pass_(payload, offer))
                landed = bursts.pass_(share, came)
            else:
                came = back.cross(payload + header, bursts.pass_(share, offer))
                landed = port.pass_(payload, came)
                window.give(payload, came.tail_ps)
            done_ps, header = max(done_ps, landed.tail_ps), 0
        if is_write:
            done_ps = back.cross(noc.header_bytes, _at_once(landed.tail_ps)).tail_ps
            window.give(packet, done_ps)
    return done_ps


def _at_once(at_ps: int) -> Arrival:
    return Arrival(at_ps, at_ps)


def memory_rate(graph: TopologyGraph, node: int) -> Rate:
    """Rate of the memory at a controller."""
    return _memory(graph, node).rate


def _memory(graph: TopologyGraph, node: int) -> IdleServer:
    spec = graph.nodes[node].spec
    if isinstance(spec, HbmSpec):
        return IdleServer(spec.sustained_rate, spec.flat_latency_ps)
    assert isinstance(spec, SramSpec)
    return IdleServer(spec.bank_rate, spec.latency_ps)


class _InFlight:
    """Bytes in flight: when the next request may go."""

    def __init__(self, total_bytes: int) -> None:
        self.free_bytes = total_bytes
        self.returns: list[tuple[int, int]] = []

    def take(self, size_bytes: int, now_ps: int) -> int:
        while self.free_bytes < size_bytes:
            returned_bytes, at_ps = self.returns.pop(0)
            self.free_bytes += returned_bytes
            now_ps = max(now_ps, at_ps)
        self.free_bytes -= size_bytes
        return now_ps

    def give(self, size_bytes: int, at_ps: int) -> None:
        self.returns.append((size_bytes, at_ps))


def _shares(graph: TopologyGraph, at: int, packet_bytes: int) -> Iterator[tuple[int, int]]:
    """The payload of each chunk of a packet, and what the memory moves for it: whole bursts for the packet.

    ``at`` is how far behind the beginning of a burst the packet begins.
    """
    cube = graph.spec.cube
    burst = cube.hbm.timing.burst_bytes
    moved_bytes = (ceil_div(at + packet_bytes, burst) - at // burst) * burst
    done_bytes = shared_bytes = 0
    for payload in cut(packet_bytes, cube.noc.chunk_bytes):
        done_bytes += payload
        share = moved_bytes * done_bytes // packet_bytes - shared_bytes
        shared_bytes += share
        yield payload, share


def cut(size_bytes: int, most_bytes: int, offset: int = 0) -> Iterator[int]:
    """Parts of up to ``most_bytes``, cut at multiples of it; the first part begins ``offset`` behind one."""
    end = offset + size_bytes
    while offset < end:
        part = min(most_bytes - offset % most_bytes, end - offset)
        yield part
        offset += part
