"""All-reduce on a binary tree, slice by slice: up to the root and down again."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm
from kernbench.ccl.kernels.spans import in_turn, whole
from kernbench.ccl.kernels.trees import ahead_of, tree_of, tree_turns
from kernbench.ccl.orders import Parents, heap_parents, tree_queues
from kernbench.theory.group import Group


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


ALGORITHMS.register("tree_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=tree_allreduce,
        kernel_args=lambda world_size, n_elem: {"n_elem": n_elem},
        queues=lambda group: tree_queues(heap_parents(group)),
        layout=layout,
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
    )
)
