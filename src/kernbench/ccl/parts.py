"""What kernels of collectives share: cutting vectors, combining blocks, rings and trees. Sees only the kernel language.

Kernels move *slices*: what one slot of a queue holds. Sends never wait here, receives do; that, and the order in which
every rank takes its turns, is why nothing stands still for ever, whatever the depth of the rings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from kernbench.lang import tl

MOST_AHEAD = 4  # turns between a rank of a tree and its parent, on the way up and on the way down
READ_AHEAD = 3  # slices of its own that a rank of a ring has read
MOST_IN_TCM = 8  # slices that a kernel keeps in TCM of its own accord


class Span(NamedTuple):
    """``size`` elements from ``start`` on."""

    start: int
    size: int


def split(span: Span, n_parts: int) -> list[Span]:
    """``span`` in even parts: the first of them one element longer, where it does not divide.

    >>> split(Span(0, 7), 3)
    [Span(start=0, size=3), Span(start=3, size=2), Span(start=5, size=2)]
    """
    size, rest = divmod(span.size, n_parts)
    starts = [span.start + i * size + min(i, rest) for i in range(n_parts)]
    return [Span(start, size + (i < rest)) for i, start in enumerate(starts)]


def slices(span: Span, slice_elems: int) -> list[Span]:
    """``span`` in slices of ``slice_elems`` elements, the last what is left; none of nothing.

    >>> slices(Span(3, 5), 2)
    [Span(start=3, size=2), Span(start=5, size=2), Span(start=7, size=1)]
    """
    stop = span.start + span.size
    return [Span(at, min(slice_elems, stop - at)) for at in range(span.start, stop, slice_elems)]


def whole(n_elem: int, slice_elems: int) -> list[Span]:
    """The slices of a whole vector."""
    return slices(Span(0, n_elem), slice_elems)


def block_of(rank: int, n_elem: int, slice_elems: int) -> list[Span]:
    """The slices of block ``rank`` of a vector of blocks, ``[n_ranks, n_elem]``."""
    return slices(Span(rank * n_elem, n_elem), slice_elems)


def read(pointer: Any, span: Span) -> Any:
    """The block of ``span`` behind ``pointer``."""
    return tl.load(pointer + span.start, shape=(span.size,))


def write(pointer: Any, span: Span, block: Any) -> None:
    """Put ``block`` at ``span`` behind ``pointer``."""
    tl.store(pointer + span.start, block)


def receive(queue: str, span: Span, like: Any) -> Any:
    """The next message of ``queue``: as many elements as ``span`` has, of the type that ``like`` points to."""
    return tl.recv(queue, (span.size,), like.dtype.element_ty)


def combine(op: str, a: Any, b: Any) -> Any:
    """``a`` and ``b`` reduced by ``op``, element by element, in their own dtype; a sum of bools is "any".

    A NaN is larger and smaller than all numbers, on whichever side it is. All ranks that make the same value name its
    operands in the same order: which zero is the larger one depends on it.
    """
    if op == "max":
        return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    if op == "min":
        return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
    if op == "bor" or (op == "sum" and a.dtype is tl.int1):
        return a | b
    if op == "band":
        return a & b
    if op == "bxor":
        return a ^ b
    return a * b if op == "prod" else a + b


def finish(op: str, total: Any, n_ranks: int) -> Any:
    """What is left to do to the reduction of all ranks: the division of an average.

    It rounds once to ``total``'s dtype; of integers it truncates, as NCCL's does.
    """
    if op != "avg":
        return total
    if total.dtype.is_float:
        return (total / n_ranks).to(total.dtype)
    return (total.to(tl.int64) // n_ranks).to(total.dtype)


def unfinished(op: str) -> str:
    """The op of a step whose result is reduced further: an average is a sum until its end."""
    return "sum" if op == "avg" else op


def is_same(src: Any, dst: Any) -> bool:
    """Whether two pointers lead to the same place: a collective that works in place."""
    return bool(src.va == dst.va)


def copy(src: Any, dst: Any, pieces: Sequence[Span], op: str = "sum") -> None:
    """``pieces`` from ``src`` to ``dst``, as a reduction over one rank."""
    if not is_same(src, dst):
        for piece in pieces:
            write(dst, piece, finish(op, read(src, piece), 1))


def pass_on(come_by: str, go_by: Sequence[str], dst: Any, piece: Span) -> None:
    """Receive a slice, send it on from where it arrived, and store it.

    Its slot is free when all of that is done.
    """
    block = receive(come_by, piece, dst)
    for queue in go_by:
        tl.send_async(queue, block)
    write(dst, piece, block)


def in_turn(*streams: Iterator[None]) -> None:
    """Run all ``streams`` to their end, a turn of each after the other."""
    running = list(streams)
    while running:
        running = [stream for stream in running if next(stream, True) is None]


def late(stream: Iterator[None], n_turns: int) -> Iterator[None]:
    """``stream``, ``n_turns`` turns later."""
    for _ in range(n_turns):
        yield
    yield from stream


# -- rings ------------------------------------------------------------------------------------------------------------


class Ring(NamedTuple):
    """A ring of ``n`` places as place ``me`` sees it: ``next`` leads to place ``me + 1``, ``prev`` to ``me - 1``."""

    n: int
    me: int
    next: str = "next"
    prev: str = "prev"

    def turned(self) -> Ring:
        """The same ring in the other direction: place i is place n - i there."""
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
        coming = self._schedule(width, windows)
        for step, piece in self._schedule(width, windows):
            for later, slice_ in islice(coming, READ_AHEAD - len(mine)):
                mine.append(read(self.src, slice_) if slice_ and later <= self.ring.n - 2 else None)
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


# -- grids of rings ---------------------------------------------------------------------------------------------------


def rings_of(places: Sequence[Sequence[int]]) -> list[Ring]:
    """The rings of each axis that this rank is in: ``places[r]`` is rank r's place along each."""
    mine = places[tl.rank()]
    return [
        Ring(1 + max(place[axis] for place in places), me, f"next{axis}", f"prev{axis}")
        for axis, me in enumerate(mine)
    ]


