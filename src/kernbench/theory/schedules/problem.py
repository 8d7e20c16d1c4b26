"""What a schedule is made for, and what all schedules share.

A schedule counts in elements of the vector that a rank has in full (or would have: all its blocks). What one slot of a
queue holds travels as one message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from kernbench.theory.max_plus import Schedule, Span, Step

MOST_IN_TCM = 8  # slices that an algorithm keeps in TCM, however deep the rings are
TURNS_AHEAD = (
    4  # of a rank in a tree before its parent, on the way up and on the way down, if the rings hold them
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One collective: how many ranks, how much, in slots of what size, how many in a ring.

    ``n_elem`` are the elements of the smaller buffer of a rank, ``slice_elems`` those that one slot holds. ``layout``
    is the algorithm's order of ranks, as its kernel is told.
    """

    n_ranks: int
    n_elem: int
    item_bytes: int
    slice_elems: int
    slots: int
    root: int = 0
    layout: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of ``n_elem`` elements."""
        return self.n_elem * self.item_bytes

    @property
    def turns_ahead(self) -> int:
        """Turns that a rank of a tree is ahead of its parent."""
        return min(TURNS_AHEAD, self.slots)

    def slices(self, span: Span) -> list[Span]:
        """``span`` in messages: all as large as a slot but the last; none of nothing."""
        most = self.slice_elems
        return [(at, min(at + most, span[1])) for at in range(*span, most)]

    def block(self, rank: int) -> list[Span]:
        """The slices of block ``rank`` of a vector of ``n_ranks`` blocks."""
        return self.slices((rank * self.n_elem, (rank + 1) * self.n_elem))


Turns: TypeAlias = Iterator[Sequence[Step]]
Maker: TypeAlias = Callable[[Problem], list[list[Step]]]
SCHEDULES: dict[str, Callable[[Problem], Schedule]] = {}


def schedule(*names: str) -> Callable[[Maker], Maker]:
    """Decorator: the function makes the programs of the algorithms ``names``."""

    def enter(make: Maker) -> Maker:
        for name in names:
            SCHEDULES[name] = lambda problem: Schedule(make(problem), problem.item_bytes)
        return make

    return enter


def even_parts(span: Span, n: int) -> list[Span]:
    """``span`` in ``n`` parts of sizes as even as can be, the larger ones first.

    >>> even_parts((0, 7), 3)
    [(0, 3), (3, 5), (5, 7)]
    """
    size, rest = divmod(span[1] - span[0], n)
    bounds = [span[0] + i * size + min(i, rest) for i in range(n + 1)]
    return list(pairwise(bounds))


def in_turn(*streams: Turns) -> list[Step]:
    """A turn of each stream after one of the other, until all are at their end."""
    steps: list[Step] = []
    running = list(streams)
    while running:
        for stream in running.copy():
            turn = next(stream, None)
            if turn is None:
                running.remove(stream)
            else:
                steps += turn
    return steps
