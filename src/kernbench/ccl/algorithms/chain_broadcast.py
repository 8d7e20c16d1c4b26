"""Broadcast along a chain, slice by slice."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm
from kernbench.ccl.kernels.rings import ring_of
from kernbench.ccl.kernels.spans import whole
from kernbench.ccl.kernels.trees import broadcast
from kernbench.ccl.orders import ring_layout, ring_queues


def chain_broadcast(
    src: Any, dst: Any, *, n_elem: int, root: int, slice_elems: int, order: tuple[int, ...]
) -> None:
    """Make ``dst`` of every rank the ``src`` of rank ``root``, ``[n_elem]``.

    The chain is the ring ``order`` from the root on, up to the rank behind it. Place v of it receives slice i from
    place v - 1, sends it on from where it arrived, and stores it: after step s of n_slices + n_ranks - 2, place v has
    s - v + 2 slices.
    """
    ring = ring_of(order)
    place = (ring.me - order.index(root)) % ring.n
    children = ("next",) if place < ring.n - 1 else ()
    broadcast(src, dst, whole(n_elem, slice_elems), "prev" if place else None, children)


ALGORITHMS.register("chain_broadcast")(
    Algorithm(
        collective="broadcast",
        kernel=chain_broadcast,
        kernel_args=lambda world_size, n_elem: {"n_elem": n_elem},
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: (world_size - 1) * n_elem,
    )
)
