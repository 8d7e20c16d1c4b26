"""Schedules of four algorithms by hand, from their definitions and not from their kernels: what a recorder must find.

A schedule counts in elements of the vector that a rank has in full. What one slot of a queue holds travels as one
message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise, repeat
from typing import NamedTuple, TypeAlias

from kernbench.theory import max_plus
from kernbench.theory.problem import Problem

Span: TypeAlias = tuple[int, int]  # elements of the whole vector, from the first up to the second


class Send(NamedTuple):
    """Send the elements of ``span`` to rank ``to``."""

    to: int
    span: Span


class Recv(NamedTuple):
    """Wait for the next message of ``source``: its elements are the rank's own now, or reduced with them."""

    source: int
    span: Span
    reduces: bool = False


class Store(NamedTuple):
    """Write ``span`` to memory."""

    span: Span


Step: TypeAlias = Send | Recv | Store
Turns: TypeAlias = Iterator[Sequence[Step]]


def spelled_out(programs: Sequence[Sequence[Step]], item_bytes: int) -> max_plus.Schedule:
    """The same in values: by the smallest pieces that any step divides the vector into."""
    at = {
        bound: i for i, bound in enumerate(sorted({b for ps in programs for step in ps for b in step.span}))
    }

    def of_rank(steps: Sequence[Step]) -> Iterator[max_plus.Step]:
        has: list[int | None] = [None] * len(at)  # None: its own, there from the beginning
        for value, step in enumerate(steps):
            first, last = (at[bound] for bound in step.span)
            mine = tuple(dict.fromkeys(v for v in has[first:last] if v is not None))
            size_bytes = (step.span[1] - step.span[0]) * item_bytes
            if isinstance(step, Send):
                yield max_plus.Send(value, mine, size_bytes, step.to)
            elif isinstance(step, Store):
                yield max_plus.Store((0, 0), mine)
            else:
                yield max_plus.Recv(value, step.source)
                yield max_plus.Wait((value,))
                if step.reduces:
                    yield max_plus.Math(value + len(steps), (value, *mine), size_bytes)
                has[first:last] = [value + len(steps) * step.reduces] * (last - first)

    return [list(of_rank(steps)) for steps in programs]


def sliced(problem: Problem, span: Span) -> list[Span]:
    """``span`` in messages: all as large as a slot but the last; none of nothing."""
    most = problem.slice_elems
    return [(at, min(at + most, span[1])) for at in range(*span, most)]


def even_parts(span: Span, n: int) -> list[Span]:
    """``span`` in ``n`` parts of sizes as even as can be, the larger ones first."""
    size, rest = divmod(span[1] - span[0], n)
    return list(pairwise(span[0] + i * size + min(i, rest) for i in range(n + 1)))


def joined(turns: Turns) -> list[Step]:
    """All turns, one after the other."""
    return list(chain.from_iterable(turns))


# -- rings, and a grid of rings ---------------------------------------------------------------------------------------


class Ring(NamedTuple):
    """Place ``me`` of a ring of ``order``; ``parts[i]`` are the slices that begin at place i to go round."""

    order: Sequence[int]
    me: int
    parts: Sequence[Sequence[Span]]

    def go(self, problem: Problem, *, reduced: bool, known: bool) -> Turns:
        """``slots - 1`` slices of each part at a time: reduced on the way round, then made known.

        A part that is reduced has been at all places after n - 1 messages, and is stored then; made known, it goes on
        for n - 1 more. One that is only made known is complete where it begins.
        """
        n, me, width = len(self.order), self.me, max(1, problem.slots - 1)
        after, before = self.order[(me + 1) % n], self.order[me - 1]
        n_reducing = n - 1 if reduced else 0
        n_hops = n_reducing + (n - 1 if known else 0)
        for begin in range(0, max(map(len, self.parts)) if n > 1 else 0, width):
            for hop in range(n_hops + 1):
                some = self.parts[(me - hop) % n][begin : begin + width]
                for span in chain(some, repeat(None, width - len(some))):
                    turn: list[Step] = []
                    if span is not None:
                        if hop:
                            turn.append(Recv(before, span, hop <= n_reducing))
                        if hop < n_hops:
                            turn.append(Send(after, span))
                        if hop >= n_reducing:
                            turn.append(Store(span))
                    yield turn


def ring_allreduce(problem: Problem) -> list[list[Step]]:
    """Each part goes once around to be reduced, and almost once more to be known."""
    order = problem.layout["order"]
    parts = [sliced(problem, part) for part in even_parts((0, problem.n_elem), len(order))]
    places = (order.index(rank) for rank in range(len(order)))
    return [joined(Ring(order, me, parts).go(problem, reduced=True, known=True)) for me in places]


