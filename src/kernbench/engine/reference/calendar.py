"""The calendar of integer picoseconds, and processes that are generators.

A process yields what it waits for: an ``int`` (a delay in ps), ``queue.get()``, ``queue.put(x)``, a ``Signal``
or ``credits.take(n)``; the yield gives back what was waited for. Order within an instant is ADR-0003's: entries
run by (time, rank, sequence), where a rank belongs to one receiver; what a wake causes at the same instant runs
right after its cause.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

from kernbench.compiled import let_others_run
from kernbench.engine import api
from kernbench.engine.api import ProcessBody, T
from kernbench.engine.reference.containers import Heap
from kernbench.errors import CapacityError, DeadlockError
from kernbench.garbage import rarely_collected

PARKED = object()
_WAITABLE = "which is neither a delay in whole ps (int) nor something to wait for"
_FIRST_PROCESS_RANK = 1 << 40
RANK_BITS = 62
_ODD = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: it spreads ranks that are near each other
NO_LIMIT_PS = 1 << 62
PUBLISHED_AT = (1 << 12) - 1  # events, for whoever looks at a run from another thread


def refuse_more() -> NoReturn:
    """Say that simulated time, or a size, is beyond what an engine counts.

    Raises:
        CapacityError: always.
    """
    raise CapacityError(
        "simulated time and sizes stay below 2**62 (in picoseconds, 53 days), and there is more; look for a latency, a "
        "rate or a size out of all proportion in the configuration"
    )


def refuse_if_beyond(number: int) -> None:
    """Say so of a time, a size or a count beyond what an engine counts."""
    if number > NO_LIMIT_PS:
        refuse_more()


class Event:
    """What a calendar holds."""

    __slots__ = ()

    def happen(self) -> None:
        """Do what is to be done at this instant."""


class Call(Event):
    """A call of ``call`` with ``argument``."""

    __slots__ = ("argument", "call")

    def __init__(self, call: Callable[[T], object], argument: T) -> None:
        self.call: Callable[[Any], object] = call  # Any: what goes with it
        self.argument = argument

    def happen(self) -> None:
        """Call it."""
        self.call(self.argument)


class Process(Event):
    """A running generator; an event is the end of its delay. Woken with ``value``, it runs before who is ``behind``."""

    __slots__ = ("behind", "name", "rank", "send", "value")

    def __init__(self, body: ProcessBody, name: str, rank: int) -> None:
        self.name = name
        self.rank = rank
        self.send = body.send
        self.value: object = None
        self.behind: Process | None = None


def _is_ours(traceback: TracebackType | None) -> bool:
    """Whether what was raised comes from KernBench itself: a number that does not fit into the 64 bits of C."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith(
        "kernbench."
    )


