"""Reduce-scatter on a ring."""

from __future__ import annotations

from functools import partial
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.rings import go_round, reduce_scatter_on, ring_of
from kernbench.ccl.kernels.spans import block_of
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.lang import tl
from kernbench.theory.closed_forms import ring_blocks


def ring_reduce_scatter(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, order: tuple[int, ...]
) -> None:
    """Make ``dst`` of rank r, ``[n_elem]``, the reduction of block r of ``src`` over all ranks, ``[n_ranks, n_elem]``.

    Rank ``order[i]`` is at place i and sends to place i + 1, first the block of the rank at place i - 1. What place i
    receives in step s is that of place i - s - 2, reduced over s + 1 places from place i - s - 1 on, and combined here
    with its own; after step n - 2 it has its own block, complete.
    """
    blocks = [block_of(rank, n_elem, slice_elems) for rank in order]
    home = dst + -tl.rank() * n_elem  # where block r would be, if dst were as large as src
    go_round(reduce_scatter_on(ring_of(order), blocks, src, home, op, len(order), slots), slots)


ALGORITHMS.register("ring_reduce_scatter")(
    Algorithm(
        collective="reduce_scatter",
        kernel=ring_reduce_scatter,
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: world_size * (world_size - 1) * n_elem,
        closed_form=partial(ring_blocks, is_reducing=True),
        source="(p-1)(alpha + c beta + c gamma); "
        "Patarasuk and Yuan 2009, JPDC 69(2): the first half of the ring; derived: slices",
        small=Small(n_ranks=4, n_elem=16),
    )
)
