"""Collects what the units finished, as int64 columns in blocks, with a hash of all of it.

The op log is public and versioned (ADR-0017): its sha256 covers the rows in the order they were appended and
nothing of the host: no paths, source lines, versions or wall clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kernbench.errors import CapacityError
from kernbench.messages.commands import Command
from kernbench.messages.lines import CommandLines
from kernbench.messages.oplog import NO_CAUSE, OpRecord, Row

FORMAT = b"kernbench.oplog/3"
N_COLUMNS = len(OpRecord._fields)
CAUSE = OpRecord._fields.index("cause")
BLOCK_NUMBERS = N_COLUMNS << 16  # of the rows that are packed at once
NO_MARKS = (-1,) * (N_COLUMNS - OpRecord._fields.index("mark1_ps"))


class ValueRecord(NamedTuple):
    """A command whose memory effect or result took hold at ``commit_ps``; what Phase 2 replays.

    Ordered by (commit time, node index, sequence within the node).
    """

    commit_ps: int
    node: int
    seq: int
    pe: int
    command: Command


class OpLog:
    """Rows in the order they were finished; ``values`` is Phase 2's queue.

    Every row is hashed; rows are kept for reports while ``keep`` says so, and dropped block by block otherwise, so
    that a long run has flat memory. ``first`` is the number of the first row kept. ``lines`` says of what is kept from
    where in a kernel it comes; it is no part of the log.
    """

    def __init__(self, *, keep: bool = True, short_bytes: int = 0) -> None:
        self.keep = keep
        self.lines = CommandLines(keep=keep, short_bytes=short_bytes)
        self.first = 0
        self.values: list[ValueRecord] = []
        # The rows not packed yet, one behind the other; a tuple each would set off searches for garbage.
        self._numbers: list[int] = []
        self._blocks: list[npt.NDArray[np.int64]] = []
        self._sha = hashlib.sha256(FORMAT)
        self._n_rows = 0
        self._n_values = 0
        self._drain: Callable[[int], None] = lambda now_ps: None

    def append(
        self,
        node: int,
        op: int,
        program: int,
        command: int,
        tile: int,
        ready_ps: int,
        start_ps: int,
        end_ps: int,
        commit_ps: int = -1,
        cause: Row = NO_CAUSE,
        version: int = -1,
        va: int = -1,
        size_bytes: int = 0,
        work: int = 0,
        marks: tuple[int, ...] = NO_MARKS,
    ) -> Row:
        """Add one record (see :class:`OpRecord`; ``marks`` are its last five columns)."""
        number = self._n_rows
        self._n_rows = number + 1
        numbers = self._numbers
        numbers += (
            node,
            op,
            program,
            command,
            tile,
            ready_ps,
            start_ps,
            end_ps,
            commit_ps,
            cause.number,
            version,
            va,
            size_bytes,
            work,
            *marks,
        )
        if len(numbers) == BLOCK_NUMBERS:
            self._pack()
        return Row(number)

    def drain_at(self, n_values: int, drain: Callable[[int], None]) -> None:
        """Call ``drain(now)`` when ``n_values`` wait for Phase 2, so that a long launch keeps no more."""
        self._n_values, self._drain = n_values, drain

    def commit(self, commit_ps: int, node: int, seq: int, pe: int, command: Command) -> None:
        """Queue ``command`` for Phase 2."""
        self.values.append(ValueRecord(commit_ps, node, seq, pe, command))
        if len(self.values) == self._n_values:
            self._drain(commit_ps)

    def __len__(self) -> int:
        return self._n_rows

    def _pack(self) -> None:
        numbers = self._numbers
        try:
            block = np.fromiter(numbers, np.int64, len(numbers)).reshape(-1, N_COLUMNS)
        except OverflowError:
            raise CapacityError(
                f"the op log holds numbers below 2**63 (in picoseconds, 106 days), and there is {max(numbers)}; "
                "look for a latency, a rate or a size out of all proportion in the configuration"
            ) from None
        self._sha.update(block.astype("<i8", copy=False).data)
        numbers.clear()
        if self.keep:
            self._blocks.append(block)
        else:
            self.first = self._n_rows

    def forget(self) -> None:
        """Drop the rows so far, and where they come from; the rows stay in the hash."""
        if self._numbers:
            self._pack()
        self._blocks.clear()
        self.lines.forget()
        self.first = self._n_rows

    def table(self) -> npt.NDArray[np.int64]:
        """All rows kept, ``[n, columns]``, columns in the order of ``OpRecord._fields``.

        ``cause`` counts from the first row kept; a cause that was dropped is -1.
        """
        if self._numbers:
            self._pack()
        if not self._blocks:
            return np.empty((0, N_COLUMNS), dtype=np.int64)
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        if self.first == 0:
            return self._blocks[0]
        table = self._blocks[0].copy()
        table[:, CAUSE] = np.maximum(table[:, CAUSE] - self.first, -1)
        return table

    def __iter__(self) -> Iterator[OpRecord]:
        return (OpRecord(*(int(x) for x in row)) for row in self.table())

    def sha256(self) -> str:
        """Hash of all rows so far."""
        if self._numbers:
            self._pack()
        return self._sha.hexdigest()
