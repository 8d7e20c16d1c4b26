"""A schedule of messages as a system of maximum and plus: when each exists, by the model of closed forms.

The general oracle of collectives: exact for unequal parts and where no closed form exists. It knows neither the engine
nor the kernels: a schedule says, rank by rank in program order, what an algorithm sends, receives and stores.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple, TypeAlias

from kernbench.errors import UsageError
from kernbench.theory.ideal import IdealModel

Span: TypeAlias = tuple[int, int]  # elements of the whole vector, from the first up to the second
Link: TypeAlias = tuple[int, int, int]  # sender, receiver, which of their ways


class Send(NamedTuple):
    """Send the elements of ``span`` to rank ``to``; the program goes on at once."""

    to: int
    span: Span
    way: int = 0


class Recv(NamedTuple):
    """Wait for the next message of ``source``: its elements are the rank's own now, or reduced with them."""

    source: int
    span: Span
    reduces: bool = False
    way: int = 0


class Store(NamedTuple):
    """Write ``span`` to memory: a later send is a release, and waits until it exists (ADR-0023)."""

    span: Span


Step: TypeAlias = Send | Recv | Store


class Schedule(NamedTuple):
    """The steps of every rank, and what an element counts in a message."""

    programs: Sequence[Sequence[Step]]
    item_bytes: int


class Finish(NamedTuple):
    """``time`` is when the last thing ends, in ps. ``traffic`` are bytes by link.

    ``n_steps`` is the length of the longest chain of messages in which each brings some of what the next one carries.
    """

    time: Fraction
    traffic: Mapping[Link, int]
    n_steps: int


class Made(NamedTuple):
    """When elements exist, and how many messages that took one after the other."""

    when: int = 0
    depth: int = 0


def both(*made: Made) -> Made:
    """When all of them exist."""
    return Made(max(one.when for one in made), max(one.depth for one in made))


class Elements:
    """What a rank has of the vector, by the smallest pieces that any step divides it into."""

    def __init__(self, at: Mapping[int, int]) -> None:
        self._at = at
        self._made = [Made()] * len(at)

    def __getitem__(self, span: Span) -> Made:
        found = self._made[self._at[span[0]] : self._at[span[1]]]
        if len(found) == 1:
            return found[0]
        return both(*found) if found else Made()

    def __setitem__(self, span: Span, made: Made) -> None:
        first, last = self._at[span[0]], self._at[span[1]]
        self._made[first:last] = [made] * (last - first)


def evaluate(schedule: Schedule, model: IdealModel) -> Finish:
    """Let every rank do its steps in order; UsageError if some wait for ever.

    A send begins when its program has come to it, what it carries and what was stored exists, and its link is free (of
    a crossbar: first the rank's one port); it holds the link for ``beta`` a byte, and arrives ``alpha`` later, both of
    its way. A reduction begins when both operands exist and the rank's one engine is free, and takes ``gamma`` a byte.
    """
    programs, item_bytes = schedule
    costs = (*model[:3], *(cost for way in model.ways.values() for cost in way))
    scale = lcm(*(cost.denominator for cost in costs))  # all times are whole multiples of 1 / scale ps
    gamma, port_beta = int(model.gamma * scale), int(model.beta * scale)
    usual = (int(model.alpha * scale), port_beta)
    ways = {ranks: (int(way.alpha * scale), int(way.beta * scale)) for ranks, way in model.ways.items()}
    bounds = sorted({bound for steps in programs for step in steps for bound in step.span})
    at = {bound: i for i, bound in enumerate(bounds)}
    has = [Elements(at) for _ in programs]
    clock, engine_free, port_free, stored, end = ([0] * len(programs) for _ in range(5))
    link_free: defaultdict[Link, int] = defaultdict(int)
    under_way: defaultdict[Link, deque[Made]] = defaultdict(deque)
    traffic: Counter[Link] = Counter()
    left, n_steps = [deque(steps) for steps in programs], 0

    def do(rank: int, step: Step) -> int:
        size_bytes, mine = (step.span[1] - step.span[0]) * item_bytes, has[rank]
        if isinstance(step, Store):
            stored[rank] = max(stored[rank], clock[rank], mine[step.span].when)
            return 0
        if isinstance(step, Send):
            link = (rank, step.to, step.way)
            alpha, beta = ways.get((rank, step.to), usual)
            what = mine[step.span]
            begin = max(clock[rank], stored[rank], what.when)
            if model.is_crossbar:
                begin = max(begin, port_free[rank])
                port_free[rank] = begin + port_beta * size_bytes
            link_free[link] = left_at = max(begin, link_free[link]) + beta * size_bytes
            end[rank] = max(end[rank], left_at)
            under_way[link].append(Made(left_at + alpha, what.depth + 1))
            traffic[link] += size_bytes
            return what.depth + 1
        here = under_way[step.source, rank, step.way].popleft()
        clock[rank] = max(clock[rank], here.when)
        if step.reduces:
            here = both(here, mine[step.span])
            engine_free[rank] = max(clock[rank], here.when, engine_free[rank]) + gamma * size_bytes
            here = Made(engine_free[rank], here.depth)
        mine[step.span] = here
        end[rank] = max(end[rank], here.when)
        return 0

    moves = True
    while moves:
        moves = False
        for rank, steps in enumerate(left):
            while steps and not (
                isinstance(steps[0], Recv) and not under_way[steps[0].source, rank, steps[0].way]
            ):
                n_steps = max(n_steps, do(rank, steps.popleft()))
                moves = True
    if any(left):
        raise UsageError(f"the schedule's ranks {[r for r, steps in enumerate(left) if steps]} wait for ever")
    return Finish(Fraction(max(end, default=0), scale), traffic, n_steps)
