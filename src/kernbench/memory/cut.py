"""Cuts the runs of an access at borders of pages and of a grid of cells: arithmetic, in closed form where it can be.

A tensor's bytes are seen as ``[rows, row_bytes]``; a cell is a rectangle of it, row-major and dense by itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Outer = tuple[tuple[int, int], ...]


class CellBorders(NamedTuple):
    """Borders of the cells: ``row_bounds`` in rows, ``col_bounds`` in bytes of a row, both rising from 0 to all.

    Cell ``i * n_cols + j`` holds the rows ``row_bounds[i:i+2]`` and the bytes ``col_bounds[j:j+2]`` of each.
    """

    rows: int
    row_bytes: int
    row_bounds: tuple[int, ...]
    col_bounds: tuple[int, ...]

    @property
    def n_cols(self) -> int:
        """Cells side by side."""
        return len(self.col_bounds) - 1

    @property
    def n_cells(self) -> int:
        """Cells in all."""
        return (len(self.row_bounds) - 1) * self.n_cols

    def cell_bytes(self, cell: int) -> int:
        """Bytes of one cell."""
        i, j = divmod(cell, self.n_cols)
        height = self.row_bounds[i + 1] - self.row_bounds[i]
        return height * (self.col_bounds[j + 1] - self.col_bounds[j])


class CellRuns(NamedTuple):
    """``n_runs`` runs of ``run_bytes`` in one cell: run ``i`` is at ``start + i * pitch`` of the cell's bytes and at
    ``offset + i * offset_pitch`` of the access's bytes in memory order."""

    cell: int
    start: int
    run_bytes: int
    pitch: int
    n_runs: int
    offset: int
    offset_pitch: int


class PageRuns(NamedTuple):
    """Runs of an access that lie in one page; ``offset`` is the first one's place in the access's bytes."""

    page: int
    start: int
    run_bytes: int
    outer: Outer
    offset: int


