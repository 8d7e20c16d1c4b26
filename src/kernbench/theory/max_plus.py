"""A schedule of messages as a system of maximum and plus: when each exists, by the model of closed forms.

The general oracle of collectives: exact for unequal parts and where no closed form exists. It knows neither the engine
nor the kernels: a schedule lists, rank by rank in program order, what an algorithm loads, computes, sends, receives and
stores, whoever wrote it down.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple, TypeAlias

from kernbench.errors import UsageError
from kernbench.theory.ideal import IdealModel

Value: TypeAlias = int  # names something that a rank has outside of its memory
Span: TypeAlias = tuple[int, int]  # bytes of a rank's memory, from the first up to the second
Link: TypeAlias = tuple[int, int, str]  # sender, receiver, which of their ways


class Load(NamedTuple):
    """Read ``span`` of memory, once the values that it ``needs`` exist; an empty one is a constant."""

    makes: Value
    span: Span = (0, 0)
    needs: tuple[Value, ...] = ()


class Math(NamedTuple):
    """Compute ``size_bytes`` from what it ``needs``, on the rank's one engine."""

    makes: Value
    needs: tuple[Value, ...]
    size_bytes: int


class Store(NamedTuple):
    """Write ``span`` of memory: a later send is a release, and waits until it exists (ADR-0023)."""

    span: Span
    needs: tuple[Value, ...]


class Send(NamedTuple):
    """Send a message of ``size_bytes`` to rank ``to`` and go on at once; ``makes`` exists when it has left."""

    makes: Value
    needs: tuple[Value, ...]
    size_bytes: int
    to: int
    way: str = ""


class Recv(NamedTuple):
    """Ask for the next message of ``source`` and go on at once; ``makes`` exists when it has arrived."""

    makes: Value
    source: int
    way: str = ""


class Wait(NamedTuple):
    """The program goes on when what it ``needs`` exists."""

    needs: tuple[Value, ...]


Step: TypeAlias = Load | Math | Store | Send | Recv | Wait
Schedule: TypeAlias = Sequence[Sequence[Step]]  # the steps of each rank


class Finish(NamedTuple):
    """``time`` is when the last thing ends, in ps. ``traffic`` are bytes by link.

    ``n_steps`` is the length of the longest chain of messages in which each brings some of what the next one carries.
    """

    time: Fraction
    traffic: Mapping[Link, int]
    n_steps: int


class Made(NamedTuple):
    """When something exists, and how many messages that took one after the other."""

    when: int = 0
    depth: int = 0


class Memory:
    """When the bytes of a rank exist, by the smallest pieces that any step divides them into."""

    def __init__(self, steps: Iterable[Step]) -> None:
        bounds = {bound for step in steps if isinstance(step, (Load, Store)) for bound in step.span}
        self._at = {bound: i for i, bound in enumerate(sorted(bounds))}
        self._made = [Made()] * len(self._at)

    def __getitem__(self, span: Span) -> Sequence[Made]:
        return self._made[self._at[span[0]] : self._at[span[1]]]

    def __setitem__(self, span: Span, made: Made) -> None:
        first, last = self._at[span[0]], self._at[span[1]]
        self._made[first:last] = [made] * (last - first)


class Costs:
    """A model in whole multiples of 1 / ``scale`` ps, so that no fraction is reduced on the way."""

    def __init__(self, model: IdealModel) -> None:
        prices = (*model[:3], *(price for way in model.ways.values() for price in way))
        self.scale = lcm(*(price.denominator for price in prices))
        self.is_crossbar = model.is_crossbar
        self.gamma, self.port_beta = int(model.gamma * self.scale), int(model.beta * self.scale)
        self._usual = (int(model.alpha * self.scale), self.port_beta)
        self._ways = {
            ranks: (int(way.alpha * self.scale), int(way.beta * self.scale))
            for ranks, way in model.ways.items()
        }

    def way(self, sender: int, receiver: int) -> tuple[int, int]:
        """``alpha`` and ``beta`` from one rank to another."""
        return self._ways.get((sender, receiver), self._usual)


