"""Reduce on a binomial tree: those who hold a part halve in each step."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.spans import whole
from kernbench.ccl.kernels.trees import binomial, reduce
from kernbench.ccl.orders import power_queues
from kernbench.theory.closed_forms import lock_step


def binomial_reduce(src: Any, dst: Any, *, n_elem: int, op: str, root: int, slice_elems: int) -> None:
    """Make ``dst`` of rank ``root`` the reduction of ``src`` over all ranks, ``[n_elem]``; the others keep theirs.

    Place v is rank ``root`` + v. Its children are v + 2**k for each 2**k below the lowest bit that is set in v; it
    combines its own with theirs, the nearest first, and so has, after child k, the reduction of places v to
    v + 2**(k + 1) - 1, in their order. It sends what it has to its parent, v without that bit. Place 0's is complete.
    """
    parent, children = binomial(root)
    reduce(src, dst, whole(n_elem, slice_elems), op, parent, children[::-1])


ALGORITHMS.register("binomial_reduce")(
    Algorithm(
        collective="reduce",
        kernel=binomial_reduce,
        queues=power_queues,
        elems_sent=lambda world_size, n_elem: (world_size - 1) * n_elem,
        is_crossbar=True,
        closed_form=lambda problem, model: lock_step(problem, model, model.gamma),
        source="L (alpha + n beta + n gamma), L = log2 p; "
        "Thakur, Rabenseifner and Gropp 2005, IJHPCA 19(1): binomial tree",
        small=Small(n_ranks=8, n_elem=16),
    )
)