def bucket_all_reduce(
    places: Sequence[Sequence[int]], src: Any, dst: Any, n_elem: int, op: str, slice_elems: int, slots: int
) -> None:
    """Make ``dst`` of every rank the reduction of ``src``, axis by axis of a grid.

    Reduce-scatters along axis 0, 1, ... leave each rank one part of the part before; along the last axis an all-reduce
    completes it; all-gathers go back along the same axes.
    """
    *outer, last = rings_of(places)
    span, spans = Span(0, n_elem), []
    for ring in outer:
        parts = split(span, ring.n)
        cut = [slices(part, slice_elems) for part in parts]
        go_round(reduce_scatter_on(ring, cut, src, dst, unfinished(op), 1, slots), slots)
        src, span = dst, parts[ring.me]
        spans.append(cut)
    cut = [slices(part, slice_elems) for part in split(span, last.n)]
    if last.n == 1 and op == "avg":
        for piece in cut[0]:
            write(dst, piece, finish(op, read(src, piece), len(places)))
    else:
        go_round(all_reduce_on(last, cut, src, dst, op, len(places), slots), slots)
    for ring, cut in zip(reversed(outer), reversed(spans), strict=True):
        go_round(all_gather_on(ring, cut, dst, dst, slots), slots)


# -- trees ------------------------------------------------------------------------------------------------------------


class Tree(NamedTuple):
    """A tree as one rank sees it: the queues to its parent (None: it is the root) and children, and its depth."""

    parent: str | None
    children: tuple[str, ...]
    depth: int


