"""Schedules on rings, and on grids of rings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from kernbench.theory.max_plus import Recv, Send, Span, Step, Store
from kernbench.theory.schedules.problem import MOST_IN_TCM, Problem, Turns, even_parts, in_turn, schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Place ``me`` of a ring of ``order``; ``parts[i]`` are the slices that begin at place i to go round.

    ``way`` tells apart two rings of the same ranks.
    """

    order: Sequence[int]
    me: int
    parts: Sequence[Sequence[Span]]
    way: int = 0

    @property
    def n_slices(self) -> int:
        """The slices of the longest part."""
        return max(map(len, self.parts))

    def go(self, begins: Sequence[int], width: int, *, reduced: bool, known: bool) -> Turns:
        """``width`` slices of each part at a time, from ``begins`` on: reduced on the way round, then made known.

        A part that is reduced has been at all places after n - 1 messages, and is stored then; made known, it goes on
        for n - 1 more. One that is only made known is complete where it begins.
        """
        n, order, me = len(self.order), self.order, self.me
        after, before = order[(me + 1) % n], order[me - 1]
        n_reducing = n - 1 if reduced else 0
        n_hops = n_reducing + (n - 1 if known else 0)
        for begin in begins:
            for hop in range(n_hops + 1):
                some = self.parts[(me - hop) % n][begin : begin + width]
                for span in chain(some, repeat(None, width - len(some))):
                    turn: list[Step] = []
                    if span is not None:
                        if hop:
                            turn.append(Recv(before, span, hop <= n_reducing, self.way))
                        if hop < n_hops:
                            turn.append(Send(after, span, self.way))
                        if hop >= n_reducing:
                            turn.append(Store(span))
                    yield turn

    def go_all(self, problem: Problem, *, reduced: bool, known: bool) -> Turns:
        """All slices, ``slots - 1`` of each part at a time, so that a ring full of messages still moves."""
        width = max(1, problem.slots - 1)
        return self.go(range(0, self.n_slices, width), width, reduced=reduced, known=known)


def order_of(problem: Problem) -> Sequence[int]:
    """The ranks in the order of the algorithm's ring."""
    order: Sequence[int] = problem.layout.get("order", range(problem.n_ranks))
    return order


def cut(problem: Problem, span: Span, n: int) -> list[list[Span]]:
    """``span`` in ``n`` parts, each in slices."""
    return [problem.slices(part) for part in even_parts(span, n)]


def by_place(order: Sequence[int], program: Callable[[int], list[Step]]) -> list[list[Step]]:
    """The program of each rank: that of its place."""
    programs: list[list[Step]] = [[] for _ in order]
    if len(order) > 1:
        for place, rank in enumerate(order):
            programs[rank] = program(place)
    return programs


@schedule("ring_allreduce")
def ring_allreduce(problem: Problem) -> list[list[Step]]:
    """Each part goes once around to be reduced, and almost once more to be known."""
    order = order_of(problem)
    parts = cut(problem, (0, problem.n_elem), len(order))
    return by_place(
        order,
        lambda me: in_turn(Ring(order=order, me=me, parts=parts).go_all(problem, reduced=True, known=True)),
    )


@schedule("ring_sliced_allreduce")
def ring_sliced_allreduce(problem: Problem) -> list[list[Step]]:
    """A ring with two windows of slices under way, which leave two slots free; the second is a lap behind the first."""
    order, width = order_of(problem), problem.slots // 2 - 1
    n, parts = len(order), cut(problem, (0, problem.n_elem), len(order))
    if width < 1:
        return ring_allreduce(problem)

    def program(me: int) -> list[Step]:
        ring = Ring(order=order, me=me, parts=parts)
        begins = range(0, ring.n_slices, width)
        wait: Turns = iter([()] * (n * width))
        return in_turn(
            ring.go(begins[::2], width, reduced=True, known=True),
            chain(wait, ring.go(begins[1::2], width, reduced=True, known=True)),
        )

    return by_place(order, program)


@schedule("ring_bidirectional_allreduce")
def ring_bidirectional_allreduce(problem: Problem) -> list[list[Step]]:
    """One half goes one way round, the other half the other way, a turn of each after one of the other."""
    order = order_of(problem)
    n = len(order)
    turned = [order[-i % n] for i in range(n)]
    halves = [cut(problem, half, n) for half in even_parts((0, problem.n_elem), 2)]

    def program(me: int) -> list[Step]:
        rings = (
            Ring(order=order, me=me, parts=halves[0], way=0),
            Ring(order=turned, me=-me % n, parts=halves[1], way=1),
        )
        return in_turn(*[ring.go_all(problem, reduced=True, known=True) for ring in rings])

    return by_place(order, program)


@schedule("ring_reduce_scatter")
def ring_reduce_scatter(problem: Problem) -> list[list[Step]]:
    """The block of each rank begins one place behind it, and ends there."""
    order = order_of(problem)
    parts = [problem.block(rank) for rank in [order[-1], *order[:-1]]]
    return by_place(
        order,
        lambda me: in_turn(Ring(order=order, me=me, parts=parts).go_all(problem, reduced=True, known=False)),
    )


