"""Broadcast on a binomial tree: those who have it double in each step."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.spans import whole
from kernbench.ccl.kernels.trees import binomial, broadcast
from kernbench.ccl.orders import power_queues
from kernbench.theory.closed_forms import lock_step


def binomial_broadcast(src: Any, dst: Any, *, n_elem: int, root: int, slice_elems: int) -> None:
    """Make ``dst`` of every rank the ``src`` of rank ``root``, ``[n_elem]``.

    Place v is rank ``root`` + v. Its parent is v without the lowest bit that is set; its children are v + 2**k for each
    2**k below that bit, the furthest first. So of one slice, in step s from 0 on, every place that is a multiple of
    2**(L - s) sends to the one 2**(L - 1 - s) above it, L = log2 of ``n_ranks`` rounded up; after that step the
    multiples of 2**(L - 1 - s) have it. The next slice follows behind.
    """
    parent, children = binomial(root)
    broadcast(src, dst, whole(n_elem, slice_elems), parent, children)


ALGORITHMS.register("binomial_broadcast")(
    Algorithm(
        collective="broadcast",
        kernel=binomial_broadcast,
        queues=power_queues,
        elems_sent=lambda world_size, n_elem: (world_size - 1) * n_elem,
        is_crossbar=True,
        closed_form=lambda problem, model: lock_step(problem, model, 0),
        source="L (alpha + n beta), L = log2 p; Thakur, Rabenseifner and Gropp 2005, IJHPCA 19(1): binomial tree",
        small=Small(n_ranks=8, n_elem=16),
    )
)
