"""Orders of ranks: which rank is next to which in an algorithm's ring."""

from __future__ import annotations

from collections.abc import Sequence

from kernbench.ccl.algorithm import Group
from kernbench.ccl.wiring import Coords, QueuePair


def ring_order(group: Group) -> tuple[int, ...]:
    """The ranks in the order of a ring.

    Where they fill a rectangle with two sides of 2 or more and an even number of places, a Hamiltonian cycle: every
    neighbour in the ring is one in the grid, the last and the first too. Otherwise row by row, there and back, so that
    only the way from the last to the first is long.
    """
    at = {place: rank for rank, place in enumerate(group.coords)}
    xs, ys = sorted({x for x, _ in at}), sorted({y for _, y in at})
    is_full = len(xs) * len(ys) == len(at) and xs == list(range(xs[0], xs[-1] + 1))
    if is_full and ys == list(range(ys[0], ys[-1] + 1)) and min(len(xs), len(ys)) > 1 and len(at) % 2 == 0:
        return tuple(at[place] for place in _cycle(xs, ys))
    return tuple(at[place] for place in _there_and_back(sorted(at, key=lambda place: place[::-1])))


def _cycle(xs: Sequence[int], ys: Sequence[int]) -> list[Coords]:
    """Down the first column at last, the rest row by row there and back; turned round if only the width is even."""
    if len(ys) % 2:
        return [(x, y) for y, x in _cycle(ys, xs)]
    first, *others = xs
    rows = [(y, others if i % 2 == 0 else others[::-1]) for i, y in enumerate(ys)]
    return [
        (first, ys[0]),
        *((x, y) for y, row in rows for x in row),
        *((first, y) for y in reversed(ys[1:])),
    ]


def _there_and_back(places: Sequence[Coords]) -> list[Coords]:
    rows: dict[int, list[Coords]] = {}
    for place in places:
        rows.setdefault(place[1], []).append(place)
    return [place for i, row in enumerate(rows.values()) for place in (row if i % 2 == 0 else row[::-1])]


def ring_queues(group: Group) -> tuple[QueuePair, ...]:
    """Each rank's ``next`` is joined to the ``prev`` of the one behind it in :func:`ring_order`; none for one rank."""
    order = ring_order(group)
    after = {rank: order[(i + 1) % len(order)] for i, rank in enumerate(order)}
    if len(order) < 2:
        return ()
    return (QueuePair("next", "prev", lambda rank, n_ranks: after[rank]),)


def ring_layout(group: Group) -> dict[str, tuple[int, ...]]:
    """``order``: the rank at each place of the ring."""
    return {"order": ring_order(group)}
