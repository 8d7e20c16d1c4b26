"""All-to-all by pairs: in each step every rank exchanges a block with one other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.spans import MOST_IN_TCM, block_of, copy, read, receive, write
from kernbench.ccl.orders import even_blocks
from kernbench.ccl.wiring import QueuePair
from kernbench.lang import tl
from kernbench.theory.closed_forms import parts_of
from kernbench.theory.group import Group
from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem


def pairwise_all_to_all(src: Any, dst: Any, *, n_each: int, slice_elems: int, slots: int) -> None:
    """Make block s of ``dst`` of rank r block r of ``src`` of rank s; both are ``[n_ranks, n_each]``.

    After step s a rank has exchanged blocks with its partners of steps 0 to s: see :func:`partner`. Nobody else touches
    the block of a pair, and each slice of it is read before it is written; so ``dst`` may be ``src``. Sends are up to
    ``slots`` slices ahead of receives, those of the next step included.
    """
    n, me, ahead = tl.num_ranks(), tl.rank(), min(slots, MOST_IN_TCM)
    copy(src, dst, block_of(me, n_each, slice_elems))
    partners = [(step, partner(me, step, n)) for step in range(n_steps(n))]
    todo = [
        (f"pair{step}", piece)
        for step, other in partners
        if other is not None
        for piece in block_of(other, n_each, slice_elems)
    ]
    for i in range(len(todo) + ahead):
        if i < len(todo):
            queue, piece = todo[i]
            tl.send_async(queue, read(src, piece))
        if i >= ahead:
            queue, piece = todo[i - ahead]
            write(dst, piece, receive(queue, piece, dst))


def n_steps(n_ranks: int) -> int:
    """Steps in which everybody meets everybody: of an odd number, one is idle in each."""
    return n_ranks - 1 + n_ranks % 2


def partner(rank: int, step: int, n_ranks: int) -> int | None:
    """Whom ``rank`` meets in ``step``: the one with whom it adds up to ``step``, modulo the odd one of n - 1 and n.

    Who would meet itself meets rank n - 1, if n is even, or nobody.

    >>> [[partner(rank, step, 4) for rank in range(4)] for step in range(3)]
    [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]]
    """
    n_odd = n_steps(n_ranks)
    if rank == n_odd:
        return step * (n_odd + 1) // 2 % n_odd  # twice that is the step
    other = (step - rank) % n_odd
    if other != rank:
        return other
    return n_odd if n_odd < n_ranks else None


def queues(group: Group) -> tuple[QueuePair, ...]:
    """``pair0``, ``pair1`` ...: to the partner of each step."""

    def pair(step: int) -> QueuePair:
        return QueuePair(f"pair{step}", f"pair{step}", lambda rank, n_ranks: partner(rank, step, n_ranks))

    return tuple(pair(step) for step in range(n_steps(group.n_ranks)))


def closed_form(problem: Problem, model: IdealModel) -> Fraction | None:
    """``alpha + n (p-1)/p beta``: the one port is never idle, since sends do not wait.

    Conditions: all slices of all blocks may be sent before the first is received; or p is even, a block is one slice
    or equal ones, and those that may be sent ahead keep the port busy for the first one's way.
    """
    p, ahead, blocks = problem.n_ranks, min(problem.slots, MOST_IN_TCM), parts_of(problem, problem.n_ranks)
    if blocks is None:
        return None
    c = blocks.slice_bytes
    is_busy = p % 2 == 0 and blocks.are_even and (ahead - 1) * c * model.beta >= model.alpha
    if blocks.n_slices * (p - 1) > ahead and not is_busy:
        return None
    return model.alpha + (p - 1) * blocks.size_bytes * model.beta


ALGORITHMS.register("pairwise_all_to_all")(
    Algorithm(
        collective="all_to_all",
        kernel=pairwise_all_to_all,
        kernel_args=lambda world_size, n_elem: {"n_each": even_blocks(n_elem, world_size)},
        queues=queues,
        elems_sent=lambda world_size, n_elem: (world_size - 1) * n_elem,
        is_crossbar=True,
        closed_form=closed_form,
        source="Thakur, Rabenseifner and Gropp 2005, IJHPCA 19(1): pairwise exchange; derived: no send waits",
        small=Small(n_ranks=4, n_elem=64),
    )
)
