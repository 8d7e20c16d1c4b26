"""All-reduce on a binary tree, slice by slice: up to the root and down again."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.spans import in_turn, whole
from kernbench.ccl.kernels.trees import ahead_of, tree_of, tree_turns
from kernbench.ccl.orders import Parents, heap_parents, tree_queues
from kernbench.theory.closed_forms import parts_of
from kernbench.theory.group import Group
from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem


def tree_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, parents: Parents
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Rank r hangs on ``parents[r]``. In turn i it combines slice i of its own with what its children send, one after the
    other, which is then reduced over its subtree, and sends that up; the root's is complete, and goes down. It also
    receives a complete slice from its parent, an earlier one the deeper it is, sends it down, and stores it.
    """
    in_turn(
        tree_turns(
            tree_of(parents, ""), whole(n_elem, slice_elems), src, dst, op, len(parents), ahead_of(slots)
        )
    )


def layout(group: Group) -> dict[str, Parents]:
    """The tree."""
    return {"parents": heap_parents(group)}


def closed_form(problem: Problem, model: IdealModel) -> Fraction | None:
    """``d (2 alpha + 2 c beta + 2 c gamma) + (k-1) c beta`` for depth d and k equal slices of c.

    Conditions: a link for each edge, ``beta >= 2 gamma``, two children everywhere but at the leaves, which are all at
    depth d, and no more slices than turns between up and down, so that nothing waits for what comes down. Who has
    parent and children passes nothing down before its last slice from below is there, and then one slice each ``c
    beta``: below the root that is no later than the last one comes down if ``(k-1) c beta <= 2 (alpha + c beta + 2 c
    gamma)``.
    """
    a, b, g = model.alpha, model.beta, model.gamma
    slices, depth = parts_of(problem), (problem.n_ranks + 1).bit_length() - 2
    is_full, n_turns = problem.n_ranks + 1 == 2 << depth, 2 * ahead_of(problem.slots)
    if slices is None or not slices.are_even or not is_full or b < 2 * g or slices.n_slices > n_turns:
        return None
    c = slices.slice_bytes
    behind_the_first = (slices.n_slices - 1) * c * b
    if depth > 1 and behind_the_first > 2 * (a + c * b + 2 * c * g):
        return None
    return depth * (2 * a + 2 * c * b + 2 * c * g) + behind_the_first


ALGORITHMS.register("tree_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=tree_allreduce,
        queues=lambda group: tree_queues(heap_parents(group)),
        layout=layout,
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
        closed_form=closed_form,
        source="Sanders, Speck and Traeff 2009, Parallel Computing 35(12): pipelined binary tree; derived: conditions",
        small=Small(n_ranks=7, n_elem=16),
    )
)
