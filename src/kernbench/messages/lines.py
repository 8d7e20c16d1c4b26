"""Where the commands of the op log come from: the kernel's line of each, and the op that it asked for there.

Kept beside the op log and no part of it: nothing here is hashed, and what the log drops is dropped here as well.
"""

from __future__ import annotations

from typing import NamedTuple

from kernbench.messages.commands import Command, DmaReadCmd, DmaWriteCmd, GemmCmd, MathCmd
from kernbench.messages.oplog import OpCode, OpRecord
from kernbench.messages.source_line import SourceLine

GATHER, SCATTER = "gather", "scatter"  # instead of "load" and "store", where a list of addresses travels
SHORT = (
    "short "  # before "load" and "store", of runs that PE_DMA moves in less time than it sets a command up
)
ADD_OF_DOT = "add of a dot"  # instead of "add", where ``tl.dot(a, b, acc)`` would have added as well


class Origin(NamedTuple):
    """A line of a kernel and the op that it asks for: "exp", "load", ...; "value" where Python needs a block's.

    ``is_short`` is of a load or a store: its runs are so short that longer ones take no more time.
    """

    line: SourceLine
    op: str
    is_short: bool = False

    def __str__(self) -> str:
        return f"{self.line} ({self.op})"


class PeLines:
    """The origins of one PE's commands, in the order of their numbers: two references each, and no object.

    ``first`` is the number of the first one kept; ``products`` the living results of PE_GEMM.
    """

    __slots__ = ("first", "lines", "ops", "products", "short_bytes")

    def __init__(self, short_bytes: int) -> None:
        self.short_bytes = short_bytes
        self.first = 0
        self.lines: list[SourceLine] = []
        self.ops: list[str] = []
        self.products: set[int] = set()

    def note(self, command: Command) -> None:
        """Keep the origin of the PE's next command."""
        if not self.lines:
            self.first = command.seq
        self.lines.append(command.line)
        self.ops.append(self._op_of(command))
        if self.products and command.releases:
            self.products.difference_update(command.releases)

    def _op_of(self, command: Command) -> str:
        if isinstance(command, MathCmd):
            is_add_of_dot = command.op == "add" and self.products and self._adds_product(command)
            return ADD_OF_DOT if is_add_of_dot else command.op
        if isinstance(command, GemmCmd):
            assert command.result is not None
            self.products.add(command.result.version)
        elif isinstance(command, (DmaReadCmd, DmaWriteCmd)):
            access = (command.target or command.operands[0]).access
            if access is not None and access.addresses is not None:
                return GATHER if command.target is None else SCATTER
            return (SHORT if access and access.runs()[1] < self.short_bytes else "") + command.name
        return command.name

    def _adds_product(self, command: MathCmd) -> bool:
        """Whether a block is added to a product of its own shape and dtype."""
        a, b = command.operands
        is_alike = a.shape == b.shape and a.dtype is b.dtype and a.space is b.space
        return is_alike and not self.products.isdisjoint((a.version, b.version))


class CommandLines:
    """The origins of all commands since the last :meth:`forget`, by PE and command number; none unless ``keep``.

    Runs of less than ``short_bytes`` are short.
    """

    def __init__(self, *, keep: bool = True, short_bytes: int = 0) -> None:
        self.keep = keep
        self.short_bytes = short_bytes
        self._by_pe: dict[int, PeLines] = {}
        self._waits: dict[int, Origin] = {}
        self._origins: dict[Origin, Origin] = {}  # one object of each

    def of_pe(self, pe: int) -> PeLines | None:
        """Where PE number ``pe`` notes its commands; None if they are not kept."""
        return self._by_pe.setdefault(pe, PeLines(self.short_bytes)) if self.keep else None

    def note_wait(self, version: int, line: SourceLine, op: str) -> None:
        """Keep where a program waits for the value or the completion ``version``."""
        if self.keep:
            origin = Origin(line, op)
            self._waits[version] = self._origins.setdefault(origin, origin)

    def origin(self, pe: int, record: OpRecord) -> Origin | None:
        """Where a record of PE number ``pe`` comes from; None for what no line of a kernel asked for."""
        if record.op == OpCode.READBACK:
            return self._waits.get(record.version)
        lines = self._by_pe.get(pe)
        if lines is None or not 0 <= record.command - lines.first < len(lines.lines):
            return None
        at = record.command - lines.first
        op = lines.ops[at]
        return Origin(lines.lines[at], op.removeprefix(SHORT), op.startswith(SHORT))

    def forget(self) -> None:
        """Drop the origins so far."""
        for lines in self._by_pe.values():
            lines.lines.clear()
            lines.ops.clear()
        self._waits.clear()
