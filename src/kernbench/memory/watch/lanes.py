"""Where an access lies in an array that has a cell for each few bytes of a tensor."""

from __future__ import annotations

import math
import mmap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kernbench.memory.blocks import upward
from kernbench.messages.access import Access

Cells = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
LAZY_BYTES = 1 << 26  # arrays beyond this take memory of the computer only where they are touched


class Lanes(NamedTuple):
    """The bytes of an access in memory order: runs at ``start`` + sums of ``outer`` (count, pitch), or at ``starts``.

    Numbers are bytes from the tensor's first. ``starts`` (of each lane) is None for an affine access.
    """

    start: int
    run_bytes: int
    outer: tuple[tuple[int, int], ...]
    starts: Ints | None = None

    @property
    def grain_bytes(self) -> int:
        """The largest cell whose borders the access keeps to."""
        if self.starts is not None:
            return math.gcd(self.run_bytes, int(np.gcd.reduce(self.starts)))
        return math.gcd(self.start, self.run_bytes, *(pitch for _, pitch in self.outer))

    def bounds(self) -> tuple[int, int]:
        """Where the first byte is, and where the last one ends."""
        if self.starts is not None:
            return int(self.starts.min()), int(self.starts.max()) + self.run_bytes
        reach = sum((count - 1) * pitch for count, pitch in self.outer)
        return self.start, self.start + reach + self.run_bytes

    def of(self, cells: Cells, cell_bytes: int) -> tuple[Cells, Any]:
        """``(array, index)`` such that ``array[index]`` are its cells, in memory order, to read and to assign."""
        if self.starts is not None:
            return cells, self.numbers(cell_bytes)
        run, start = self.run_bytes // cell_bytes, self.start // cell_bytes
        if not self.outer:
            return cells, slice(start, start + run)
        size = cells.itemsize
        shape = (*(count for count, _ in self.outer), run)
        strides = (*(pitch // cell_bytes * size for _, pitch in self.outer), size)
        return np.ndarray(shape, cells.dtype, cells, start * size, strides), ...

    def numbers(self, cell_bytes: int) -> Ints:
        """The number of each of its cells, in the shape that :meth:`of` gives."""
        starts: Any = self.start if self.starts is None else self.starts
        for count, pitch in self.outer:
            starts = np.asarray(starts)[..., None] + np.arange(count) * pitch
        numbers: Ints = np.asarray(starts)[..., None] // cell_bytes + np.arange(self.run_bytes // cell_bytes)
        return numbers


def lanes_of(access: Access | Lanes, va: int) -> Lanes:
    """The lanes of ``access``, if they are not known, in the tensor at ``va``, which holds all of it."""
    if isinstance(access, Lanes):
        return access
    if access.addresses is not None:
        return Lanes(0, access.itemsize, (), access.addresses - va)
    start, run_bytes, outer, _ = upward(access)[0].runs()
    return Lanes(start - va, run_bytes, outer)


class CellRows:
    """``n_rows`` arrays with a number for each cell of a tensor, cut finer when an access asks for it."""

    def __init__(self, size_bytes: int, cell_bytes: int, n_rows: int, dtype: Any) -> None:
        self.size_bytes = size_bytes
        self.cell_bytes = cell_bytes
        self.rows = [_zeros(size_bytes // cell_bytes, dtype) for _ in range(n_rows)]

    def at(self, lanes: Lanes) -> list[tuple[Cells, Any]]:
        """The cells of ``lanes`` in each row, as :meth:`Lanes.of` gives them."""
        grain = math.gcd(lanes.grain_bytes, self.cell_bytes)
        if grain < self.cell_bytes:
            self.rows = [np.repeat(row, self.cell_bytes // grain) for row in self.rows]
            self.cell_bytes = grain
        return [lanes.of(row, grain) for row in self.rows]


def _zeros(n: int, dtype: Any) -> Cells:
    """``n`` zeros; a large array takes memory where it is touched, however little the computer has."""
    size_bytes = n * np.dtype(dtype).itemsize
    if size_bytes <= LAZY_BYTES or not hasattr(mmap, "MAP_NORESERVE"):
        return np.zeros(n, dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_NORESERVE
    return np.frombuffer(mmap.mmap(-1, size_bytes, flags=flags), dtype)
