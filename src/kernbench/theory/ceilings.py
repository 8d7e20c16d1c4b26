"""What a machine allows ``busbw``: a line for its links, for the NIUs of PEs and for each kind of memory.

Each follows from what a run moved, headers included, through the busiest link, NIU, HBM channel or SRAM bank. A *bus
byte* is what ``busbw`` counts: a byte of the size times the collective's factor. The lowest line is the bottleneck's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from kernbench.config.machine import HbmSpec, SramSpec
from kernbench.topology.graph import TopologyGraph
from kernbench.units import Rate

LEVELS = ("link", "niu", "hbm", "sram")


class Line(NamedTuple):
    """The busiest way of one of :data:`LEVELS`: its rate, and the bytes that it moves per bus byte."""

    level: str
    rate: Rate
    bytes_per_bus_byte: Fraction

    @property
    def busbw(self) -> Fraction:
        """The most that ``busbw`` can be, in GB/s."""
        return self.rate.fraction / self.bytes_per_bus_byte


def lines_of(
    graph: TopologyGraph, links: Mapping[int, int], memories: Mapping[int, int], bus_bytes: Fraction
) -> tuple[Line, ...]:
    """The lines of a run of ``bus_bytes``; none of a level that moved nothing, nor of a run of 0.

    ``links`` and ``memories`` map an edge's and a memory controller's index to the bytes that it moved.
    """
    busiest: dict[str, Line] = {}
    for level, rate, moved_bytes in _ways(graph, links, memories) if bus_bytes else ():
        line = Line(level, rate, moved_bytes / bus_bytes)
        if level not in busiest or line.busbw < busiest[level].busbw:
            busiest[level] = line
    return tuple(busiest[level] for level in LEVELS if level in busiest)


def _ways(
    graph: TopologyGraph, links: Mapping[int, int], memories: Mapping[int, int]
) -> Iterator[tuple[str, Rate, int]]:
    """Level, rate and moved bytes of everything that moved some and has a rate."""
    for index, moved_bytes in links.items():
        edge = graph.edges[index]
        if edge.rate is not None and moved_bytes:
            yield "niu" if edge.kind == "niu" else "link", edge.rate, moved_bytes
    for index, moved_bytes in memories.items():
        spec = graph.nodes[index].spec
        if isinstance(spec, HbmSpec):
            yield "hbm", spec.sustained_rate, moved_bytes
        elif isinstance(spec, SramSpec):
            yield "sram", spec.bank_rate, moved_bytes
