"""Collects what the units finished, as int64 columns in blocks, with a hash of all of it.

The op log is public and versioned (ADR-0017): its sha256 covers the rows in an order that is the program's (ADR-0039)
and nothing of the host: no paths, source lines, versions or wall clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from kernbench.engine.reference.containers import N_COLUMNS, Rows
from kernbench.messages.commands import Command, ValueRecord
from kernbench.messages.lines import CommandLines
from kernbench.messages.oplog import NO_CAUSE, NO_MARKS, OpRecord, Row

FORMAT = b"kernbench.oplog/4"
CAUSE = OpRecord._fields.index("cause")
ORDER = ("end_ps", "node", "op", "program", "command", "tile")  # of the rows; by the first of these first
KEYS = [OpRecord._fields.index(name) for name in reversed(ORDER)]  # as numpy.lexsort has them
BLOCK_BYTES = (
    8 * N_COLUMNS
) << 12  # of the rows that are numbered at once, but for more of the last one's instant


class OpLog:
    """Rows in the order of when they ended, then of node, op, program, command and tile, then of being appended.

    Every row is hashed; rows are kept for reports while ``keep`` says so, and dropped block by block otherwise, so
    that a long run has flat memory. ``first`` is the number of the first row kept. ``lines`` says of what is kept from
    where in a kernel it comes; it is no part of the log. ``values`` is Phase 2's queue.
    """

    def __init__(self, *, keep: bool = True, short_bytes: int = 0) -> None:
        self.keep = keep
        self.lines = CommandLines(keep=keep, short_bytes=short_bytes)
        self.first = 0
        self.values: list[ValueRecord] = []
        self._open = Rows()  # those that have no number yet
        self._rows: list[Row] = []  # their handles
        self._instant_ps = -1  # when the last of them ended
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
        """Add one record (see :class:`OpRecord`; ``marks`` are its last five columns), which ends at this instant.

        Raises:
            OverflowError: a number does not fit into 64 bits.
        """
        if end_ps != self._instant_ps:
            self._instant_ps = end_ps
            if len(self._open) >= BLOCK_BYTES:
                self._close()
        self._open.add(
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
            marks,
        )
        row = Row(self._n_rows)
        self._n_rows += 1
        self._rows.append(row)
        return row

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

    def _ordered(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows without a number in order, ``[n, columns]``, and the number of each as they were appended."""
        block = np.frombuffer(self._open, "<i8").reshape(-1, N_COLUMNS)
        n_closed = self._n_rows - len(block)
        order = np.lexsort(block[:, KEYS].T)
        number = np.empty_like(order)
        number[order] = np.arange(n_closed, self._n_rows)
        block = block[order]
        causes = block[:, CAUSE]
        is_among_them = causes >= n_closed
        causes[is_among_them] = number[causes[is_among_them] - n_closed]
        return block, number

    def _close(self) -> None:
        """Number and hash the rows so far; none that comes will stand among them."""
        block, numbers = self._ordered()
        for row, number in zip(self._rows, numbers.tolist(), strict=True):
            row.number = number
        self._rows.clear()
        self._open = Rows()
        self._sha.update(block.data)
        if self.keep:
            self._blocks.append(block)
        else:
            self.first = self._n_rows

    def forget(self) -> None:
        """Drop the rows so far, and where they come from; they stay in the hash, before what is still to come."""
        self._close()
        self._blocks.clear()
        self.lines.forget()
        self.first = self._n_rows

    def table(self) -> npt.NDArray[np.int64]:
        """All rows kept, ``[n, columns]``, columns in the order of ``OpRecord._fields``.

        ``cause`` counts from the first row kept; a cause that was dropped is -1.
        """
        if not self.keep:
            return np.empty((0, N_COLUMNS), dtype=np.int64)
        open_rows, _ = self._ordered()
        table = np.concatenate([*self._blocks, open_rows])
        self._blocks = [table[: len(table) - len(open_rows)]]  # not a second time in memory
        if self.first:
            table = table.copy()
            table[:, CAUSE] = np.maximum(table[:, CAUSE] - self.first, -1)
        return table

    def __iter__(self) -> Iterator[OpRecord]:
        return (OpRecord(*(int(x) for x in row)) for row in self.table())

    def sha256(self) -> str:
        """Hash of all rows so far."""
        sha = self._sha.copy()
        sha.update(self._ordered()[0].data)
        return sha.hexdigest()
