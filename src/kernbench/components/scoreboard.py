"""Which commands of a PE are under way, which values exist, and who has to wait for whom. Knows no time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from kernbench.engine.api import Signal
from kernbench.messages.access import Access
from kernbench.messages.commands import Command, IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.oplog import DMA_READ, NO_CAUSE
from kernbench.messages.tokens import PipelineContext, PipelinePlan


class _Touch:
    """An access to memory of the command ``seq``, with its bounds."""

    __slots__ = ("access", "high", "is_write", "low", "seq")

    def __init__(self, access: Access, seq: int, *, is_write: bool) -> None:
        self.access = access
        self.seq = seq
        self.is_write = is_write
        self.low, self.high = access.bounds()

    def conflicts(self, other: _Touch) -> bool:
        """Whether the two must keep their order: they may share a byte, and one of them writes."""
        return (
            (self.is_write or other.is_write)
            and self.low < other.high
            and other.low < self.high
            and self.access.overlaps(other.access)
        )


class _Touches:
    """Accesses in flight, by their first byte, so that only those are looked at that may reach another.

    ``longest`` is the most bytes that one has spanned: who reaches a byte begins less than that before it.
    """

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._touches: list[_Touch] = []
        self._longest = 0

    def add(self, touch: _Touch) -> None:
        at = bisect_right(self._lows, touch.low)
        self._lows.insert(at, touch.low)
        self._touches.insert(at, touch)
        self._longest = max(self._longest, touch.high - touch.low)

    def remove(self, touch: _Touch) -> None:
        at = bisect_left(self._lows, touch.low)
        while self._touches[at] is not touch:
            at += 1
        del self._lows[at], self._touches[at]

    def oldest_conflict(self, own: _Touch) -> int | None:
        """The oldest command before that of ``own`` with which it conflicts."""
        first = bisect_right(self._lows, own.low - self._longest)
        last = bisect_left(self._lows, own.high)
        oldest = None
        for touch in self._touches[first:last]:
            if touch.seq < own.seq and (oldest is None or touch.seq < oldest) and own.conflicts(touch):
                oldest = touch.seq
        return oldest


class Flight:
    """A command between admission and completion. ``done`` fires when it is complete.

    ``cause`` is the record of its admission, which ended at ``admitted_ps``; it takes ``need_bytes`` of TCM, and a
    place in ``lane``. ``streams`` says that its tiles come from memory on their way; ``is_release`` that it waits for
    all earlier accesses to memory: a send, which may tell another PE that they are done.
    """

    __slots__ = (
        "admitted_ps",
        "cause",
        "command",
        "context",
        "done",
        "is_release",
        "lane",
        "need_bytes",
        "plan",
        "reads",
        "streams",
        "touches",
    )

    def __init__(self, plan: PipelinePlan, context: PipelineContext, done: Signal) -> None:
        self.plan = plan
        self.command = plan.command
        self.context = context
        self.done = done
        self.cause = NO_CAUSE
        self.admitted_ps = 0
        self.need_bytes = plan.need_bytes
        # Any: one of PE_SCHEDULER's, which knows flights.
        self.lane: Any = None
        self.streams = plan.staging_bytes > 0 and any(tile.stages[0].kind is DMA_READ for tile in plan.tiles)
        self.is_release = isinstance(plan.command, IpcqSendCmd)
        self.touches = _touches(plan.command)
        self.reads = _reads(plan.command)


def _touches(command: Command) -> list[_Touch]:
    seq, target = command.seq, command.target
    touches = [_Touch(x.access, seq, is_write=False) for x in command.operands if x.access is not None]
    if target is not None and target.access is not None:
        touches.append(_Touch(target.access, seq, is_write=True))
    return touches


class _Value:
    """A value in TCM: alive until it is released, complete, and no command in flight reads it."""

    __slots__ = ("holds_slots", "is_released", "maker", "readers", "size_bytes")

    def __init__(self, size_bytes: int, maker: Flight) -> None:
        self.size_bytes = size_bytes
        self.holds_slots = isinstance(maker.command, IpcqRecvCmd) and not maker.command.is_copied
        self.maker: Flight | None = maker
        self.readers: list[Flight] = []
        self.is_released = False


class Scoreboard:
    """Commands in flight by number, in program order, and the values they make and read.

    ``live_bytes`` is what the values alive *in program order* occupy: what was admitted and not released. ``freed``
    lists the values that were slots of a queue and are not any more; whoever frees the slots empties it.
    """

    def __init__(self) -> None:
        self.freed: list[int] = []
        self.flights: dict[int, Flight] = {}
        self.live_bytes = 0
        self._touches = _Touches()
        self._values: dict[int, _Value] = {}

    def admit(self, flight: Flight) -> None:
        """Enter the next command in program order."""
        command = flight.command
        self.flights[command.seq] = flight
        for touch in flight.touches:
            self._touches.add(touch)
        for version in flight.reads:
            value = self._values.get(version)
            if value is not None:
                value.readers.append(flight)
        if command.result is not None and command.result.version >= 0:
            value = self._values[command.result.version] = _Value(command.tcm_bytes, flight)
            self.live_bytes += command.tcm_bytes
            if command.inherits >= 0:
                self._inherit(value, command.inherits)

    def _inherit(self, value: _Value, version: int) -> None:
        """The bytes of ``version``, which dies with this command, go to ``value``."""
        old = self._values[version]
        value.size_bytes += old.size_bytes
        old.size_bytes = 0
        old.is_released = True

    def release(self, versions: Iterable[int]) -> int:
        """Mark values as dead; gives the bytes that are free at once.

        A value that is known no more was inherited, and is gone already.
        """
        freed_bytes = 0
        for version in versions:
            value = self._values.get(version)
            if value is not None and not value.is_released:
                value.is_released = True
                self.live_bytes -= value.size_bytes
                freed_bytes += self._try_free(version)
        return freed_bytes

    def alive(self) -> list[int]:
        """Versions that were not released yet."""
        return [version for version, value in self._values.items() if not value.is_released]

    def blocker(self, flight: Flight) -> Flight | None:
        """A command in flight that ``flight`` has to wait for; None when it may start.

        These are the makers of what it needs, whoever still reads the bytes it inherits, the commands its plan is
        behind, and earlier commands whose accesses conflict with its own.
        """
        for version in flight.plan.after:
            value = self._values.get(version)
            if value is not None and value.maker is not None:
                return value.maker
        inherited = self._values.get(flight.command.inherits)
        if inherited is not None:
            for reader in inherited.readers:
                if reader is not flight:
                    return reader
        for seq in flight.plan.behind:
            if seq in self.flights:
                return self.flights[seq]
        if flight.is_release:
            return self._first_access(flight)
        return self._oldest_conflict(flight) if flight.touches else None

    def _first_access(self, flight: Flight) -> Flight | None:
        """The oldest command before ``flight`` that touches memory."""
        for earlier in self.flights.values():
            if earlier is flight:
                return None
            if earlier.touches:
                return earlier
        raise AssertionError(f"command {flight.command.seq} is not in flight")

    def _oldest_conflict(self, flight: Flight) -> Flight | None:
        oldest = [seq for own in flight.touches if (seq := self._touches.oldest_conflict(own)) is not None]
        return self.flights[min(oldest)] if oldest else None

    def complete(self, flight: Flight) -> int:
        """Take a command out; gives the bytes that are free with that."""
        command = flight.command
        del self.flights[command.seq]
        for touch in flight.touches:
            self._touches.remove(touch)
        freed_bytes = 0
        if command.result is not None and command.result.version >= 0:
            self._values[command.result.version].maker = None
            freed_bytes += self._try_free(command.result.version)
        for version in flight.reads:
            value = self._values.get(version)
            if value is not None:
                value.readers.remove(flight)
                freed_bytes += self._try_free(version)
        return freed_bytes

    def _try_free(self, version: int) -> int:
        value = self._values[version]
        if not value.is_released or value.maker is not None or value.readers:
            return 0
        del self._values[version]
        if value.holds_slots:
            self.freed.append(version)
        return value.size_bytes


def _reads(command: Command) -> list[int]:
    """The versions that a command reads or waits for, each once."""
    versions = [operand.version for operand in command.operands if operand.version >= 0]
    versions += command.depends
    return versions if len(versions) < 2 else list(dict.fromkeys(versions))
