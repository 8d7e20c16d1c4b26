"""All-reduce on two binary trees, half of the vector on each: who has children in one is a leaf in the other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.spans import Span, in_turn, late, slices, split
from kernbench.ccl.kernels.trees import ahead_of, depth_in, tree_of, tree_turns
from kernbench.ccl.orders import Parents, double_parents, tree_queues
from kernbench.theory.closed_forms import parts_of
from kernbench.theory.group import Group
from kernbench.theory.ideal import IdealModel
from kernbench.theory.problem import Problem


def double_binary_tree_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, trees: tuple[Parents, Parents]
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Half t goes up and down tree t as in ``tree_allreduce``: in turn i slice i is reduced over a rank's subtree and sent
    up, and an earlier one, complete, sent down. Of a half a rank with two children sends three times its elements, a
    leaf once: in all no more than 2 * ``n_elem``.

    Each rank takes a turn of one tree after one of the other, and begins the later the nearer it is to the root, so
    that turns are taken in the order in which they are due in either tree (see :func:`tree_turns`).
    """
    n, ahead = len(trees[0]), ahead_of(slots)
    deepest = max(depth_in(parents, rank) for parents in trees for rank in range(n))
    streams = []
    for t, (parents, half) in enumerate(zip(trees, split(Span(0, n_elem), 2), strict=True)):
        tree = tree_of(parents, f"{t}.")
        turns = tree_turns(tree, slices(half, slice_elems), src, dst, op, n, ahead)
        streams.append(late(turns, ahead * (deepest - tree.depth)))
    in_turn(*streams)


def layout(group: Group) -> dict[str, tuple[Parents, Parents]]:
    """Both trees."""
    return {"trees": double_parents(group)}


def closed_form(problem: Problem, model: IdealModel) -> Fraction | None:
    """``2 (alpha + c beta) + c gamma``, c = n/2, of two ranks, each of them the root of one half.

    Conditions: both halves are one slice. Of more ranks no exact form is known: a rank's one engine serves both trees.
    """
    halves = parts_of(problem, 2)
    if problem.n_ranks != 2 or halves is None or halves.n_slices > 1:
        return None
    return 2 * (model.alpha + halves.size_bytes * model.beta) + halves.size_bytes * model.gamma


ALGORITHMS.register("double_binary_tree_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=double_binary_tree_allreduce,
        queues=lambda group: tuple(
            pair for t, parents in enumerate(double_parents(group)) for pair in tree_queues(parents, f"{t}.")
        ),
        layout=layout,
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
        closed_form=closed_form,
        source="Sanders, Speck and Traeff 2009, Parallel Computing 35(12): two trees",
        small=Small(n_ranks=2, n_elem=64),
    )
)
