"""All-gather on a ring."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm
from kernbench.ccl.kernels.rings import all_gather_on, go_round, ring_of
from kernbench.ccl.kernels.spans import block_of
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.lang import tl


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
        kernel_args=lambda world_size, n_elem: {"n_elem": n_elem},
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: world_size * (world_size - 1) * n_elem,
    )
)
