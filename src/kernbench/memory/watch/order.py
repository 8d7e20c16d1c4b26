"""Happens-before: which accesses of which programs come before which, whatever time or placement say (ADR-0037).

A program of a launch is a *thread* here, as the literature on races calls it (Flanagan and Freund, FastTrack, 2009).
Its accesses between two messages are an *epoch*. A message carries a vector clock: for each thread, how many of its
epochs are over and known to be so. A thread that received nothing has no clock, and two of those compare two numbers.
Clocks are added up only where accesses are compared: most messages order nothing that meets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kernbench.messages.commands import Command, IpcqRecvCmd, IpcqSendCmd

Clock = npt.NDArray[np.int32]

MOST_BEHIND = 64  # messages, each received before the next was sent, whose clocks are not added up


class WatchedLaunch:
    """One launch as races see it: its kernel's name, and how what it does is told ("warn" or "error")."""

    __slots__ = ("level", "name")

    def __init__(self, name: str, level: str) -> None:
        self.name = name
        self.level = level


class Thread:
    """One program of a launch: ``number`` among all that run between two moments at which nothing runs.

    :meth:`issue` is told of each of its commands in program order, and gives it its epoch; ``messages`` are the epochs
    at whose ends the messages were sent that were received, by the version of the value received.
    """

    __slots__ = ("_receiving", "epoch", "ids", "launch", "messages", "number", "pe_name")

    def __init__(
        self,
        number: int,
        launch: WatchedLaunch,
        ids: tuple[int, int, int],
        pe_name: str,
        messages: dict[int, Epoch],
    ) -> None:
        self.number = number
        self.launch = launch
        self.ids = ids
        self.pe_name = pe_name
        self.messages = messages
        self.epoch = Epoch(self, 0, None, ())
        self._receiving: set[int] = set()

    def issue(self, command: Command) -> None:
        """Note the next command in program order."""
        command.epoch = self.epoch
        if type(command) is IpcqSendCmd:
            self.epoch = Epoch(self, self.epoch.n_sends + 1, self.epoch, ())
            return
        if type(command) is IpcqRecvCmd:
            assert command.result is not None
            self._receiving.add(command.result.version)
        if command.awaits is not None and self._receiving:
            self.take(command.awaits)

    def take(self, versions: tuple[int, ...]) -> None:
        """Note that the program goes on only with the messages among ``versions``: what follows is behind them."""
        receiving = self._receiving
        taken = versions
        if len(versions) != 1 or versions[0] not in receiving:  # nearly always there is one, and it is
            taken = tuple([version for version in versions if version in receiving])
        if taken:
            receiving.difference_update(taken)
            self.epoch = Epoch(self, self.epoch.n_sends, self.epoch, taken)


class Epoch:
    """The accesses of a thread behind ``n_sends`` messages that it sent and behind those that it had ``taken``.

    The message sent at its end is told of by the epoch itself: all that it knows, and that it is over.
    """

    __slots__ = ("_before", "_known", "_taken", "n_sends", "thread")

    def __init__(self, thread: Thread, n_sends: int, before: Epoch | None, taken: tuple[int, ...]) -> None:
        self.thread = thread
        self.n_sends = n_sends
        self._before = before
        self._taken = taken
        self._known: VectorClock | None = None

    def known(self) -> VectorClock | None:
        """The knowledge of the thread in this epoch; None behind no message. The messages have been received."""
        if self._before is None:
            return self._known
        waiting: list[Epoch] = []
        epoch = self
        while epoch._before is not None:  # a loop: a chain may be longer than Python's stack
            waiting.append(epoch)
            epoch = epoch._before
        known, messages = epoch._known, self.thread.messages
        for epoch in reversed(waiting):
            if epoch._taken:
                taken = [messages.pop(version) for version in epoch._taken if version in messages]
                known = VectorClock(known, taken) if taken else known
            epoch._known, epoch._before = known, None
        return known

    def is_behind(self, thread: Thread, n_sends: int) -> bool:
        """Whether it comes after the epoch of ``thread`` behind ``n_sends`` sends."""
        if thread is self.thread:
            return True
        known = self.known()
        return known is not None and known.n_over(thread.number) > n_sends


class VectorClock:
    """What a thread knows to be over when it has received messages: how many epochs of each thread, its vector clock.

    ``messages`` are the epochs at whose ends they were sent. The clock is added up only when it is asked for, for most
    never is; but what is not added up is at most MOST_BEHIND messages deep, so that memory does not grow with their
    number.
    """

    __slots__ = ("_before", "_clock", "_depth", "_messages")

    def __init__(self, before: VectorClock | None, messages: Sequence[Epoch]) -> None:
        self._before = before
        self._messages = messages
        self._clock: Clock | None = None
        depth: int = 0 if before is None else before._depth
        for epoch in messages:
            known = epoch._known
            if known is not None and known._depth > depth:
                depth = known._depth
        self._depth: int = depth + 1
        if depth == MOST_BEHIND:
            self.clock()

    def n_over(self, number: int) -> int:
        """How many epochs of thread ``number`` are over."""
        clock = self.clock()
        return int(clock[number]) if number < len(clock) else 0

    def clock(self) -> Clock:
        """How many epochs of each thread are over; threads behind its end: none."""
        if self._clock is not None:
            return self._clock
        left = [self]
        while left:
            behind = [known for known in left[-1]._behind() if known._clock is None]
            if behind:
                left += behind
            else:
                left.pop()._add_up()
        assert self._clock is not None
        return self._clock

    def _behind(self) -> list[VectorClock]:
        """The knowledge of others that this one is added up from."""
        every = [self._before, *[epoch.known() for epoch in self._messages]]
        return [known for known in every if known is not None]

    def _add_up(self) -> None:
        if self._clock is not None:
            return
        clocks = [known.clock() for known in self._behind()]
        n_threads = max(*map(len, clocks), *[epoch.thread.number + 1 for epoch in self._messages], 0)
        clock = np.zeros(n_threads, np.int32)
        for known in clocks:
            np.maximum(clock[: len(known)], known, out=clock[: len(known)])
        for epoch in self._messages:
            number = epoch.thread.number
            clock[number] = max(clock[number], epoch.n_sends + 1)
        self._clock, self._depth, self._before, self._messages = clock, 0, None, ()
