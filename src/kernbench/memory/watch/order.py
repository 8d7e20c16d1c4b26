"""Happens-before: which accesses of which programs come before which, whatever time or placement say (ADR-0037).

A program of a launch is a *thread* here, as the literature on races calls it (Flanagan and Freund, FastTrack, 2009).
Its accesses between two messages are an *epoch*. A message carries a vector clock: for each thread, how many of its
epochs are over and known to be so. A thread that received nothing has no clock, and two of those compare two numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kernbench.messages.commands import Command, IpcqRecvCmd, IpcqSendCmd

Clock = npt.NDArray[np.int32]


class Launch:
    """One launch as races see it: its kernel's name, and how what it does is told ("warn" or "error")."""

    __slots__ = ("level", "name")

    def __init__(self, name: str, level: str) -> None:
        self.name = name
        self.level = level


class Thread:
    """One program of a launch: ``number`` among all that run between two moments at which nothing runs.

    :meth:`issue` is told of each of its commands in program order, and gives it its epoch; ``messages`` are the clocks
    of messages that were received, by the version of the value received.
    """

    __slots__ = ("_receiving", "epoch", "ids", "launch", "messages", "number", "pe_name")

    def __init__(
        self, number: int, launch: Launch, ids: tuple[int, int, int], pe_name: str, messages: dict[int, Clock]
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
        taken = tuple([version for version in versions if version in self._receiving])
        if taken:
            self._receiving.difference_update(taken)
            self.epoch = Epoch(self, self.epoch.n_sends, self.epoch, taken)


class Epoch:
    """The accesses of a thread behind ``n_sends`` messages that it sent and behind those that it had ``taken``."""

    __slots__ = ("_before", "_clock", "_taken", "n_sends", "thread")

    def __init__(self, thread: Thread, n_sends: int, before: Epoch | None, taken: tuple[int, ...]) -> None:
        self.thread = thread
        self.n_sends = n_sends
        self._before = before
        self._taken = taken
        self._clock: Clock | None = None

    def clock(self) -> Clock | None:
        """Its vector clock; None if it is behind no message. The messages it is behind have been received."""
        waiting: list[Epoch] = []
        epoch = self
        while epoch._before is not None:  # a loop: a chain may be longer than Python's stack
            waiting.append(epoch)
            epoch = epoch._before
        clock = epoch._clock
        for epoch in reversed(waiting):
            for version in epoch._taken:
                clock = joined(clock, epoch.thread.messages.pop(version, None))
            epoch._clock, epoch._before = clock, None
        return clock

    def message(self, n_threads: int) -> Clock:
        """The clock that travels with the message sent at its end: all that it knows, and that itself is over."""
        clock, number = self.clock(), self.thread.number
        travels = np.zeros(n_threads, np.int32)
        if clock is not None:
            travels[: len(clock)] = clock
        travels[number] = self.n_sends + 1
        return travels

    def is_behind(self, thread: Thread, n_sends: int) -> bool:
        """Whether it comes after the epoch of ``thread`` behind ``n_sends`` sends."""
        if thread is self.thread:
            return True
        clock = self.clock()
        return clock is not None and thread.number < len(clock) and bool(clock[thread.number] > n_sends)


def joined(a: Clock | None, b: Clock | None) -> Clock | None:
    """What is known by who knows both; the longer one's threads, the shorter one knows none of the rest."""
    if a is None or b is None:
        return b if a is None else a
    if len(a) > len(b):
        a, b = b, a
    both: Any = b.copy()
    np.maximum(both[: len(a)], a, out=both[: len(a)])
    return both  # type: ignore[no-any-return]
