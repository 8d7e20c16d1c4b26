"""All-reduce on a ring, in slices that are forwarded from where they arrive."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.rings import all_reduce_on, go_round, ring_of
from kernbench.ccl.kernels.spans import Span, slices, split
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.theory.closed_forms import ring_all_reduce


def ring_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, order: tuple[int, ...]
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Rank ``order[i]`` is at place i and sends to place i + 1. Chunk c is the c-th of ``n_ranks`` even parts. What place
    i receives in step s is chunk i - s - 1: for s < n - 1 reduced over s + 1 places, from place c on, and combined here
    with its own part, so that chunk i + 1 is complete after step n - 2; from then on complete chunks are passed on.

    A rank has at most ``slots - 1`` slices under way, so that a ring full of blocks that wait to be passed on always
    has a slot free somewhere. With one slot it passes on what it has stored.
    """
    chunks = [slices(chunk, slice_elems) for chunk in split(Span(0, n_elem), len(order))]
    go_round(all_reduce_on(ring_of(order), chunks, src, dst, op, len(order), slots), slots)


ALGORITHMS.register("ring_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=ring_allreduce,
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
        closed_form=ring_all_reduce,
        source="2(p-1)(alpha + c beta) + (p-1) c gamma, c = n/p; "
        "Patarasuk and Yuan 2009, JPDC 69(2): ring; derived: slices",
        small=Small(n_ranks=4, n_elem=64),
    )
)
