"""Broadcast along a chain, slice by slice."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.rings import ring_of
from kernbench.ccl.kernels.spans import whole
from kernbench.ccl.kernels.trees import broadcast
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.theory.closed_forms import chain


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
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: (world_size - 1) * n_elem,
        closed_form=lambda problem, model: chain(problem, model, 0),
        source="(p-1)(alpha + c beta) + (k-1) c beta, k slices of c; "
        "Pjesivac-Grbovic et al. 2007, Cluster Computing 10(2): pipeline",
        small=Small(n_ranks=5, n_elem=16),
    )
)
