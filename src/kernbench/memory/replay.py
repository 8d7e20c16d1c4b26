"""Phase 2: commands become values, each evaluated whole, by the one evaluator of its op.

``DataExecutor`` follows the op log behind simulated time (mode ``timed``); ``ImmediateExecutor`` evaluates
each command as it is issued (mode ``data``). Both make an :class:`Evaluation` of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from operator import itemgetter
from time import perf_counter_ns
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kernbench.cpu_time import VALUES, CpuTime
from kernbench.memory.blocks import block_of, bytes_of
from kernbench.memory.page_table import PageTables
from kernbench.memory.store import MemoryStore
from kernbench.memory.watch import Watch
from kernbench.messages.commands import (
    HBM,
    TCM,
    Command,
    DmaReadCmd,
    DmaWriteCmd,
    GemmCmd,
    IpcqRecvCmd,
    IpcqSendCmd,
    MathCmd,
    Operand,
    ValueRecord,
)
from kernbench.messages.ipcq import QueueEnd
from kernbench.ops import compute, dot_form, evaluate_dot
from kernbench.ops.numerics import as_array, convert

Array = npt.NDArray[Any]
NOTHING: Array = np.empty(0, np.uint8)  # what sends and composites make: kept and released as any value is

_COMMIT_PS, _ORDER = itemgetter(0), itemgetter(0, 1, 2)  # of a ValueRecord


class Log(Protocol):
    """Where Phase 1 leaves the commands that took hold, in any order."""

    @property
    def values(self) -> list[ValueRecord]:
        """Commands that took hold; the executor empties it."""


class Kept:
    """One value: its ``array`` and that as a matrix product takes it (None: not yet), and what may still read it.

    ``n_reads`` are the reads of commands that are issued and not evaluated. After its release none is to come.
    """

    __slots__ = ("array", "dot_form", "is_released", "n_reads")

    def __init__(self) -> None:
        self.array: Array | None = None
        self.dot_form: Array | None = None
        self.n_reads = 0
        self.is_released = False


class Values:
    """Every value that something may still read, by version id.

    :meth:`expect` is called for each command in program order, :meth:`settle` once it is evaluated. A value leaves
    when it is released and every command that was to read it is settled, so memory holds what is alive and
    no more. An array is never changed once it is here. ``mail`` are those sent and not yet received, by the end they
    went to; an end without any has no entry.
    """

    def __init__(self) -> None:
        self.mail: dict[QueueEnd, deque[Array]] = {}
        self._kept: dict[int, Kept] = {}

    def __len__(self) -> int:
        return sum(version in self for version in self._kept)

    def __contains__(self, version: int) -> bool:
        return self.get(version) is not None

    def get(self, version: int) -> Array | None:
        """A value, if it exists by now."""
        return self._of(version).array if version in self._kept else None

    def _of(self, version: int) -> Kept:
        if version not in self._kept:
            self._kept[version] = Kept()
        return self._kept[version]

    def read(self, version: int) -> Array:
        """A value that exists."""
        array = self.get(version)
        if array is None:
            raise AssertionError(f"value {version} is read before it is made, or after it was released")
        return array

    def make(self, version: int, array: Array) -> None:
        """Enter a value."""
        kept = self._of(version)
        kept.array = array
        if kept.is_released and not kept.n_reads:
            del self._kept[version]

    def dot_form(self, version: int) -> Array:
        """A value as a matrix product takes it, made once: casting costs as much as multiplying."""
        array, kept = self.read(version), self._of(version)
        if kept.dot_form is None:
            kept.dot_form = dot_form(array)
        return kept.dot_form

    def expect(self, command: Command) -> None:
        """Note what an issued command will read, and what dies before it or in it."""
        for operand in command.operands:
            if operand.space is TCM:
                kept = self._of(operand.version)
                kept.n_reads += 1
        self.release(command.releases)
        if command.inherits >= 0:
            self.release((command.inherits,))

    def release(self, versions: tuple[int, ...]) -> None:
        """Note that no further command will read ``versions``."""
        for version in versions:
            kept = self._of(version)
            kept.is_released = True
            if not kept.n_reads and kept.array is not None:
                del self._kept[version]

    def settle(self, command: Command) -> None:
        """Note that an expected command is evaluated."""
        for operand in command.operands:
            if operand.space is TCM:
                kept = self._of(operand.version)
                kept.n_reads -= 1
                if kept.is_released and not kept.n_reads and kept.array is not None:
                    del self._kept[operand.version]

    def clear(self) -> None:
        """Forget everything: no kernel is left to read it."""
        self._kept.clear()

    def post(self, end: QueueEnd, array: Array) -> None:
        """Send a value to ``end``."""
        self.mail.setdefault(end, deque()).append(array)

    def receive(self, end: QueueEnd) -> Array:
        """The oldest value sent to ``end``."""
        mail = self.mail[end]
        array = mail.popleft()
        if not mail:
            del self.mail[end]  # an end whose queue is removed must not stay
        return array


class Executor:
    """What both executors have: the values of commands, and the memory that they load and store.

    ``watch`` is None where nobody watches. ``cpu`` books what they cost.
    """

    def __init__(
        self, memory: MemoryStore, page_tables: PageTables, watch: Watch | None, cpu: CpuTime
    ) -> None:
        self.memory = memory
        self.page_tables = page_tables
        self.watch = watch
        self.cpu = cpu
        self.values = Values()

    def value(self, version: int) -> Array:
        """A value whose command has been evaluated and that is not released."""
        return self.values.read(version)

    def clear(self) -> None:
        """Forget all values, when no kernel runs and everything is evaluated."""
        self.values.clear()


class ImmediateExecutor(Executor):
    """Evaluates each command when it is issued."""

    def execute(self, pe: int, command: Command) -> None:
        """Evaluate ``command`` of PE number ``pe``, then forget what it released."""
        begun_ns = perf_counter_ns()
        self.values.expect(command)
        with np.errstate(all="ignore"):
            Evaluation(command, pe, 0, self).run()
        self.values.settle(command)
        self.cpu.values_wall_ns += perf_counter_ns() - begun_ns


class DataExecutor(Executor):
    """A cursor over the op log: evaluates what took hold up to a time, in the order in which memory changed.

    The order is (commit time, node index, sequence within the node). Every command must be shown to
    :meth:`admit` when it is issued, or its operands are kept until ``clear``.
    """

    def __init__(
        self, log: Log, memory: MemoryStore, page_tables: PageTables, watch: Watch | None, cpu: CpuTime
    ) -> None:
        super().__init__(memory, page_tables, watch, cpu)
        self.log = log
        self._pending: list[ValueRecord] = []

    def admit(self, command: Command) -> None:
        """Note an issued command, in its program's order."""
        self.values.expect(command)

    def run_until(self, time_ps: int) -> None:
        """Evaluate every command that committed at or before ``time_ps``."""
        with self.cpu.on(VALUES), np.errstate(all="ignore"):
            for record in self._due(time_ps):
                Evaluation(record.command, record.pe, record.commit_ps, self).run()
                self.values.settle(record.command)

    def _due(self, time_ps: int) -> list[ValueRecord]:
        """What is to be evaluated up to ``time_ps``, in its order; the rest stays pending."""
        if self.log.values:
            self._pending += self.log.values
            self.log.values.clear()
            self._pending.sort(key=_ORDER)
        n_due = bisect_right(self._pending, time_ps, key=_COMMIT_PS)
        due = self._pending[:n_due]
        del self._pending[:n_due]
        return due