@schedule("ring_all_gather")
def ring_all_gather(problem: Problem) -> list[list[Step]]:
    """The block of each rank begins there, and goes to all others."""
    order = order_of(problem)
    parts = [problem.block(rank) for rank in order]
    return by_place(
        order,
        lambda me: in_turn(Ring(order=order, me=me, parts=parts).go_all(problem, reduced=False, known=True)),
    )


# -- grids of rings -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grid:
    """Ranks on a grid of rings: ``places[r]`` is rank r's place along each axis."""

    places: Sequence[tuple[int, ...]]

    def line(self, rank: int, axis: int) -> list[int]:
        """The ranks that differ from ``rank`` along ``axis`` only, in their order."""
        mine = self.places[rank]
        others = [
            (place[axis], r)
            for r, place in enumerate(self.places)
            if place[:axis] + place[axis + 1 :] == mine[:axis] + mine[axis + 1 :]
        ]
        return [r for _, r in sorted(others)]


@schedule("torus_bucket_allreduce", "mesh_allreduce", "hierarchical_allreduce")
def bucket_allreduce(problem: Problem) -> list[list[Step]]:
    """Axis by axis, each rank keeps one part of what it had, reduced; along the last axis that is made known at once.

    Then back along the axes before it, each time making known what it has. Along an axis place i ends with part i.
    """
    grid = Grid(problem.layout["places"])
    n_axes = len(grid.places[0])

    def program(rank: int) -> list[Step]:
        span: Span = (0, problem.n_elem)
        steps: list[Step] = []
        rings: list[tuple[list[int], int, list[list[Span]]]] = []
        for axis in range(n_axes):
            line, me = grid.line(rank, axis), grid.places[rank][axis]
            rings.append((line, me, cut(problem, span, len(line))))
            span = even_parts(span, len(line))[me]
        for line, me, parts in rings[:-1]:
            steps += ring_steps(problem, line, me, [parts[-1], *parts[:-1]], reduced=True, known=False)
        line, me, parts = rings[-1]
        steps += ring_steps(problem, line, me, parts, reduced=True, known=True)
        for line, me, parts in reversed(rings[:-1]):
            steps += ring_steps(problem, line, me, parts, reduced=False, known=True)
        return steps

    return [program(rank) for rank in range(problem.n_ranks)]


def ring_steps(
    problem: Problem,
    order: Sequence[int],
    me: int,
    parts: Sequence[Sequence[Span]],
    *,
    reduced: bool,
    known: bool,
) -> list[Step]:
    """One ring within a larger program; nothing if it is a single place."""
    if len(order) == 1:
        return []
    return in_turn(Ring(order=order, me=me, parts=parts).go_all(problem, reduced=reduced, known=known))


@schedule("bucket_all_gather")
def bucket_all_gather(problem: Problem) -> list[list[Step]]:
    """Along the column each rank makes its block known; along the row then all blocks of its column."""
    grid = Grid(problem.layout["places"])

    def program(rank: int) -> list[Step]:
        i, j = grid.places[rank]
        row, column = grid.line(rank, 0), grid.line(rank, 1)
        steps = ring_steps(problem, column, j, [problem.block(r) for r in column], reduced=False, known=True)
        columns = [[span for r in grid.line(head, 1) for span in problem.block(r)] for head in row]
        return steps + ring_steps(problem, row, i, columns, reduced=False, known=True)

    return [program(rank) for rank in range(problem.n_ranks)]


@schedule("bucket_reduce_scatter")
def bucket_reduce_scatter(problem: Problem) -> list[list[Step]]:
    """Some slices of every block at a time: along the row those of whole columns, then along the column its own.

    A rank keeps the reduced slices of one column in TCM, so many at a time that all of them fit; up to ``slots`` of
    them are under way.
    """
    grid = Grid(problem.layout["places"])
    blocks = [problem.block(rank) for rank in range(problem.n_ranks)]
    n_slices = len(blocks[0])

    def program(rank: int) -> list[Step]:
        i, j = grid.places[rank]
        row, column = grid.line(rank, 0), grid.line(rank, 1)
        at_once = max(1, MOST_IN_TCM // len(column))
        steps: list[Step] = []
        for begin in range(0, n_slices, at_once):
            some = slice(begin, begin + at_once)
            columns = [[span for r in grid.line(head, 1) for span in blocks[r][some]] for head in row]
            own = [blocks[r][some] for r in column]
            steps += in_tcm(problem, row, i, columns)
            steps += in_tcm(problem, column, j, own)
            steps += [Store(span) for span in own[j]]
        return steps

    return [program(rank) for rank in range(problem.n_ranks)]


def in_tcm(problem: Problem, order: Sequence[int], me: int, parts: Sequence[Sequence[Span]]) -> list[Step]:
    """Part i ends, reduced, at place i, and is not stored."""
    if len(order) == 1:
        return []
    ring = Ring(order=order, me=me, parts=[parts[-1], *parts[:-1]])
    width = problem.slots
    turns = ring.go(range(0, ring.n_slices, width), width, reduced=True, known=False)
    return [step for step in in_turn(turns) if not isinstance(step, Store)]
