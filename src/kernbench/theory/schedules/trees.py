"""Schedules on trees and chains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from kernbench.theory.max_plus import Recv, Send, Span, Step, Store
from kernbench.theory.schedules.problem import Problem, Turns, even_parts, in_turn, schedule
from kernbench.theory.schedules.rings import order_of


def tree_turns(
    problem: Problem, parents: Sequence[int | None], rank: int, spans: Sequence[Span], way: int = 0
) -> Turns:
    """Up the tree each slice is reduced over a subtree, at the root over all; complete, it goes down.

    What a rank sends up in one turn it receives from above in a later one: as many turns as its depth asks for.
    """
    parent, children = parents[rank], [r for r, up in enumerate(parents) if up == rank]
    lag = 2 * problem.turns_ahead * depth_of(parents, rank)
    for i in range(len(spans) + lag):
        turn: list[Step] = []
        if i < len(spans):
            turn += [Recv(child, spans[i], True, way) for child in children]
            if parent is not None:
                turn.append(Send(parent, spans[i], way))
            else:
                turn += [*(Send(child, spans[i], way) for child in children), Store(spans[i])]
        if i >= lag and parent is not None:
            span = spans[i - lag]
            turn += [Recv(parent, span, False, way), *(Send(child, span, way) for child in children)]
        yield turn


def depth_of(parents: Sequence[int | None], rank: int) -> int:
    """Edges between ``rank`` and the root."""
    above = parents[rank]
    return 0 if above is None else 1 + depth_of(parents, above)


@schedule("tree_allreduce")
def tree_allreduce(problem: Problem) -> list[list[Step]]:
    """One tree for the whole vector."""
    spans, parents = problem.slices((0, problem.n_elem)), problem.layout["parents"]
    return [in_turn(tree_turns(problem, parents, rank, spans)) for rank in range(problem.n_ranks)]


@schedule("double_binary_tree_allreduce")
def double_binary_tree_allreduce(problem: Problem) -> list[list[Step]]:
    """A tree for each half, a turn of one after one of the other; who is nearer to a root begins there later."""
    halves = [problem.slices(half) for half in even_parts((0, problem.n_elem), 2)]
    trees = list(zip(problem.layout["trees"], halves, strict=True))
    n = problem.n_ranks
    deepest = max(depth_of(parents, rank) for parents, _ in trees for rank in range(n))

    def late(t: int, rank: int) -> Turns:
        parents, spans = trees[t]
        wait: Turns = iter([()] * (problem.turns_ahead * (deepest - depth_of(parents, rank))))
        return chain(wait, tree_turns(problem, parents, rank, spans, t))

    return [in_turn(late(0, rank), late(1, rank)) for rank in range(n)]


def binomial_children(n: int, place: int) -> list[int]:
    """The places that hang on ``place`` in a binomial tree, the nearest first: place plus powers below its lowest bit.

    >>> binomial_children(8, 0), binomial_children(8, 4), binomial_children(6, 4)
    ([1, 2, 4], [5, 6], [5])
    """
    lowest = place & -place or n
    powers = [1 << k for k in range(n.bit_length())]
    return [place + power for power in powers if power < lowest and place + power < n]


def down(problem: Problem, parent: int | None, children: Sequence[int]) -> list[Step]:
    """Each slice from the parent, and on to the children."""
    steps: list[Step] = []
    for span in problem.slices((0, problem.n_elem)):
        if parent is not None:
            steps.append(Recv(parent, span))
        steps += [Send(child, span) for child in children]
    return steps


def up(problem: Problem, parent: int | None, children: Sequence[int]) -> list[Step]:
    """Each slice reduced with the children's, and on to the parent."""
    steps: list[Step] = []
    for span in problem.slices((0, problem.n_elem)):
        steps += [Recv(child, span, True) for child in children]
        if parent is not None:
            steps.append(Send(parent, span))
    return steps


@schedule("binomial_broadcast")
def binomial_broadcast(problem: Problem) -> list[list[Step]]:
    """From place 0, the root, to the furthest child first."""
    return _binomial(problem, lambda parent, children: down(problem, parent, children[::-1]))


@schedule("binomial_reduce")
def binomial_reduce(problem: Problem) -> list[list[Step]]:
    """To place 0, the root; the nearest child's first."""
    return _binomial(problem, lambda parent, children: up(problem, parent, children))


def _binomial(
    problem: Problem, program: Callable[[int | None, Sequence[int]], list[Step]]
) -> list[list[Step]]:
    n, root = problem.n_ranks, problem.root
    programs: list[list[Step]] = [[] for _ in range(n)]
    for place in range(n):
        parent = (root + (place & (place - 1))) % n if place else None
        children = [(root + child) % n for child in binomial_children(n, place)]
        programs[(root + place) % n] = program(parent, children)
    return programs


@schedule("chain_broadcast")
def chain_broadcast(problem: Problem) -> list[list[Step]]:
    """From each rank to the one behind it in the ring, from the root on."""
    return _chain(problem, lambda before, after: down(problem, before, after))


@schedule("chain_reduce")
def chain_reduce(problem: Problem) -> list[list[Step]]:
    """The other way, to the root."""
    return _chain(problem, lambda before, after: up(problem, before, after))


def _chain(problem: Problem, program: Callable[[int | None, Sequence[int]], list[Step]]) -> list[list[Step]]:
    order = list(order_of(problem))
    first = order.index(problem.root)
    line = order[first:] + order[:first]
    programs: list[list[Step]] = [[] for _ in line]
    for place, rank in enumerate(line):
        programs[rank] = program(line[place - 1] if place else None, line[place + 1 : place + 2])
    return programs
