"""All-gather on a ring."""

from __future__ import annotations

from functools import partial
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.rings import all_gather_on, go_round, ring_of
from kernbench.ccl.kernels.spans import block_of
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.lang import tl
from kernbench.theory.closed_forms import ring_blocks


def ring_all_gather(
    src: Any, dst: Any, *, n_elem: int, slice_elems: int, slots: int, order: tuple[int, ...]
) -> None:
    """Make block r of every ``dst``, ``[n_ranks, n_elem]``, the ``src`` of rank r, ``[n_elem]``.

    Rank ``order[i]`` is at place i and sends to place i + 1, first its own. What place i receives in step s is the
    block of the rank at place i - s - 1; after step n - 2 it has all.
    """
    blocks = [block_of(rank, n_elem, slice_elems) for rank in order]
    home = src + -tl.rank() * n_elem  # where block 0 would be, if src were as large as dst
    go_round(all_gather_on(ring_of(order), blocks, home, dst, slots), slots)


ALGORITHMS.register("ring_all_gather")(
    Algorithm(
        collective="all_gather",
        kernel=ring_all_gather,
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: world_size * (world_size - 1) * n_elem,
        closed_form=partial(ring_blocks, is_reducing=False),
        source="(p-1)(alpha + c beta); Thakur, Rabenseifner and Gropp 2005, IJHPCA 19(1): ring; derived: slices",
        small=Small(n_ranks=4, n_elem=16),
    )
)
