"""How much can get from some end points to others: a maximum flow over the links of the routes between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from kernbench.topology.graph import Edge
from kernbench.topology.routes import Routes
from kernbench.units import Rate

_SOURCE, _SINK = -1, -2  # no node has these indices
_Arc = tuple[int, int]


class Flow(NamedTuple):
    """``rate`` is the most that gets through; all of it crosses and fills the links ``cut`` and the ends ``ends``.

    An end (a node index) is in ``ends`` where what it gives or takes itself is the limit.
    """

    rate: Rate
    cut: tuple[Edge, ...]
    ends: tuple[int, ...]


def flow(
    routes: Routes, sources: Mapping[int, Rate], sinks: Mapping[int, Rate], pairs: Iterable[_Arc]
) -> Flow:
    """The most that ``sources`` can send to ``sinks`` (node index to what each gives or takes at most).

    ``pairs`` are those of (source, sink) that have traffic. It may divide among all links that any of their routes
    has, so no traffic on these routes is faster.
    """
    edges = {(edge.src, edge.dst): edge for pair in pairs for edge in routes.route(*pair)}
    room = {arc: edge.rate.fraction for arc, edge in edges.items() if edge.rate is not None}
    room |= {(_SOURCE, node): rate.fraction for node, rate in sources.items()}
    room |= {(node, _SINK): rate.fraction for node, rate in sinks.items()}
    total, reached = _fill(room)
    cut = [edge for (here, there), edge in edges.items() if here in reached and there not in reached]
    ends = [node for node in sources if node not in reached] + [node for node in sinks if node in reached]
    return Flow(Rate.of(total), tuple(cut), tuple(ends))


def total_rate(edges: Iterable[Edge]) -> Fraction:
    """What all links among ``edges`` carry together, in bytes per ns."""
    return sum((edge.rate.fraction for edge in edges if edge.rate is not None), Fraction(0))


def _fill(room: dict[_Arc, Fraction]) -> tuple[Fraction, set[int]]:
    """Fill the arcs along shortest ways (Edmonds and Karp, 1972): the flow, and what could still be reached."""
    beside: dict[int, list[int]] = {}
    for here, there in list(room):
        beside.setdefault(here, []).append(there)
        beside.setdefault(there, []).append(here)
        room.setdefault((there, here), Fraction(0))
    total = Fraction(0)
    while True:
        came_from = _search(beside, room)
        if _SINK not in came_from:
            return total, set(came_from)
        way, here = [], _SINK
        while here != _SOURCE:
            way.append((came_from[here], here))
            here = came_from[here]
        least = min(room[arc] for arc in way)
        total += least
        for here, there in way:
            room[here, there] -= least
            room[there, here] += least


def _search(beside: Mapping[int, list[int]], room: Mapping[_Arc, Fraction]) -> dict[int, int]:
    """Every node that still has a way from the source, by the node before it."""
    came_from, to_do = {_SOURCE: _SOURCE}, deque([_SOURCE])
    while to_do and _SINK not in came_from:
        here = to_do.popleft()
        for there in beside.get(here, ()):
            if there not in came_from and room[here, there]:
                came_from[there] = here
                to_do.append(there)
    return came_from