def tree_of(parents: Sequence[int | None], label: str) -> Tree:
    """The tree in which rank r hangs on ``parents[r]``; the root has depth 0."""
    me = tl.rank()
    n_children, depth = sum(parent == me for parent in parents), depth_in(parents, me)
    children = tuple(f"{label}down{k}" for k in range(n_children))
    return Tree(f"{label}up" if depth else None, children, depth)


def depth_in(parents: Sequence[int | None], rank: int) -> int:
    """How far ``rank`` is from the root."""
    above = parents[rank]
    return 0 if above is None else 1 + depth_in(parents, above)


def ahead_of(slots: int) -> int:
    """Turns that a rank of a tree is ahead of its parent: as many as its ring from there takes."""
    return min(MOST_AHEAD, slots)


def tree_turns(
    tree: Tree, pieces: Sequence[Span], src: Any, dst: Any, op: str, n_ranks: int, ahead: int
) -> Iterator[None]:
    """Make ``dst`` of every rank the reduction of ``src``, each slice up the tree and down again.

    In turn i a rank receives slice i from its children, combines it with its own, and sends that to its parent: it is
    reduced over the rank's whole subtree. So the root's is complete; it sends that down at once. The others receive a
    slice that their parent sends down, send it to their children, and store it: at depth d slice i - 2 d ``ahead``.

    It never stands still. Let turn i at depth d be due at i - d ``ahead``. Then what it needs of its children was due
    there ``ahead`` before, and so was the slice that comes from its parent. Of these, ``ahead`` lie in the ring between
    them, which has as many slots. So nothing waits for what is due later.
    """
    lag = 2 * ahead * tree.depth
    for i in range(len(pieces) + lag):
        if i < len(pieces):
            _up(tree, pieces[i], src, dst, op, n_ranks)
        if i >= lag and tree.parent is not None:
            pass_on(tree.parent, tree.children, dst, pieces[i - lag])
        yield


def _up(tree: Tree, piece: Span, src: Any, dst: Any, op: str, n_ranks: int) -> None:
    block = read(src, piece)
    for queue in tree.children:
        block = combine(op, block, receive(queue, piece, src))
    if tree.parent is not None:
        tl.send_async(tree.parent, block)
        return
    block = finish(op, block, n_ranks)
    for queue in tree.children:
        tl.send_async(queue, block)
    write(dst, piece, block)


def broadcast(
    src: Any, dst: Any, pieces: Sequence[Span], parent: str | None, children: Sequence[str]
) -> None:
    """Receive each slice from the queue ``parent`` (None: it is in ``src``), send it to ``children``, store it."""
    for piece in pieces:
        if parent is not None:
            pass_on(parent, children, dst, piece)
            continue
        block = read(src, piece)
        for queue in children:
            tl.send_async(queue, block)
        if not is_same(src, dst):
            write(dst, piece, block)


def reduce(
    src: Any, dst: Any, pieces: Sequence[Span], op: str, parent: str | None, children: Sequence[str]
) -> None:
    """Combine each slice with those of ``children``, in this order; send it to ``parent`` (None: it is complete)."""
    for piece in pieces:
        block = read(src, piece)
        for queue in children:
            block = combine(op, block, receive(queue, piece, src))
        if parent is not None:
            tl.send_async(parent, block)
        else:
            write(dst, piece, finish(op, block, tl.num_ranks()))


def binomial(root: int) -> tuple[str | None, list[str]]:
    """The queues to this rank's parent and children in the binomial tree of all ranks; the furthest child first.

    Place v, rank ``root`` + v, hangs on v without its lowest bit that is set. Queues are those to and from the ranks
    2**k higher.
    """
    n = tl.num_ranks()
    place = (tl.rank() - root) % n
    n_bits = (n - 1).bit_length()
    lowest = (place & -place).bit_length() - 1 if place else n_bits
    children = [f"to{k}" for k in reversed(range(lowest)) if place + (1 << k) < n]
    return (f"from{lowest}" if place else None), children
