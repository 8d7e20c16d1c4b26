"""How much room keeps a link, or a window, at its full rate: what is under way until news of free room is back.

The loop is that of ``engine/reference/channel.py``: a chunk is given room at the far end when it starts; the room is
free again when the chunk has left that end, and a link's latency later the sender knows.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from fractions import Fraction
from math import ceil

from kernbench.config.machine import NocSpec
from kernbench.theory.idle_path import stages
from kernbench.theory.idle_transfer import EndPoint, IdleServer, cut, idle_transfer_ps, memory_rate
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.routes import Routes
from kernbench.units import PS_PER_NS, Rate, ceil_div

_SEVERAL = 4  # windows in a transfer: it shows if they are too small
_MOST_TRIED = 32  # packets


def under_way_bytes(rate: Rate, latency_ps: int) -> int:
    """Rate x round trip of a link, rounded up."""
    return ceil(rate.fraction * 2 * latency_ps / PS_PER_NS)


def full_rate_bytes(noc: NocSpec, rate: Rate, latency_ps: int) -> int:
    """The least buffer behind a link in which a stream of full packets never waits for room.

    A chunk starts beside all those whose room is not free again: what ended less than a round trip ago. So the buffer
    holds rate x round trip in whole chunks, and the next chunk.
    """
    first_bytes, *more = cut(noc.packet_bytes, noc.chunk_bytes)
    sizes = [first_bytes + noc.header_bytes, *more]
    flits = [ceil_div(size, noc.flit_bytes) for size in sizes]
    between = (
        under_way_bytes(rate, latency_ps) - 1
    )  # the most that may lie between a chunk and the last one it holds up
    if between < 0:
        return max(flits) * noc.flit_bytes
    n_packets, rest = divmod(between, sum(sizes))
    most = 0
    for first in range(len(sizes)):
        in_order = [*range(first + 1, len(sizes)), *range(first + 1)]
        total, left = flits[first] + n_packets * sum(flits), rest
        for chunk in in_order:
            total, left = total + flits[chunk], left - sizes[chunk]
            if left < 0:
                break
        most = max(most, total)
    return most * noc.flit_bytes


def full_rate_window(
    graph: TopologyGraph, routes: Routes, requester: EndPoint, memory: int, *, is_write: bool
) -> int:
    """A window in which the way of ``requester`` to ``memory`` never runs dry.

    Rate x round trip of a packet, and a packet, is always enough. If it has less, the least is found, in whole chunks:
    tried by the closed form of a transfer of several windows, unless that would be long.
    """
    noc = graph.spec.cube.noc
    packet, chunk = noc.packet_bytes, noc.chunk_bytes

    def taken_ps(window_bytes: int, size_bytes: int) -> int:
        port = IdleServer(requester.port.rate, requester.port.latency_ps)
        end = replace(requester, max_inflight_bytes=window_bytes, page_bytes=0, port=port)
        return idle_transfer_ps(graph, routes, end, memory, size_bytes, is_write=is_write)

    ends = (requester.node, memory) if is_write else (memory, requester.node)
    packet_ps = max(
        *(stage.serial_ps(packet + noc.header_bytes) for stage in stages(graph, routes.route(*ends))),
        requester.port.serial(packet),
        IdleServer(memory_rate(graph, memory)).serial(packet),
    )
    enough = ceil(packet * taken_ps(packet, packet) / packet_ps / chunk) * chunk + packet
    if requester.max_inflight_bytes >= enough or enough > _MOST_TRIED * packet:
        return enough
    full_ps = taken_ps(enough, _SEVERAL * enough)
    n_chunks = range(ceil_div(packet, chunk), enough // chunk)
    found = bisect_left(n_chunks, -full_ps, key=lambda n: -taken_ps(n * chunk, _SEVERAL * enough))
    return (n_chunks.start + found) * chunk


def full_rate_queue(graph: TopologyGraph, memory: int, latency_ps: int) -> int:
    """The least entries of a memory controller in which a stream of loads of full packets never waits for one.

    A load has its entry until its last chunk starts on its way back: the memory's latency longer than it is served.
    """
    noc, rate = graph.spec.cube.noc, memory_rate(graph, memory)
    (link,) = stages(graph, graph.out_edges(memory))
    packet_ps = max(
        IdleServer(rate).serial(noc.packet_bytes), link.serial_ps(noc.packet_bytes + noc.header_bytes)
    )
    last_ps = min(IdleServer(rate).serial(noc.chunk_bytes), link.serial_ps(noc.chunk_bytes))
    return 1 + ceil(max(Fraction(0), latency_ps - last_ps) / packet_ps)