class Evaluation:
    """One command of PE number ``pe`` being evaluated, which takes effect at ``time_ps``."""

    __slots__ = ("command", "memory", "page_tables", "pe", "time_ps", "values", "watch")

    def __init__(self, command: Command, pe: int, time_ps: int, executor: Executor) -> None:
        self.command = command
        self.pe = pe
        self.time_ps = time_ps
        self.values = executor.values
        self.memory = executor.memory
        self.page_tables = executor.page_tables
        self.watch = executor.watch

    def run(self) -> None:
        """Evaluate by kind of command; one without effect on values, such as a wait, is passed over."""
        evaluate_kind = _BY_KIND.get(type(self.command))
        if evaluate_kind is not None:
            evaluate_kind(self, self.command)

    def read(self, command: DmaReadCmd) -> None:
        """Load a block."""
        self.make(self.load(command.operands[0], self.fill(command)))

    def write(self, command: DmaWriteCmd) -> None:
        """Store a block."""
        self.store(command.target, self.fetch(command.operands[0]))

    def dot(self, command: GemmCmd) -> None:
        """``a @ b (+ acc)`` in the dtype of where it goes."""
        acc = None if command.acc is None else self.fetch(command.acc)
        out = command.target or command.result
        assert out is not None
        product = evaluate_dot(self.dot_form(command.a), self.dot_form(command.b), acc, out.dtype)
        self.finish(product, command.target)

    def math(self, command: MathCmd) -> None:
        """The op of its operands, in the dtype of where it goes."""
        out = command.target or command.result
        assert out is not None
        operands = [self.fetch(x) for x in command.operands]
        self.finish(compute(command.op, operands, command.attrs, out.dtype), command.target)

    def send(self, command: IpcqSendCmd) -> None:
        """Post a block to the far end of a queue."""
        self.values.post(command.queue.peer, self.fetch(command.operands[0]))
        if self.watch is not None:
            self.watch.sent(command.queue.peer, command)
        self.make(NOTHING)

    def receive(self, command: IpcqRecvCmd) -> None:
        """Take the next block of a queue."""
        assert command.result is not None
        if self.watch is not None:
            self.watch.received(command.queue, command.result.version)
        self.make(self.values.receive(command.queue))

    def finish(self, array: Array, target: Operand | None) -> None:
        """Put a result where it goes: memory for a composite, which makes no value, else a value."""
        if target is not None:
            self.store(target, array)
            array = NOTHING
        self.make(array)

    def make(self, array: Array) -> None:
        """Enter the command's result."""
        assert self.command.result is not None
        self.values.make(self.command.result.version, array)

    def fetch(self, operand: Operand) -> Array:
        """The value of an operand, in its dtype and, as views of one value differ, in its shape."""
        if operand.space is TCM:
            array = self.values.read(operand.version)
            return array if array.shape == operand.shape else array.reshape(operand.shape)
        if operand.space is HBM:
            return self.load(operand, None)
        value = as_array(operand.value, operand.dtype)  # of a block of one value, that one
        return value if value.shape == operand.shape else np.broadcast_to(value, operand.shape)

    def dot_form(self, operand: Operand) -> Array:
        """The value of an operand as a matrix product takes it."""
        if operand.space is TCM:
            form = self.values.dot_form(operand.version)
            return form if form.shape == operand.shape else form.reshape(operand.shape)
        return dot_form(self.fetch(operand))

    def fill(self, command: DmaReadCmd) -> Array | None:
        """What the inactive lanes of a load become."""
        if command.fill is None:
            return None
        dtype = command.operands[0].dtype
        if isinstance(command.fill, Operand):
            return convert(self.fetch(command.fill), dtype)
        return as_array(command.fill, dtype)

    def load(self, source: Operand, fill: Array | None) -> Array:
        """The block at ``source``."""
        access = source.access
        assert access is not None
        pieces = self.page_tables.pieces(self.pe, access, self.command.line)
        if self.watch is not None:
            self.watch.read(self.page_tables.of(self.pe), self.pe, access, self.command, self.time_ps)
        return block_of(self.memory.read(pieces, access.size_bytes), access, source.dtype, fill)

    def store(self, target: Operand, array: Array) -> None:
        """Put ``array``, cast to the target's dtype, at ``target``."""
        access = target.access
        assert access is not None
        pieces = self.page_tables.pieces(self.pe, access, self.command.line, is_write=True)
        buffer = bytes_of(convert(array, target.dtype), access)
        watch, before = self.watch, None
        if watch is not None and self.command.epoch is not None:
            before = self.memory.read(pieces, access.size_bytes)
        self.memory.write(pieces, buffer)
        if watch is None:
            return
        # Of lanes that share an address the last one stays, so what came to be is read back.
        after = buffer if access.addresses is None else self.memory.read(pieces, access.size_bytes)
        table = self.page_tables.of(self.pe)
        watch.wrote(table, self.pe, access, self.command, self.time_ps, before, after)


_BY_KIND: dict[type[Command], Callable[..., None]] = {
    DmaReadCmd: Evaluation.read,
    DmaWriteCmd: Evaluation.write,
    GemmCmd: Evaluation.dot,
    MathCmd: Evaluation.math,
    IpcqSendCmd: Evaluation.send,
    IpcqRecvCmd: Evaluation.receive,
}
