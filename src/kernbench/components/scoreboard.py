"""Which commands of a PE are under way, which values exist, and who has to wait for whom. Knows no time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kernbench.engine.api import Signal
from kernbench.messages.access import Access
from kernbench.messages.commands import Command, IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.oplog import NO_CAUSE, OpCode
from kernbench.messages.tokens import PipelineContext, PipelinePlan


class _Touch(NamedTuple):
    """An access to memory with its bounds."""

    access: Access
    is_write: bool
    low: int
    high: int

    def conflicts(self, other: _Touch) -> bool:
        """Whether the two must keep their order: they may share a byte, and one of them writes."""
        return (
            (self.is_write or other.is_write)
            and self.low < other.high
            and other.low < self.high
            and self.access.overlaps(other.access)
        )


class Flight:
    """A command between admission and completion. ``done`` fires when it is complete.

    ``cause`` is the record of its admission, which ended at ``admitted_ps``. ``streams`` says that its tiles come
    from memory on their way; ``is_release`` that it waits for all earlier accesses to memory: a send, which may tell
    another PE that they are done.
    """

    __slots__ = (
        "admitted_ps",
        "cause",
        "context",
        "done",
        "is_release",
        "plan",
        "reads",
        "streams",
        "touches",
    )

    def __init__(self, plan: PipelinePlan, context: PipelineContext, done: Signal) -> None:
        self.plan = plan
        self.context = context
        self.done = done
        self.cause = NO_CAUSE
        self.admitted_ps = 0
        self.streams = plan.staging_bytes > 0 and any(
            tile.stages[0].kind is OpCode.DMA_READ for tile in plan.tiles
        )
        self.is_release = isinstance(plan.command, IpcqSendCmd)
        self.touches = _touches(plan.command)
        self.reads = _reads(plan.command)

    @property
    def command(self) -> Command:
        """The command."""
        return self.plan.command


def _touches(command: Command) -> list[_Touch]:
    touches = [_Touch(x.access, False, *x.access.bounds()) for x in command.operands if x.access is not None]
    target = command.target
    if target is not None and target.access is not None:
        touches.append(_Touch(target.access, True, *target.access.bounds()))
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
        self._values: dict[int, _Value] = {}

    def admit(self, flight: Flight) -> None:
        """Enter the next command in program order."""
        command = flight.command
        self.flights[command.seq] = flight
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
        return self._conflicting(flight) if flight.touches or flight.is_release else None

    # In program order, so the first that is found is the oldest. Adding 1 M elements spends a tenth of its time here.
    def _conflicting(self, flight: Flight) -> Flight | None:
        for earlier in self.flights.values():
            if earlier is flight:
                return None
            if flight.is_release and earlier.touches:
                return earlier
            for touch in earlier.touches:
                for own in flight.touches:
                    if own.conflicts(touch):
                        return earlier
        raise AssertionError(f"command {flight.command.seq} is not in flight")

    def complete(self, flight: Flight) -> int:
        """Take a command out; gives the bytes that are free with that."""
        command = flight.command
        del self.flights[command.seq]
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
    return list(dict.fromkeys([*versions, *command.depends]))
