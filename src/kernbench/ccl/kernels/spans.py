"""Spans of a vector, and what kernels of collectives do with them: cut, read, combine, send on and receive.

Kernels move *slices*: what one slot of a queue holds. Sends never wait here, receives do; that, and the order in which
every rank takes its turns, is why nothing stands still for ever, whatever the depth of the rings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kernbench.lang import tl

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
