"""Barrier: nobody leaves before everybody has come."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.orders import n_powers, power_queues
from kernbench.lang import tl


def dissemination_barrier(src: Any, dst: Any) -> None:
    """Return when all ranks have called this, and all they had loaded and stored before is complete.

    In step k a rank sends an empty message to the one 2**k higher and waits for that of the one 2**k lower: after that
    it knows of the 2**(k + 1) ranks up to its own.
    """
    for k in range(n_powers(tl.num_ranks())):
        tl.send_async(f"to{k}", tl.zeros((0,), tl.int8))
        tl.recv(f"from{k}", (0,), tl.int8)


ALGORITHMS.register("dissemination_barrier")(
    Algorithm(
        collective="barrier",
        kernel=dissemination_barrier,
        kernel_args=lambda world_size, n_elem: {},
        queues=power_queues,
        elems_sent=lambda world_size, n_elem: 0,
        is_crossbar=True,
        closed_form=lambda problem, model: n_powers(problem.n_ranks) * model.alpha,
        source="ceil(log2 p) alpha; Hensgen, Finkel and Manber 1988, IJPP 17(1): dissemination barrier",
        small=Small(n_ranks=9, n_elem=0),
    )
)
