"""Which bytes of a tensor somebody wrote."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np

from kernbench.memory.watch.lanes import CellRows, Ints, Lanes


class Written:
    """The written bytes of a tensor of ``size_bytes``; nothing is kept once it is all of them.

    As ranges while what is written are whole ranges, else as a bit for each cell of ``cell_bytes`` or fewer.
    """

    def __init__(self, size_bytes: int, cell_bytes: int) -> None:
        self.is_whole = size_bytes == 0
        self._size_bytes = size_bytes
        self._cell_bytes = cell_bytes
        self._starts: list[int] = []  # of ranges that neither overlap nor touch, rising
        self._ends: list[int] = []
        self._cells: CellRows | None = None
        self._left_bytes = size_bytes

    def add(self, lanes: Lanes) -> None:
        """Note that ``lanes`` are written."""
        if self.is_whole:
            return
        is_range = lanes.starts is None and not lanes.outer
        if is_range and self._cells is None:
            self._add_range(lanes.start, lanes.start + lanes.run_bytes)
            self.is_whole = self._starts[0] == 0 and self._ends[0] == self._size_bytes
        else:
            self._add_cells(lanes)
            self.is_whole = not self._left_bytes
        if self.is_whole:
            self._starts, self._ends, self._cells = [], [], None

    def _add_range(self, start: int, end: int) -> None:
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]

    def _add_cells(self, lanes: Lanes) -> None:
        ((cells, at),) = self._made_cells().at(lanes)
        here = cells[at]
        n_new = here.size - int(np.count_nonzero(here))
        if lanes.starts is not None and n_new:  # lanes may share a cell
            n_new = len(np.unique(at[~here]))
        cells[at] = True
        self._left_bytes -= n_new * self._made_cells().cell_bytes

    def _made_cells(self) -> CellRows:
        """A bit for each cell, made of the ranges so far."""
        if self._cells is None:
            self._cells = CellRows(self._size_bytes, self._cell_bytes, 1, np.bool_)
            ranges, self._starts, self._ends = list(zip(self._starts, self._ends, strict=True)), [], []
            for start, end in ranges:
                self._add_cells(Lanes(start, end - start, ()))
        return self._cells

    def missing(self, lanes: Lanes) -> tuple[Ints, int]:
        """The numbers of the cells of ``lanes`` that nobody wrote, rising, and the bytes of a cell."""
        if self._cells is None and lanes.starts is None:
            low, high = lanes.bounds()
            at = bisect_right(self._starts, low) - 1
            if at >= 0 and high <= self._ends[at]:
                return np.empty(0, np.int64), self._cell_bytes
        ((cells, at_cells),) = self._made_cells().at(lanes)
        unwritten, cell_bytes = ~cells[at_cells], self._made_cells().cell_bytes
        if not unwritten.any():
            return np.empty(0, np.int64), cell_bytes
        return np.unique(lanes.numbers(cell_bytes).reshape(unwritten.shape)[unwritten]), cell_bytes