class Rank:
    """The clock of one rank's program, its engine, its links, and what it has."""

    def __init__(self, number: int, steps: Sequence[Step], costs: Costs) -> None:
        self.number = number
        self.left = deque(steps)
        self.costs = costs
        self.memory = Memory(steps)
        self.values: dict[Value, Made] = {}
        self.coming: set[Value] = set()  # received, and not sent yet
        self.clock = self.engine_free = self.port_free = self.accessed = self.end = self.n_steps = 0
        self.known = 0  # messages, one after the other, of which the program has waited for the last
        self.link_free: defaultdict[Link, int] = defaultdict(int)

    @property
    def waits(self) -> bool:
        """Whether the next step needs a message that nobody has sent so far."""
        step = self.left[0]
        return not isinstance(step, Recv) and not self.coming.isdisjoint(step.needs)

    def ready(self, needs: Iterable[Value], more: Iterable[Made] = ()) -> Made:
        """When the program has come to a step and what that ``needs`` exists."""
        found = [*(self.values[value] for value in needs), *more]
        when = max([self.clock, *(made.when for made in found)])
        return Made(when, max((made.depth for made in found), default=0))

    def do(self, step: Load | Math | Store | Wait) -> None:
        """Take a step that concerns no other rank."""
        made = self.ready(step.needs, self.memory[step.span] if isinstance(step, Load) else ())
        if isinstance(step, Wait):
            self.clock, self.known = made.when, max(self.known, made.depth)
            return
        if isinstance(step, Math):
            begin = max(made.when, self.engine_free)
            self.engine_free = begin + self.costs.gamma * step.size_bytes
            made = Made(self.engine_free, made.depth)
        else:
            self.accessed = max(self.accessed, made.when)
        if isinstance(step, Store):
            self.memory[step.span] = made
        else:
            self.values[step.makes] = made
        self.end = max(self.end, made.when)

    def send(self, step: Send) -> Made:
        """Let a message leave; gives its arrival. One that is empty says what is known here."""
        link, (alpha, beta) = (self.number, step.to, step.way), self.costs.way(self.number, step.to)
        what = self.ready(step.needs, () if step.size_bytes else (Made(0, self.known),))
        # What was loaded or stored before is done, or the receiver might overtake it; math in TCM concerns nobody.
        begin = max(what.when, self.accessed)
        if self.costs.is_crossbar:  # the port is free for others while a slower way is still busy
            begin = max(begin, self.port_free)
            self.port_free = begin + self.costs.port_beta * step.size_bytes
        left = self.link_free[link] = max(begin, self.link_free[link]) + beta * step.size_bytes
        self.values[step.makes] = Made(left, what.depth)
        self.end = max(self.end, left)
        self.n_steps = max(self.n_steps, what.depth + 1)
        return Made(left + alpha, what.depth + 1)

    def arrive(self, value: Value, made: Made) -> None:
        """Have a message that was waited for."""
        self.values[value] = made
        self.coming.discard(value)
        self.end = max(self.end, made.when)


def evaluate(schedule: Schedule, model: IdealModel) -> Finish:
    """Let every rank do its steps in order; UsageError if some wait for ever.

    A send begins when its program has come to it, what it carries exists, earlier accesses to memory are done, and its
    link is free (of a crossbar: first the rank's one port); it holds the link for ``beta`` a byte, and arrives
    ``alpha`` later, both of its way. Math begins when its operands exist and the rank's one engine is free, and takes
    ``gamma`` a byte.
    """
    costs = Costs(model)
    ranks = [Rank(number, steps, costs) for number, steps in enumerate(schedule)]
    sent: defaultdict[Link, deque[Made]] = defaultdict(deque)
    asked: defaultdict[Link, deque[Value]] = defaultdict(deque)
    traffic: Counter[Link] = Counter()

    # A receive may be asked for long before the send, and be waited for after others: neither side blocks the other.
    def match(link: Link) -> None:
        while sent[link] and asked[link]:
            ranks[link[1]].arrive(asked[link].popleft(), sent[link].popleft())

    moves = True
    while moves:
        moves = False
        for rank in ranks:
            while rank.left and not rank.waits:
                moves = True
                step = rank.left.popleft()
                if isinstance(step, Send):
                    link = (rank.number, step.to, step.way)
                    sent[link].append(rank.send(step))
                    traffic[link] += step.size_bytes
                    match(link)
                elif isinstance(step, Recv):
                    link = (step.source, rank.number, step.way)
                    rank.coming.add(step.makes)
                    asked[link].append(step.makes)
                    match(link)
                else:
                    rank.do(step)
    stuck = [rank.number for rank in ranks if rank.left]
    if stuck:
        raise UsageError(f"the schedule's ranks {stuck} wait for ever")
    time = max((rank.end for rank in ranks), default=0)
    return Finish(Fraction(time, costs.scale), traffic, max((rank.n_steps for rank in ranks), default=0))
