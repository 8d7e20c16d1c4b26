"""All-reduce on a ring, in slices that are forwarded from where they arrive."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.ccl.parts import chunk, combine, cut, finish, n_slices, read, receive, write
from kernbench.lang import tl


def ring_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, order: tuple[int, ...]
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Rank ``order[i]`` is at place i and sends to place i + 1. Chunk c is the c-th of ``n_ranks`` even parts. What place
    i receives in step s is chunk i - s - 1: for s < n - 1 reduced over s + 1 places, and combined here with its own
    part, so that chunk i + 1 is complete after step n - 2; from then on complete chunks are passed on.

    A rank has at most ``slots - 1`` slices under way, so that a ring full of blocks that wait to be passed on always
    has a slot free somewhere. With one slot it passes on what it has stored.
    """
    n, me = len(order), order.index(tl.rank())
    if n == 1:
        for i in range(n_slices(chunk(n_elem, 1, 0), slice_elems)):
            part = cut(chunk(n_elem, 1, 0), slice_elems, i)
            write(dst, part, finish(op, read(src, part), 1))
        return
    last_step, window, n_all = 2 * (n - 1) - 1, max(1, slots - 1), n_slices(chunk(n_elem, n, 0), slice_elems)
    for first in range(0, n_all, window):
        slices = range(first, min(first + window, n_all))
        for i in slices:
            part = cut(chunk(n_elem, n, me), slice_elems, i)
            if part.size:
                tl.send_async("next", read(src, part))
        for step in range(last_step + 1):
            for i in slices:
                part = cut(chunk(n_elem, n, me - step - 1), slice_elems, i)
                if not part.size:
                    continue
                block = receive("prev", part, src)
                if step < n - 1:
                    block = combine(op, block, read(src, part))
                if step == n - 2:
                    block = finish(op, block, n)
                if step < last_step and slots > 1:
                    tl.send_async("next", block)
                if step >= n - 2:
                    write(dst, part, block)
                if step < last_step and slots == 1:
                    if step >= n - 2:
                        block = read(dst, part)
                    tl.send_async("next", block)


ALGORITHMS.register("ring_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=ring_allreduce,
        kernel_args=lambda world_size, n_elem: {"n_elem": n_elem},
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
    )
)
