"""The roofline of a run: no kernel can beat its arithmetic at peak, nor its bytes at the rate of any level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from kernbench.config.machine import HbmSpec
from kernbench.topology.graph import TopologyGraph
from kernbench.units import PS_PER_NS, Rate, transfer_ps

# Levels by the kind of edge whose links they are; HBM comes from its controllers.
_LEVEL_OF_EDGE = {"niu": "niu", "mesh": "noc", "d2d": "ucie", "sip_link": "sip link"}


@dataclass(frozen=True, slots=True)
class LevelUse:
    """What one level of the machine moved, and the rate of all of it that took part."""

    size_bytes: int
    rate: Rate

    @property
    def floor_ps(self) -> int:
        """The least time that takes, rounded up."""
        return transfer_ps(self.size_bytes, self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The least time a kernel can take, by resource, and the time it took."""

    time_ps: int
    floors_ps: Mapping[str, int] = field(hash=False)

    @property
    def limit(self) -> str:
        """The resource that sets the bound; of equal ones the first."""
        return max(self.floors_ps, key=lambda name: self.floors_ps[name])

    @property
    def bound_ps(self) -> int:
        """The least time the kernel can take."""
        return self.floors_ps[self.limit]

    @property
    def share(self) -> float:
        """The share of the bound that was reached; never above 1 in a right model."""
        return self.bound_ps / self.time_ps


def gemm_bound(flops: int, peak: Rate, levels: Mapping[str, LevelUse], time_ps: int) -> Bound:
    """The bound of a kernel of ``flops`` (``2 m n k`` for a GEMM) at ``peak`` flops per ns that took ``time_ps``.

    >>> peak, hbm = Rate.of(2048), LevelUse(4 << 20, Rate.of(64))
    >>> bound = gemm_bound(2 * 128 * 128 * 4096, peak, {"hbm": hbm}, time_ps=80_000_000)
    >>> bound.limit, bound.bound_ps, round(bound.share, 3)
    ('compute', 65536000, 0.819)
    """
    floors = {"compute": transfer_ps(flops, peak)}
    floors |= {name: level.floor_ps for name, level in levels.items()}
    return Bound(time_ps=time_ps, floors_ps=floors)


def gemm_peak(macs_per_cycle: int, clock_mhz: int, n_pes: int) -> Rate:
    """Flops per ns of ``n_pes`` arrays, two for each MAC."""
    return Rate.of(Fraction(2 * macs_per_cycle * n_pes * clock_mhz, PS_PER_NS))


def levels_used(
    graph: TopologyGraph, links: Mapping[int, int], memories: Mapping[int, int]
) -> dict[str, LevelUse]:
    """The levels that moved bytes, each with the sum of the rates of those links or channels that took part.

    ``links`` and ``memories`` map an edge's and a node's index to bytes. What moved nothing adds no rate, so that
    a kernel on one PE is held against one PE's share of the machine.
    """
    sizes: dict[str, int] = {}
    rates: dict[str, Fraction] = {}

    def count(level: str, size: int, rate: Fraction) -> None:
        if size:
            sizes[level] = sizes.get(level, 0) + size
            rates[level] = rates.get(level, Fraction(0)) + rate

    for index, size in memories.items():
        spec = graph.nodes[index].spec
        if isinstance(spec, HbmSpec):
            count("hbm", size, spec.channel_rate.fraction)
    for index, size in links.items():
        edge = graph.edges[index]
        if edge.rate is not None and edge.kind in _LEVEL_OF_EDGE:
            count(_LEVEL_OF_EDGE[edge.kind], size, edge.rate.fraction)
    return {level: LevelUse(size, Rate.of(rates[level])) for level, size in sizes.items()}
