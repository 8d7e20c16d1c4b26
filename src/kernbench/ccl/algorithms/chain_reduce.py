"""Reduce along a chain, slice by slice."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.rings import ring_of
from kernbench.ccl.kernels.spans import whole
from kernbench.ccl.kernels.trees import reduce
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.theory.closed_forms import chain


def chain_reduce(
    src: Any, dst: Any, *, n_elem: int, op: str, root: int, slice_elems: int, order: tuple[int, ...]
) -> None:
    """Make ``dst`` of rank ``root`` the reduction of ``src`` over all ranks, ``[n_elem]``; the others keep theirs.

    The chain is the ring ``order`` from the root on, up to the rank behind it. Place v of it receives slice i, reduced
    over the places above it, combines its own with that, and sends it to place v - 1. Place 0's is complete.
    """
    ring = ring_of(order)
    place = (ring.me - order.index(root)) % ring.n
    children = ("next",) if place < ring.n - 1 else ()
    reduce(src, dst, whole(n_elem, slice_elems), op, "prev" if place else None, children)


ALGORITHMS.register("chain_reduce")(
    Algorithm(
        collective="reduce",
        kernel=chain_reduce,
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: (world_size - 1) * n_elem,
        closed_form=lambda problem, model: chain(problem, model, model.gamma),
        source="(p-1)(alpha + c beta + c gamma) + (k-1) c beta; "
        "Pjesivac-Grbovic et al. 2007, Cluster Computing 10(2): pipeline",
        small=Small(n_ranks=5, n_elem=16),
    )
)