class Calendar:
    """Time, and everything that will happen.

    ``first_woken`` to ``last_woken`` are the processes that run before the next of its ``entries``. ``tie_seed`` is for
    tests: it permutes ranks, to show that nothing but ties depends on them. Behind ``limit_ps``, ``over_limit()``
    raises.
    """

    __slots__ = (
        "_ranks",
        "_tie_seed",
        "entries",
        "events",
        "first_woken",
        "last_woken",
        "limit_ps",
        "now_ps",
        "over_limit",
        "processes",
    )

    def __init__(self, tie_seed: int | None = None) -> None:
        self.now_ps = 0
        self.events = 0
        self.entries = Heap()
        self.first_woken: Process | None = None
        self.last_woken: Process | None = None
        self.processes: set[Process] = set()
        self.limit_ps = NO_LIMIT_PS
        self.over_limit: Callable[[], object] = refuse_more
        self._ranks = 0
        self._tie_seed = tie_seed

    def new_rank(self) -> int:
        """The next rank of a process, behind all ports: who is made first goes first within an instant."""
        self._ranks += 1
        return self._permuted(_FIRST_PROCESS_RANK + self._ranks)

    def port_rank(self, port: int) -> int:
        """The rank of port number ``port``: the lowest goes first, whenever it is first used."""
        return self._permuted(port)

    def _permuted(self, rank: int) -> int:
        """``rank``, or what the tie seed makes of it: each step can be undone, so that no two become the same."""
        if self._tie_seed is None:
            return rank
        rank ^= random.Random(self._tie_seed).getrandbits(RANK_BITS)
        for _ in range(2):
            rank = rank * _ODD % (1 << RANK_BITS)
            rank ^= rank >> RANK_BITS // 2
        return rank

    def process(self, body: ProcessBody, name: str) -> Process:
        """Start ``body``; its first step runs at the present instant."""
        process = Process(body, name, self.new_rank())
        self.processes.add(process)
        self.entries.push(self.now_ps, process.rank, process)
        return process

    def at(self, time_ps: int, rank: int, call: Callable[[T], object], argument: T) -> None:
        """Run ``call(argument)`` at ``time_ps``, which is not in the past."""
        if time_ps < self.now_ps:
            raise AssertionError(f"event at {time_ps} ps in the past of {self.now_ps} ps")
        refuse_if_beyond(time_ps)
        self.entries.push(time_ps, rank, Call(call, argument))

    def wake(self, process: Process, value: object) -> None:
        """Resume a parked process at this instant, right after the running event."""
        process.value = value
        if self.first_woken is None:
            self.first_woken = process
        else:
            assert self.last_woken is not None
            self.last_woken.behind = process
        self.last_woken = process

    def run(self, until: api.Signal | None = None) -> None:
        """Let everything happen until ``until`` has fired, or until nothing is left to happen."""
        with rarely_collected():
            try:
                self._run(until)
            except OverflowError as error:
                if _is_ours(error.__traceback__):
                    refuse_more()
                raise

    def _run(self, until: api.Signal | None) -> None:
        entries = self.entries
        # Any: a delay or a wait; which it is, is asked for by the fastest means.
        wanted: Any
        events, limit_ps = 0, self.limit_ps
        try:
            while True:
                # Before the calendar: what an event wakes runs before any other event of its instant.
                process = self.first_woken
                if process is not None:
                    self.first_woken = process.behind
                    process.behind = None
                    value = process.value
                elif until is not None and until.is_fired:
                    return
                else:
                    event = entries.pop()
                    if event is None:
                        return
                    self.now_ps = entries.time_ps
                    if self.now_ps > limit_ps:
                        self.over_limit()
                    events += 1
                    if not events & PUBLISHED_AT:
                        self.events += events
                        events = 0
                        let_others_run()
                    if type(event) is not Process:
                        event.happen()
                        continue
                    process, value = event, None
                # Until the next wait that is not answered at once. In line: a call here costs 7 % of a run.
                send = process.send
                try:
                    wanted = send(value)
                    # Not isinstance(): a third of the price, and a bool is no delay.
                    while type(wanted) is not int:
                        if wanted is DONE:
                            value = None
                        elif isinstance(wanted, Wait):
                            wait = wanted
                            value = wait.wait(process)
                            if value is PARKED:
                                break
                        else:
                            raise TypeError(f"{process.name} yielded {wanted!r}, {_WAITABLE}")
                        wanted = send(value)
                    else:
                        delay_ps = wanted
                        if delay_ps < 0:
                            raise AssertionError(f"{process.name} yielded a delay of {delay_ps} ps")
                        if delay_ps > NO_LIMIT_PS:
                            refuse_more()
                        entries.push(self.now_ps + delay_ps, process.rank, process)
                except StopIteration:
                    self.processes.discard(process)
        finally:
            self.events += events

    def run_until(self, signal: api.Signal, parked: Callable[[], str]) -> object:
        """Run until ``signal`` fires and give its value; raise with the map ``parked()`` when it never can."""
        self.run(until=signal)
        if not signal.is_fired:
            raise DeadlockError(parked())
        return signal.value


class Wait:
    """What a process yields if it is no delay. This one is over before it begins."""

    __slots__ = ()

    def wait(self, process: Process) -> object:
        """See :class:`~kernbench.engine.api.Waitable`."""
        return None


DONE = Wait()  # one for all: most puts and takes need not wait, and then make no object


class Signal(Wait):
    """Fires once, with a value. Waiting for a fired signal is answered at once."""

    __slots__ = ("calendar", "is_fired", "value", "waiters")

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self.is_fired = False
        self.value: object = None
        self.waiters: list[Process] = []

    def fire(self, value: object = None) -> None:
        """Wake all waiters with ``value``; a second firing is a bug."""
        if self.is_fired:
            raise AssertionError("signal fired twice")
        self.is_fired = True
        self.value = value
        for process in self.waiters:
            self.calendar.wake(process, value)
        self.waiters.clear()

    def wait(self, process: Process) -> object:
        """See :class:`~kernbench.engine.api.Waitable`."""
        if self.is_fired:
            return self.value
        self.waiters.append(process)
        return PARKED
