"""How each unit spent a window of time, and how many bytes each level of the machine moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kernbench.topology.graph import TopologyGraph
from kernbench.units import transfer_ps

LEVELS = ("hbm", "noc", "ucie", "pcie", "tcm")
# The kinds of edge that count for a level. A byte counts on each link it crosses; the SIP links are PCIe too, and
# count where they enter the switch, so that a crossing counts once.
_LEVEL_OF_EDGE = {"mesh": "noc", "d2d": "ucie", "pcie": "pcie", "sip_link": "pcie"}


@dataclass(frozen=True, slots=True)
class Translations:
    """Pages that TLBs were asked for: held, not held; and walks for those not held. All PE_MMUs together."""

    hits: int = 0
    misses: int = 0
    walks: int = 0

    def __sub__(self, before: Translations) -> Translations:
        return Translations(self.hits - before.hits, self.misses - before.misses, self.walks - before.walks)

    def __add__(self, other: Translations) -> Translations:
        return Translations(self.hits + other.hits, self.misses + other.misses, self.walks + other.walks)


class UnitReading(NamedTuple):
    """What a unit's meter shows: all since the beginning of time."""

    node: str
    kind: str
    busy_ps: int
    stalls: Mapping[str, int]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitUse:
    """How a unit spent ``window_ps``: working, stalled by cause; and the bytes it moved."""

    node: str
    kind: str
    window_ps: int
    busy_ps: int
    stalls: Mapping[str, int] = field(hash=False)
    size_bytes: int

    @property
    def stalled_ps(self) -> int:
        """Time it had work and could not go on, for any cause."""
        return sum(self.stalls.values())

    @property
    def idle_ps(self) -> int:
        """Time it had nothing to do."""
        return self.window_ps - self.busy_ps - self.stalled_ps

    @property
    def utilisation(self) -> float:
        """The busy share of the window; 0 for an empty window."""
        return self.busy_ps / self.window_ps if self.window_ps else 0.0


def unit_uses(
    before: Iterable[UnitReading], after: Iterable[UnitReading], window_ps: int
) -> tuple[UnitUse, ...]:
    """One row per unit of ``after``, in its order: what its meter counted since ``before``, ``window_ps`` ago.

    A unit that ``before`` does not have began at zero.
    """
    earlier = {reading.node: reading for reading in before}
    return tuple(_use(earlier.get(reading.node), reading, window_ps) for reading in after)


def _use(before: UnitReading | None, after: UnitReading, window_ps: int) -> UnitUse:
    if before is None:
        before = after._replace(busy_ps=0, stalls={}, size_bytes=0)
    stalls = {cause: ps - before.stalls.get(cause, 0) for cause, ps in after.stalls.items()}
    return UnitUse(
        node=after.node,
        kind=after.kind,
        window_ps=window_ps,
        busy_ps=after.busy_ps - before.busy_ps,
        stalls={cause: ps for cause, ps in stalls.items() if ps},
        size_bytes=after.size_bytes - before.size_bytes,
    )


def link_uses(graph: TopologyGraph, links: Mapping[int, int], window_ps: int) -> tuple[UnitUse, ...]:
    """One row per link that carried anything, by edge: ``links`` maps an edge's index to bytes.

    A link is busy while it serialises, for bytes / rate.
    """
    rows = []
    for index, size in sorted(links.items()):
        edge = graph.edges[index]
        assert edge.rate is not None
        rows.append(
            UnitUse(
                node=f"{graph.nodes[edge.src].name} -> {graph.nodes[edge.dst].name}",
                kind=edge.kind,
                window_ps=window_ps,
                busy_ps=transfer_ps(size, edge.rate),
                stalls={},
                size_bytes=size,
            )
        )
    return tuple(rows)


def level_bytes(
    graph: TopologyGraph, links: Mapping[int, int], memories: Mapping[int, int], tcm_bytes: int
) -> dict[str, int]:
    """Bytes that each of :data:`LEVELS` moved.

    ``links`` maps an edge's index to the bytes that crossed it, headers included; ``memories`` a memory
    controller's node index to the bytes it read and wrote; ``tcm_bytes`` passed the ports of all TCMs.
    """
    sums = dict.fromkeys(LEVELS, 0)
    sums["tcm"] = tcm_bytes
    for node, size in memories.items():
        if graph.nodes[node].kind == "hbm_ctrl":
            sums["hbm"] += size
    for index, size in links.items():
        edge = graph.edges[index]
        level = _LEVEL_OF_EDGE.get(edge.kind)
        if level and not (edge.kind == "sip_link" and graph.nodes[edge.src].kind == "sip_switch"):
            sums[level] += size
    return sums
