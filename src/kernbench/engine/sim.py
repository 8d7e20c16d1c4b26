"""The engine: a calendar of integer picoseconds and processes that are generators.

A process yields what it waits for: an ``int`` (a delay in ps), ``queue.get()``, ``queue.put(x)``, a ``Signal``
or ``credits.take(n)``; the yield gives back what was waited for. Order within an instant is ADR-0003's: entries
run by (time, rank, sequence), where a rank belongs to one receiver; what a wake causes at the same instant runs
right after its cause.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any, Protocol

from kernbench.errors import DeadlockError


class Waitable(Protocol):
    """Anything a process may yield besides a delay."""

    def wait(self, process: Process) -> Any:
        """Give the answer now, or keep ``process`` and return :data:`PARKED`."""


ProcessBody = Generator[Any, Any, None]
PARKED = object()


class Process:
    """A running generator. ``waits_for`` is the object it is parked at (None: in the calendar)."""

    __slots__ = ("engine", "name", "rank", "send", "since_ps", "waits_for")

    def __init__(self, engine: Engine, body: ProcessBody, name: str, rank: int) -> None:
        self.engine = engine
        self.name = name
        self.rank = rank
        self.send = body.send
        self.waits_for: Any = None
        self.since_ps = 0

    def step(self, value: Any) -> None:
        """Run until the next wait that is not answered at once."""
        engine = self.engine
        send = self.send
        try:
            while True:
                wanted = send(value)
                if type(wanted) is int:
                    if wanted < 0:
                        raise AssertionError(f"{self.name} yielded a delay of {wanted} ps")
                    engine.count = count = engine.count + 1
                    heappush(engine.calendar, (engine.now_ps + wanted, self.rank, count, self.step, None))
                    return
                value = wanted.wait(self)
                if value is PARKED:
                    self.waits_for = wanted
                    self.since_ps = engine.now_ps
                    return
        except StopIteration:
            engine.processes.discard(self)


class Engine:
    """Time, and everything that will happen.

    ``tie_seed`` is for tests: it permutes ranks, to show that nothing but ties depends on them.
    """

    def __init__(self, tie_seed: int | None = None) -> None:
        self.now_ps = 0
        self.count = 0
        self.events = 0
        self.calendar: list[tuple[int, int, int, Callable[[Any], None], Any]] = []
        self.wakes: deque[tuple[Process, Any]] = deque()
        self.processes: set[Process] = set()
        self._ranks = 0
        self._tie_rng = None if tie_seed is None else random.Random(tie_seed)  # noqa: S311

    def new_rank(self) -> int:
        """The next rank: who is made first goes first within an instant."""
        self._ranks += 1
        if self._tie_rng is not None:
            return self._tie_rng.randrange(1 << 30) << 30 | self._ranks
        return self._ranks

    def process(self, body: ProcessBody, name: str) -> Process:
        """Start ``body``; its first step runs at the present instant."""
        process = Process(self, body, name, self.new_rank())
        self.processes.add(process)
        self.at(self.now_ps, process.rank, process.step, None)
        return process

    def at(self, time_ps: int, rank: int, call: Callable[[Any], None], argument: Any) -> None:
        """Run ``call(argument)`` at ``time_ps``, which is not in the past."""
        if time_ps < self.now_ps:
            raise AssertionError(f"event at {time_ps} ps in the past of {self.now_ps} ps")
        self.count += 1
        heappush(self.calendar, (time_ps, rank, self.count, call, argument))

    def wake(self, process: Process, value: Any) -> None:
        """Resume a parked process at this instant, right after the running event."""
        process.waits_for = None
        self.wakes.append((process, value))

    def run(self, until: Signal | None = None) -> None:
        """Let everything happen until ``until`` has fired, or until nothing is left to happen."""
        calendar, wakes = self.calendar, self.wakes
        events = 0
        try:
            while True:
                while wakes:
                    process, value = wakes.popleft()
                    process.step(value)
                if (until is not None and until.is_fired) or not calendar:
                    return
                self.now_ps, _, _, call, argument = heappop(calendar)
                events += 1
                call(argument)
        finally:
            self.events += events

    def run_until(self, signal: Signal, parked: Callable[[], str]) -> Any:
        """Run until ``signal`` fires and give its value; raise with the map ``parked()`` when it never can."""
        self.run(until=signal)
        if not signal.is_fired:
            raise DeadlockError(parked())
        return signal.value


class Signal:
    """Fires once, with a value. Waiting for a fired signal is answered at once."""

    __slots__ = ("engine", "is_fired", "value", "waiters")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_fired = False
        self.value: Any = None
        self.waiters: list[Process] = []

    def fire(self, value: Any = None) -> None:
        """Wake all waiters with ``value``; a second firing is a bug."""
        if self.is_fired:
            raise AssertionError("signal fired twice")
        self.is_fired = True
        self.value = value
        for process in self.waiters:
            self.engine.wake(process, value)
        self.waiters.clear()

    def wait(self, process: Process) -> Any:
        """See :class:`Waitable`."""
        if self.is_fired:
            return self.value
        self.waiters.append(process)
        return PARKED
