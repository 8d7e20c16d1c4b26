"""All-reduce by exchanging everything with the rank 1, 2, 4 ... away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.spans import (
    MOST_IN_TCM,
    Span,
    combine,
    copy,
    finish,
    read,
    receive,
    unfinished,
    whole,
    write,
)
from kernbench.ccl.orders import exchange_queues, n_powers, no_power_of_two
from kernbench.lang import tl
from kernbench.theory.closed_forms import lock_step


def recursive_doubling_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Of as many slices as fit a ring, a rank holds after step k, in TCM, the reduction over all ranks whose number
    differs from its own in bits 0 to k only: it has sent what it had to the rank that differs in bit k, and combined
    it with what that one had, in the order of their ranks.
    """
    pieces, n_slices = whole(n_elem, slice_elems), min(slots, MOST_IN_TCM)
    if tl.num_ranks() == 1:
        copy(src, dst, pieces, op)
        return
    for begin in range(0, len(pieces), n_slices):
        _exchange(pieces[begin : begin + n_slices], src, dst, op)


def _exchange(pieces: Sequence[Span], src: Any, dst: Any, op: str) -> None:
    last = n_powers(tl.num_ranks()) - 1
    blocks = []
    for piece in pieces:
        blocks.append(read(src, piece))
        tl.send_async("x0", blocks[-1])
    for k in range(last + 1):
        is_higher = tl.rank() >> k & 1
        for i, piece in enumerate(pieces):
            mine, theirs = blocks[i], receive(f"x{k}", piece, src)
            lower, higher = (theirs, mine) if is_higher else (mine, theirs)
            del theirs
            blocks[i] = combine(unfinished(op), lower, higher)
            del mine, lower, higher
            if k < last:
                tl.send_async(f"x{k + 1}", blocks[i])
            else:
                write(dst, piece, finish(op, blocks[i], tl.num_ranks()))


ALGORITHMS.register("recursive_doubling_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=recursive_doubling_allreduce,
        queues=lambda group: exchange_queues(group.n_ranks),
        elems_sent=lambda world_size, n_elem: world_size * n_powers(world_size) * n_elem,
        refuses=no_power_of_two,
        is_crossbar=True,
        closed_form=lambda problem, model: lock_step(problem, model, model.gamma),
        source="L (alpha + n beta + n gamma), L = log2 p; "
        "Thakur, Rabenseifner and Gropp 2005, IJHPCA 19(1): recursive doubling",
        small=Small(n_ranks=8, n_elem=16),
    )
)