def torus_bucket_allreduce(problem: Problem) -> list[list[Step]]:
    """Axis by axis, each rank keeps one part of what it had, reduced; along the last axis that is made known at once.

    Then back along the axes before it, each time making known what it has. Along an axis place i ends with part i.
    """
    places = problem.layout["places"]
    at = {place: rank for rank, place in enumerate(places)}

    def program(rank: int) -> list[Step]:
        span: Span = (0, problem.n_elem)
        rings: list[Ring] = []
        for axis, me in enumerate(places[rank]):
            others = range(1 + max(place[axis] for place in places))
            line = [at[(*places[rank][:axis], i, *places[rank][axis + 1 :])] for i in others]
            cut = even_parts(span, len(line))
            rings.append(Ring(line, me, [sliced(problem, part) for part in cut]))
            span = cut[me]
        steps: list[Step] = []
        for ring in rings[:-1]:
            behind = [ring.parts[-1], *ring.parts[:-1]]
            steps += joined(ring._replace(parts=behind).go(problem, reduced=True, known=False))
        steps += joined(rings[-1].go(problem, reduced=True, known=True))
        for ring in reversed(rings[:-1]):
            steps += joined(ring.go(problem, reduced=False, known=True))
        return steps

    return [program(rank) for rank in range(problem.n_ranks)]


# -- a tree -----------------------------------------------------------------------------------------------------------


def tree_allreduce(problem: Problem) -> list[list[Step]]:
    """Up the tree each slice is reduced over a subtree, at the root over all; complete, it goes down.

    What a rank sends up in one turn it receives from above in a later one: as many turns as its depth asks for, four
    each way, if the ring holds them.
    """
    parents, spans = problem.layout["parents"], sliced(problem, (0, problem.n_elem))

    def depth_of(rank: int) -> int:
        return 0 if parents[rank] is None else 1 + depth_of(parents[rank])

    def turns(rank: int) -> Turns:
        parent, children = parents[rank], [r for r, up in enumerate(parents) if up == rank]
        lag = 2 * min(4, problem.slots) * depth_of(rank)
        for i in range(len(spans) + lag):
            turn: list[Step] = []
            if i < len(spans):
                turn += [Recv(child, spans[i], True) for child in children]
                if parent is not None:
                    turn.append(Send(parent, spans[i]))
                else:
                    turn += [*(Send(child, spans[i]) for child in children), Store(spans[i])]
            if i >= lag and parent is not None:
                span = spans[i - lag]
                turn += [Recv(parent, span), *(Send(child, span) for child in children)]
            yield turn

    return [joined(turns(rank)) for rank in range(problem.n_ranks)]


# -- ranks that are a power of two apart ------------------------------------------------------------------------------


def halving_doubling_allreduce(problem: Problem) -> list[list[Step]]:
    """Pairs give each other the half that the other keeps; then, back through the same pairs, what they have complete.

    Ranks beyond the largest power of two give all they have to the one that much lower, and get the result from it.
    Sends are as many slices ahead as a ring and TCM hold, which has room for eight.
    """
    n, ahead = problem.n_ranks, min(problem.slots, 8)
    q = 1 << (n.bit_length() - 1)
    whole = sliced(problem, (0, problem.n_elem))
    bounds = [part[0] for part in even_parts((0, problem.n_elem), q)] + [problem.n_elem]

    def exchange(peer: int, given: Span, kept: Span, *, reduces: bool) -> Iterator[Step]:
        out, come = (sliced(problem, (bounds[a], bounds[b])) for a, b in (given, kept))
        for i in range(max(len(out), len(come) + ahead)):
            if i < len(out):
                yield Send(peer, out[i])
            if 0 <= i - ahead < len(come):
                yield from (Recv(peer, come[i - ahead], reduces), Store(come[i - ahead]))

    def program(rank: int) -> list[Step]:
        if rank >= q:
            return [*(Send(rank - q, span) for span in whole), *(Recv(rank - q, span) for span in whole)]
        steps: list[Step] = []
        is_folded = rank + q < n
        if is_folded:
            steps += [step for span in whole for step in (Recv(rank + q, span, True), Store(span))]
        low, high = 0, q
        halvings = []
        while high - low > 1:
            half = (high - low) // 2
            lower, upper = (low, low + half), (low + half, high)
            kept, given = (upper, lower) if rank & half else (lower, upper)
            steps += exchange(rank ^ half, given, kept, reduces=True)
            halvings.append((rank ^ half, kept, given))
            low, high = kept
        for peer, kept, given in reversed(halvings):
            steps += exchange(peer, kept, given, reduces=False)
        if is_folded:
            steps += [Send(rank + q, span) for span in whole]
        return steps

    return [program(rank) for rank in range(n)] if n > 1 else [[]]


BY_HAND: dict[str, Callable[[Problem], list[list[Step]]]] = {
    "ring_allreduce": ring_allreduce,
    "torus_bucket_allreduce": torus_bucket_allreduce,
    "tree_allreduce": tree_allreduce,
    "halving_doubling_allreduce": halving_doubling_allreduce,
}
