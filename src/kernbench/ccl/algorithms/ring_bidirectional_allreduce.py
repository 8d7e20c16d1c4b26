"""All-reduce on a ring, half of the vector in each direction."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.rings import all_reduce_on, go_round, ring_of
from kernbench.ccl.kernels.spans import Span, in_turn, slices, split
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.theory.closed_forms import parts_of
from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem


def ring_bidirectional_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, order: tuple[int, ...]
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Rank ``order[i]`` is at place i. The first half goes round as in ``ring_allreduce``, from place i to i + 1. The
    second does the same from place i to i - 1, so that place i is place n - i of its ring: what it receives there in
    step s is chunk n - i - s - 1 of that half, reduced, for s < n - 1, over s + 1 places, and so on. Each place takes a
    turn of one half after one of the other; they share no queue.
    """
    n, ring = len(order), ring_of(order)
    halves = [
        all_reduce_on(way, [slices(chunk, slice_elems) for chunk in split(half, n)], src, dst, op, n, slots)
        for way, half in zip((ring, ring.turned()), split(Span(0, n_elem), 2), strict=True)
    ]
    if n == 1:
        for half in halves:
            go_round(half, slots)
    else:
        in_turn(*[half.turns(max(1, slots - 1)) for half in halves])


def closed_form(problem: Problem, model: IdealModel) -> Fraction | None:
    """``2(p-1)(alpha + c beta) + p c gamma``, c = n/2p: the halves share an engine, one stays behind by one part.

    Conditions: 2p divides n, and a part is one slice. The half that waits does so once: from then on its parts come
    when the engine is free, if a part's way takes as long as its reduction, ``alpha + c beta >= c gamma``.
    """
    p, a, b, g = problem.n_ranks, model.alpha, model.beta, model.gamma
    parts = parts_of(problem, 2 * p)
    if not parts or parts.n_slices > 1 or a + parts.size_bytes * (b - g) < 0:
        return None
    return 2 * (p - 1) * (a + parts.size_bytes * b) + p * parts.size_bytes * g


ALGORITHMS.register("ring_bidirectional_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=ring_bidirectional_allreduce,
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
        closed_form=closed_form,
        source="Patarasuk and Yuan 2009, JPDC 69(2): ring, for each half; derived: one engine serves both",
        small=Small(n_ranks=4, n_elem=64),
    )
)
