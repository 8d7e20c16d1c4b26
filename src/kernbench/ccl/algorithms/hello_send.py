"""The smallest collective: rank 0 sends a vector to rank 1."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.spans import read, receive, whole, write
from kernbench.ccl.wiring import QueuePair
from kernbench.lang import tl
from kernbench.theory.group import Group


def hello_send(src: Any, dst: Any, *, n_elem: int, slice_elems: int) -> None:
    """Make ``dst`` of rank 1 the ``src`` of rank 0, ``[n_elem]``; other ranks do nothing.

    After slice i, rank 1 has stored the first i + 1 slices.
    """
    for piece in whole(n_elem, slice_elems):
        if tl.rank() == 0:
            tl.send_async("out", read(src, piece))
        elif tl.rank() == 1:
            write(dst, piece, receive("in", piece, dst))


def refuses(group: Group) -> str | None:
    """One rank has nobody to send to."""
    return None if group.n_ranks > 1 else "there is nobody to send to"


ALGORITHMS.register("hello_send")(
    Algorithm(
        collective="send_recv",
        kernel=hello_send,
        queues=lambda group: (QueuePair("out", "in", lambda rank, n_ranks: None if rank else 1),),
        elems_sent=lambda world_size, n_elem: n_elem,
        refuses=refuses,
        closed_form=lambda problem, model: problem.size_bytes * model.beta + model.alpha,
        source="n beta + alpha; Hockney 1994, Parallel Computing 20(3): a message",
        small=Small(n_ranks=2, n_elem=16),
    )
)
