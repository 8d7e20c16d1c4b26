"""All-reduce by halving what is reduced and doubling what is gathered (Rabenseifner); any number of ranks."""

from __future__ import annotations

from fractions import Fraction
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
    slices,
    split,
    unfinished,
    whole,
    write,
)
from kernbench.ccl.orders import exchange_queues, n_powers
from kernbench.ccl.wiring import QueuePair
from kernbench.lang import tl
from kernbench.theory.group import Group
from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem


def halving_doubling_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Let q be the largest power of two up to ``n_ranks``, and segment j the j-th of q even parts. First, rank q + r sends
    all it has to rank r, which combines it with its own. Then, for k = log2(q) - 1 down to 0, the ranks below q
    exchange with the one that differs in bit k: of the 2**(k + 1) segments that a rank has, it keeps those whose number
    has its own bit k, combined in the order of their ranks, which are then reduced over the ranks that differ in bits k
    and higher. With bit 0, segment r is complete at rank r. For k = 0 up, the same pairs exchange what they have
    complete, twice as much each time. Last, rank r sends all to rank q + r.
    """
    n, me, ahead = tl.num_ranks(), tl.rank(), min(slots, MOST_IN_TCM)
    if n == 1:
        copy(src, dst, whole(n_elem, slice_elems), op)
        return
    q = largest_power(n)
    if me >= q:
        for piece in whole(n_elem, slice_elems):
            tl.send_async("fold", read(src, piece))
        for piece in whole(n_elem, slice_elems):
            write(dst, piece, receive("fold", piece, dst))
        return
    if me + q < n:
        for piece in whole(n_elem, slice_elems):
            block = read(src, piece)
            write(dst, piece, combine(op, block, receive("fold", piece, src)))
        src = dst
    segments = split(Span(0, n_elem), q)
    first, n_mine = 0, q
    for k in reversed(range(n_powers(q))):
        n_mine >>= 1
        lower, higher = joined(segments, first, n_mine), joined(segments, first + n_mine, n_mine)
        is_higher = bool(me & n_mine)
        first += n_mine * is_higher
        kept, given = (higher, lower) if is_higher else (lower, higher)
        n_done = n if not k else 0
        incoming, outgoing = slices(kept, slice_elems), slices(given, slice_elems)
        for i in range(max(len(outgoing), len(incoming) + ahead)):
            if i < len(outgoing):
                tl.send_async(f"x{k}", read(src, outgoing[i]))
            if ahead <= i < len(incoming) + ahead:
                reduce_slice(f"x{k}", incoming[i - ahead], src, dst, op, is_higher=is_higher, n_done=n_done)
        src = dst
    for k in range(n_powers(q)):
        theirs = first ^ n_mine
        outgoing = slices(joined(segments, first, n_mine), slice_elems)
        incoming = slices(joined(segments, theirs, n_mine), slice_elems)
        for i in range(max(len(outgoing), len(incoming) + ahead)):
            if i < len(outgoing):
                tl.send_async(f"x{k}", read(dst, outgoing[i]))
            if ahead <= i < len(incoming) + ahead:
                write(dst, incoming[i - ahead], receive(f"x{k}", incoming[i - ahead], dst))
        first, n_mine = min(first, theirs), 2 * n_mine
    if me + q < n:
        for piece in whole(n_elem, slice_elems):
            tl.send_async("fold", read(dst, piece))


def reduce_slice(
    queue: str, piece: Span, src: Any, dst: Any, op: str, *, is_higher: bool, n_done: int
) -> None:
    """Receive a slice, combine it with its own, and store it; ``n_done`` ranks make it complete (0: more to come)."""
    mine = read(src, piece)
    theirs = receive(queue, piece, src)
    block = combine(unfinished(op), theirs, mine) if is_higher else combine(unfinished(op), mine, theirs)
    write(dst, piece, finish(op, block, n_done) if n_done else block)


def joined(segments: list[Span], first: int, n: int) -> Span:
    """``n`` segments from number ``first`` on, as one."""
    return Span(segments[first].start, sum(segment.size for segment in segments[first : first + n]))


def largest_power(n_ranks: int) -> int:
    """The largest power of two up to ``n_ranks``."""
    return 1 << (n_ranks.bit_length() - 1)


def queues(group: Group) -> tuple[QueuePair, ...]:
    """The queues of the pairs, and ``fold`` between ranks r and q + r."""
    q = largest_power(group.n_ranks)
    fold = QueuePair("fold", "fold", lambda rank, n_ranks: rank + q if rank + q < n_ranks else None)
    return (*exchange_queues(q), fold)


def closed_form(problem: Problem, model: IdealModel) -> Fraction | None:
    """``2 L alpha + 2 n (p-1)/p beta + n (p-1)/p gamma``, L = log2 p.

    Conditions: p is a power of two and divides the elements, and half the vector is one slice.
    """
    n_steps, p = problem.n_ranks.bit_length() - 1, problem.n_ranks
    if p != 1 << n_steps or problem.n_elem % p or problem.n_elem > 2 * problem.slice_elems:
        return None
    most = Fraction(problem.size_bytes * (p - 1), p)
    return 2 * n_steps * model.alpha + most * (2 * model.beta + model.gamma)


ALGORITHMS.register("halving_doubling_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=halving_doubling_allreduce,
        queues=queues,
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
        is_crossbar=True,
        closed_form=closed_form,
        source="Rabenseifner 2004, ICCS: recursive halving and doubling",
        small=Small(n_ranks=8, n_elem=64),
    )
)
