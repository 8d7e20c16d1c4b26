"""All-reduce on a ring, one half of the slices being reduced while the other half is gathered."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.rings import all_reduce_on, go_round, ring_of
from kernbench.ccl.kernels.spans import Span, in_turn, late, slices, split
from kernbench.ccl.orders import ring_layout, ring_queues
from kernbench.theory.closed_forms import parts_of, ring_all_reduce
from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem


def ring_sliced_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, order: tuple[int, ...]
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Each slice goes round as in ``ring_allreduce``. A window of them is ``slots // 2 - 1``; two are under way, so that
    two slots are free, and each place takes a turn of the one after a turn of the other, in the same order everywhere.
    The second window begins n steps after the first: while one is reduced, which costs loads and arithmetic, the other
    is gathered, which costs stores. With fewer than four slots there is one window at a time.
    """
    n = len(order)
    chunks = [slices(chunk, slice_elems) for chunk in split(Span(0, n_elem), n)]
    run, width = all_reduce_on(ring_of(order), chunks, src, dst, op, n, slots), slots // 2 - 1
    if n == 1 or width < 1:
        go_round(run, slots)
        return
    windows = range(0, run.n_slices, width)
    in_turn(run.turns(width, windows[::2]), late(run.turns(width, windows[1::2]), n * width))


def closed_form(problem: Problem, model: IdealModel) -> Fraction | None:
    """Time of ``ring_allreduce``, where all slices fit the first window, or no second one fits the ring."""
    parts, width = parts_of(problem, problem.n_ranks), problem.slots // 2 - 1
    return None if parts and parts.n_slices > width >= 1 else ring_all_reduce(problem, model)


ALGORITHMS.register("ring_sliced_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=ring_sliced_allreduce,
        queues=ring_queues,
        layout=ring_layout,
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
        closed_form=closed_form,
        source="Patarasuk and Yuan 2009, JPDC 69(2): ring; derived: slices",
        small=Small(n_ranks=4, n_elem=64),
    )
)
