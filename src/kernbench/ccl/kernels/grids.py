"""Grids of ranks: rings along each dimension, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernbench.ccl.kernels.rings import Ring, all_gather_on, all_reduce_on, go_round, reduce_scatter_on
from kernbench.ccl.kernels.spans import Span, finish, read, slices, split, unfinished, write
from kernbench.lang import tl


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