def cut(grid: CellBorders, at: int, run_bytes: int, outer: Outer) -> list[CellRuns]:
    """The runs of ``run_bytes`` at ``at + sum(i_d * stride_d)`` of the tensor's bytes, cell by cell.

    ``outer`` is ``((count, stride), ...)``, outermost first, strides above zero. All runs lie inside the tensor.
    """
    if any(count == 0 for count, _ in outer) or run_bytes == 0:
        return []
    count, pitch = outer[-1] if outer else (1, run_bytes)
    row, col = divmod(at, grid.row_bytes)
    if len(outer) <= 1 and pitch >= run_bytes:
        if col + (count - 1) * pitch + run_bytes <= grid.row_bytes:
            return _cut_one_row(grid, row, col, run_bytes, pitch, count)
        if pitch % grid.row_bytes == 0 and col + run_bytes <= grid.row_bytes:
            return _cut_box(grid, row, col, run_bytes, pitch // grid.row_bytes, count, 0)
        if count == 1:
            return _cut_range(grid, at, run_bytes)
    starts = run_starts(at, outer)
    offsets, sizes = np.arange(len(starts)) * run_bytes, np.full(len(starts), run_bytes)
    return [CellRuns(*runs) for runs in _join(_cut_at_cells(grid, starts, offsets, sizes))]


def cut_each_at_pages(
    grid: CellBorders, va: int, starts: Ints, offsets: Ints, run_bytes: int, page_bytes: int
) -> list[tuple[int, list[CellRuns]]]:
    """Runs of ``run_bytes`` at ``starts``, in any order, cut at borders of cells and of pages: ``(page, its runs)``.

    ``offsets`` are their places in the access's bytes; the tensor begins at ``va``. Runs that follow each other evenly
    are joined.
    """
    left = np.full(len(starts), run_bytes)
    parts = []
    while len(starts):
        page = (starts + va) // page_bytes
        size = np.minimum(left, (page + 1) * page_bytes - va - starts)
        parts.append(np.stack([starts, offsets, size, page]))
        more = size < left
        starts, offsets, left = (starts + size)[more], (offsets + size)[more], (left - size)[more]
    if not parts:
        return []
    starts, offsets, sizes, pages = np.concatenate(parts, axis=1)
    first = int(pages.min())
    runs = _join(_cut_at_cells(grid, starts, offsets, sizes, (pages - first) * grid.n_cells))
    by_page: dict[int, list[CellRuns]] = {}
    for key, *rest in runs:
        nth, cell = divmod(key, grid.n_cells)
        by_page.setdefault(first + nth, []).append(CellRuns(cell, *rest))
    return list(by_page.items())


def cut_at_pages(at: int, run_bytes: int, outer: Outer, page_bytes: int) -> Iterator[PageRuns]:
    """The runs of ``run_bytes`` at ``at + i * pitch``, in order, cut at the borders of pages.

    ``outer`` is ``()`` or ``((count, pitch),)`` with ``pitch >= run_bytes``.
    """
    count, pitch = outer[0] if outer else (1, run_bytes)
    i = done = 0
    while i < count:
        start = at + i * pitch + done
        page = start // page_bytes
        room = (page + 1) * page_bytes - start
        if done == 0 and room >= run_bytes:
            whole = min(count - i, (room - run_bytes) // pitch + 1)
            yield PageRuns(page, start, run_bytes, ((whole, pitch),), i * run_bytes)
            i += whole
            continue
        part = min(run_bytes - done, room)
        yield PageRuns(page, start, part, (), i * run_bytes + done)
        done += part
        if done == run_bytes:
            i, done = i + 1, 0


def _cut_at_cells(
    grid: CellBorders, starts: Ints, offsets: Ints, sizes: Ints, group: Ints | None = None
) -> Ints:
    """``[cell, start in it, size, offset] x n`` of runs of ``sizes``; ``group`` is added to each run's cell."""
    row_bounds, col_bounds = np.asarray(grid.row_bounds), np.asarray(grid.col_bounds)
    left, first = sizes, np.zeros_like(starts) if group is None else group
    parts = [np.empty((4, 0), np.int64)]
    while len(starts):
        row, col = np.divmod(starts, grid.row_bytes)
        i = np.searchsorted(row_bounds, row, "right") - 1
        j = np.searchsorted(col_bounds, col, "right") - 1
        inside = (row - row_bounds[i]) * (col_bounds[j + 1] - col_bounds[j]) + col - col_bounds[j]
        size = np.minimum(left, col_bounds[j + 1] - col)
        parts.append(np.stack([first + i * grid.n_cols + j, inside, size, offsets]))
        more = size < left
        starts, offsets, left, first = (
            (starts + size)[more],
            (offsets + size)[more],
            (left - size)[more],
            first[more],
        )
    return np.concatenate(parts, axis=1)


def run_starts(at: int, outer: Outer) -> Ints:
    """Where every run begins, in memory order."""
    starts = np.array([at], np.int64)
    for count, stride in outer:
        starts = np.add.outer(starts, np.arange(count) * stride).reshape(-1)
    return starts


def _cut_line(bounds: tuple[int, ...], at: int, run: int, pitch: int, count: int) -> list[CellRuns]:
    """Runs on one line cut at ``bounds``; no two of the runs overlap."""
    found = []
    cell = bisect_right(bounds, at) - 1
    i = 0
    while i < count:
        start = at + i * pitch
        cell = bisect_right(bounds, start, cell) - 1
        whole = min(count - i, (bounds[cell + 1] - run - start) // pitch + 1)
        if whole > 0:
            found.append(CellRuns(cell, start - bounds[cell], run, pitch, whole, i * run, run))
            i += whole
            continue
        done = 0
        while done < run:  # this run crosses borders
            part = min(run, bounds[cell + 1] - start) - done
            found.append(CellRuns(cell, start + done - bounds[cell], part, part, 1, i * run + done, part))
            done += part
            cell += 1
        i += 1
    return found


def _cut_one_row(grid: CellBorders, row: int, col: int, run: int, pitch: int, count: int) -> list[CellRuns]:
    """Runs that all lie in one row."""
    i = bisect_right(grid.row_bounds, row) - 1
    found = _cut_line(grid.col_bounds, col, run, pitch, count)
    if grid.rows == 1:
        return found
    depth = row - grid.row_bounds[i]
    bounds, first = grid.col_bounds, i * grid.n_cols
    return [
        runs._replace(
            cell=first + runs.cell, start=runs.start + depth * (bounds[runs.cell + 1] - bounds[runs.cell])
        )
        for runs in found
    ]


def _cut_box(
    grid: CellBorders, row: int, col: int, run: int, step: int, count: int, offset: int
) -> list[CellRuns]:
    """The bytes ``[col, col + run)`` of the rows ``row + i * step``; ``offset`` is the first one's place."""
    found = []
    across = _cut_line(grid.col_bounds, col, run, run, 1)
    for down in _cut_line(grid.row_bounds, row, 1, step, count):
        for part in across:
            width = grid.col_bounds[part.cell + 1] - grid.col_bounds[part.cell]
            cell = down.cell * grid.n_cols + part.cell
            start = down.start * width + part.start
            first = offset + down.offset * run + part.offset
            found.append(_tight(CellRuns(cell, start, part.run_bytes, step * width, down.n_runs, first, run)))
    return found


def _cut_range(grid: CellBorders, at: int, size: int) -> list[CellRuns]:
    """A contiguous range over several rows: the end of one, whole rows, the beginning of one."""
    found: list[CellRuns] = []
    done = 0
    while done < size:
        row, col = divmod(at + done, grid.row_bytes)
        left = size - done
        if col or left < grid.row_bytes:
            run, rows = min(left, grid.row_bytes - col), 1
        else:
            run, rows = grid.row_bytes, left // grid.row_bytes
        found += _cut_box(grid, row, col, run, 1, rows, done)
        done += run * rows
    return found


def _tight(runs: CellRuns) -> CellRuns:
    """``runs`` as one run, if they follow each other without a gap on both sides."""
    if runs.n_runs == 1 or runs.run_bytes == runs.pitch == runs.offset_pitch:
        size = runs.run_bytes * runs.n_runs
        return runs._replace(run_bytes=size, pitch=size, n_runs=1, offset_pitch=size)
    return runs


def _join(parts: Ints) -> list[tuple[int, ...]]:
    """Runs ``[cell, start, size, offset] x n``, joined: neighbours into longer runs, even rows of runs into one.

    Runs of one cell stay in the order of their offsets, so that of two writes to one byte the later wins.
    """
    if not parts.size:
        return []
    cell, start, size, offset = parts[:, np.lexsort((parts[3], parts[0]))]
    follows = (
        (cell[1:] == cell[:-1]) & (start[1:] == (start + size)[:-1]) & (offset[1:] == (offset + size)[:-1])
    )
    heads = np.flatnonzero(np.concatenate(([True], ~follows)))
    size = np.add.reduceat(size, heads)
    cell, start, offset = cell[heads], start[heads], offset[heads]

    pitch, gap = np.diff(start), np.diff(offset)
    even = (np.diff(cell) == 0) & (np.diff(size) == 0) & (pitch > 0)
    same = (np.diff(pitch) == 0) & (np.diff(gap) == 0) & even[1:] & even[:-1]
    ends = np.append(np.flatnonzero(~same), len(pitch) - 1)  # last step of each stretch of equal steps
    found: list[tuple[int, ...]] = []
    i = 0
    while i < len(start):
        last = i
        if i < len(pitch) and even[i]:
            last = int(ends[np.searchsorted(ends, i)]) + 1
        run, step, stride = int(size[i]), int(size[i]), int(size[i])
        if last > i:
            step, stride = int(pitch[i]), int(gap[i])
        found.append((int(cell[i]), int(start[i]), run, step, last - i + 1, int(offset[i]), stride))
        i = last + 1
    return found
