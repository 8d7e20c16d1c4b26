"""Times of idle transfers, from the graph alone: what the engine must agree with, written apart from it.

Chunks cut through: a link may start a chunk before its tail has arrived, but never so early that it would run dry.
Times between links are whole picoseconds, rounded up; within a link, time is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from kernbench.topology.graph import Edge, TopologyGraph
from kernbench.units import PS_PER_NS, Rate


class LinkStage(NamedTuple):
    """A link as a chunk meets it: its rate, and its latency with that of the node before it."""

    rate: Rate
    latency_ps: int

    def serial_ps(self, size_bytes: int) -> Fraction:
        """Time the link is occupied by ``size_bytes``, exactly."""
        return size_bytes * PS_PER_NS / self.rate.fraction


class Arrival(NamedTuple):
    """When the first and the last byte of a chunk are there."""

    head_ps: int
    tail_ps: int


def stages(graph: TopologyGraph, route: Iterable[Edge]) -> tuple[LinkStage, ...]:
    """The stages of a route outside of PEs."""
    return tuple(
        LinkStage(edge.rate, edge.latency_ps + graph.nodes[edge.src].latency_ps)
        for edge in route
        if edge.rate is not None
    )


class IdleRoute:
    """An idle route with buffers enough, as a max-plus recursion: chunks cross it in order.

    A chunk that starts on a link at ``x`` (exact) and occupies it for ``s`` has its tail at ``ceil(x + s) + latency``.
    It is ready for a link that is not faster at ``ceil(x) + latency``, for a faster one at ``tail - floor(its time
    there)``. It starts when it is ready and the link is free of the chunk before, exactly.
    """

    def __init__(self, route: Sequence[LinkStage]) -> None:
        self.route = route
        self._free = [Fraction(0)] * len(route)

    def cross(self, size_bytes: int, offer: Arrival) -> Arrival:
        """When the next chunk arrives, whose first and last byte are at the source as ``offer`` says."""
        arrival = offer
        for i, stage in enumerate(self.route):
            serial = stage.serial_ps(size_bytes)
            is_faster = i == 0 or stage.rate.fraction > self.route[i - 1].rate.fraction
            ready = max(arrival.head_ps, arrival.tail_ps - floor(serial)) if is_faster else arrival.head_ps
            start = max(Fraction(ready), self._free[i])
            self._free[i] = start + serial
            arrival = Arrival(ceil(start) + stage.latency_ps, ceil(self._free[i]) + stage.latency_ps)
        return arrival
