"""Rings of ranks: what goes round in them, step by step, and is combined or gathered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from kernbench.ccl.kernels.spans import (
    Span,
    combine,
    copy,
    finish,
    in_turn,
    is_same,
    read,
    receive,
    write,
)
from kernbench.lang import tl

READ_AHEAD = 3  # slices of its own that a rank of a ring has read


class Ring(NamedTuple):
    """A ring of ``n`` places as place ``me`` sees it: ``next`` leads to place ``me + 1``, ``prev`` to ``me - 1``."""

    n: int
    me: int
    next: str = "next"
    prev: str = "prev"

    def turned(self) -> Ring:
        """A ring in the other direction: place i is place n - i there."""
        return Ring(self.n, -self.me % self.n, self.prev, self.next)


def ring_of(order: Sequence[int]) -> Ring:
    """The ring of all ranks in ``order``."""
    return Ring(len(order), order.index(tl.rank()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RingRun:
    """A vector in ``ring.n`` parts that goes round a ring, slice by slice; what place i does in step s:

    - it sends on what it received in step s - 1, and in step ``first`` its own part i - ``first`` - 1;
    - it receives part i - s - 1. For s <= n - 2 that is reduced over s + 1 places, part c beginning at place c, and is
      combined here with this place's own; so in step n - 2 part i + 1 is complete, and goes to ``dst``;
    - for s >= n - 1 the part is complete when it comes, and goes to ``dst``. Step ``last`` sends nothing on.

    Steps -1 to 2n - 3 are an all-reduce, up to n - 2 a reduce-scatter, from n - 2 on an all-gather. ``parts[c]`` are
    the slices of part c. ``n_ranks`` is what an average is divided by.

    It never stands still: all places take their turns in one order, and each has fewer slices under way than its ring
    has slots. So somewhere a slot is free; whoever wants to send there does, and if nobody does, that place waits for
    nothing. With one slot a complete slice is passed on from ``dst``, not from its slot (``one_slot``).
    """

    ring: Ring
    parts: Sequence[Sequence[Span]]
    src: Any
    dst: Any
    op: str
    n_ranks: int
    first: int
    last: int
    one_slot: bool

    @property
    def n_slices(self) -> int:
        """Slices of the longest part."""
        return max(map(len, self.parts))

    def turns(self, width: int, windows: Sequence[int] | None = None) -> Iterator[None]:
        """``width`` slices of each part go all the way, then the next: from those that ``windows`` lists (all).

        The place's own slices are read ``READ_AHEAD`` - 1 turns before they are needed: a send waits for loads before
        it, so it should not be the last thing before a send. Nothing else writes them.
        """
        mine: deque[Any] = deque()
        due: deque[tuple[int, Span | None]] = deque()
        counts_until = self.ring.n - 2
        behind: list[tuple[int, Span | None]] = [(self.last, None)] * (READ_AHEAD - 1)
        for turn in chain(self._schedule(width, windows), behind):
            step, piece = turn
            mine.append(read(self.src, piece) if piece and step <= counts_until else None)
            due.append(turn)
            if len(due) < READ_AHEAD:
                continue
            step, piece = due.popleft()
            if piece:
                self.turn(step, piece, mine.popleft())
            else:
                mine.popleft()
            yield

    def _schedule(self, width: int, windows: Sequence[int] | None) -> Iterator[tuple[int, Span | None]]:
        """Step and slice of every turn; None beyond the end of a part, so that all parts have as many."""
        for begin in range(0, self.n_slices, width) if windows is None else windows:
            for step in range(self.first, self.last + 1):
                part = self.parts[(self.ring.me - step - 1) % self.ring.n]
                for i in range(begin, begin + width):
                    yield step, part[i] if i < len(part) else None

    def turn(self, step: int, piece: Span, block: Any) -> None:
        """One slice of one step; ``block`` is the place's own, if it counts. What it holds is free when it returns."""
        completes = self.ring.n - 2
        if step > self.first:
            if block is None:
                block = receive(self.ring.prev, piece, self.src)
            else:
                block = combine(self.op, receive(self.ring.prev, piece, self.src), block)
            if step == completes:
                block = finish(self.op, block, self.n_ranks)
        sends, waits = step < self.last, self.one_slot and step > completes
        if sends and not waits:
            tl.send_async(self.ring.next, block)
        if step >= completes and not (step == self.first and is_same(self.src, self.dst)):
            write(self.dst, piece, block)
        if sends and waits:
            del block
            tl.send_async(self.ring.next, read(self.dst, piece))


def all_reduce_on(
    ring: Ring, parts: Sequence[Sequence[Span]], src: Any, dst: Any, op: str, n_ranks: int, slots: int
) -> RingRun:
    """Every place's ``dst`` becomes the reduction of ``src``; see :class:`RingRun`."""
    last = 2 * (ring.n - 1) - 1
    return _run(ring, parts, src, dst, op, n_ranks=n_ranks, first=-1, last=last, slots=slots)


def reduce_scatter_on(
    ring: Ring, parts: Sequence[Sequence[Span]], src: Any, dst: Any, op: str, n_ranks: int, slots: int
) -> RingRun:
    """Part i of ``dst`` at place i becomes the reduction of ``src``'s, beginning at place i + 1."""
    return _run(ring, _behind(parts), src, dst, op, n_ranks=n_ranks, first=-1, last=ring.n - 2, slots=slots)


def all_gather_on(ring: Ring, parts: Sequence[Sequence[Span]], src: Any, dst: Any, slots: int) -> RingRun:
    """Part i of every ``dst`` becomes that of ``src`` at place i."""
    first, last = ring.n - 2, 2 * (ring.n - 1) - 1
    return _run(ring, _behind(parts), src, dst, "sum", n_ranks=1, first=first, last=last, slots=slots)


def _run(ring: Ring, parts: Any, src: Any, dst: Any, op: str, *, slots: int, **steps: int) -> RingRun:
    return RingRun(ring=ring, parts=parts, src=src, dst=dst, op=op, one_slot=slots == 1, **steps)


def _behind(parts: Sequence[Sequence[Span]]) -> Sequence[Sequence[Span]]:
    """The parts numbered one higher: so that place i ends, or begins, with part i."""
    return [parts[-1], *parts[:-1]]


def go_round(run: RingRun, slots: int) -> None:
    """Take all turns of ``run`` one by one; of a ring of one place, only copy."""
    if run.ring.n == 1:
        copy(run.src, run.dst, run.parts[0], run.op)
    else:
        in_turn(run.turns(max(1, slots - 1)))


def reduce_on_ring(
    ring: Ring, n_blocks: int, own: Callable[[int, int], Any], like: Any, op: str, slots: int
) -> list[Any]:
    """The reductions of blocks 0 to ``n_blocks`` - 1 of part ``me``, left in TCM.

    ``own(c, k)`` is this place's block k of part c. What place i receives in step s is part i - s - 2, reduced over
    s + 1 places from place i - s - 1 on; so in step n - 2 part i is complete. Up to ``slots`` blocks are under way.
    """
    n, me = ring.n, ring.me
    complete: list[Any] = []
    for begin in range(0, n_blocks, slots):
        window = range(begin, min(begin + slots, n_blocks))
        for step in range(-1, n - 1):
            for k in window:
                block = own((me - step - 2) % n, k)
                if step >= 0:
                    theirs = tl.recv(ring.prev, block.shape, like.dtype.element_ty)
                    block = combine(op, theirs, block)
                    del theirs
                if step < n - 2:
                    tl.send_async(ring.next, block)
                else:
                    complete.append(block)
    return complete
