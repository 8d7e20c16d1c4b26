"""What kernels of collectives share: cutting vectors, and combining blocks. Sees only the kernel language."""

from __future__ import annotations

from typing import Any, NamedTuple

from kernbench.lang import tl


class Span(NamedTuple):
    """``size`` elements from ``start`` on."""

    start: int
    size: int


def chunk(n_elem: int, n_chunks: int, index: int) -> Span:
    """Chunk ``index`` (modulo their number) of ``n_elem`` elements in ``n_chunks``: the first of them one longer.

    >>> [chunk(7, 3, i) for i in range(3)]
    [Span(start=0, size=3), Span(start=3, size=2), Span(start=5, size=2)]
    """
    index %= n_chunks
    size, rest = divmod(n_elem, n_chunks)
    return Span(index * size + min(index, rest), size + (index < rest))


def cut(span: Span, slice_elems: int, index: int) -> Span:
    """Slice ``index`` of ``span``, of ``slice_elems`` elements or what is left; an empty one beyond its end."""
    start = index * slice_elems
    return Span(span.start + start, max(0, min(slice_elems, span.size - start)))


def n_slices(span: Span, slice_elems: int) -> int:
    """Slices of ``span``."""
    return -(-span.size // slice_elems)


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
    """``a`` and ``b`` reduced by ``op``, element by element, in their own dtype."""
    if op == "max":
        return tl.maximum(a, b)
    if op == "min":
        return tl.minimum(a, b)
    return a * b if op == "prod" else a + b


def finish(op: str, total: Any, n_ranks: int) -> Any:
    """What is left to do to the reduction of all ranks: the division of an average."""
    return (total / n_ranks).to(total.dtype) if op == "avg" else total


def copy(src: Any, dst: Any, n_elem: int, slice_elems: int) -> None:
    """``n_elem`` elements from ``src`` to ``dst``, slice by slice."""
    whole = Span(0, n_elem)
    for i in range(n_slices(whole, slice_elems)):
        part = cut(whole, slice_elems, i)
        write(dst, part, read(src, part))
