"""How a tensor is cut into rectangles, who holds each, and which copy a PE reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from kernbench.dtypes import DType
from kernbench.memory.blocks import upward
from kernbench.memory.cut import CellBorders, CellRuns, Ints, cut, cut_at_pages, cut_each_at_pages, run_starts
from kernbench.messages.access import Access, PhysicalAddress, VirtualAddress
from kernbench.messages.fabric import PagePieces, Piece
from kernbench.messages.owners import Lifetime
from kernbench.topology.ids import PeId, Position


class ShardGrid(NamedTuple):
    """A tensor's rectangles and their holders; no addresses yet.

    ``grid`` cuts its bytes; ``holders[cell]`` are the PE numbers that hold a cell, in order, each a copy of its own.
    """

    grid: CellBorders
    holders: tuple[tuple[int, ...], ...]

    def holders_of(self, at: int, size_bytes: int) -> tuple[int, ...]:
        """The numbers of the PEs that hold a part of the ``size_bytes`` bytes from byte ``at`` on, in order."""
        cells = {runs.cell for runs in cut(self.grid, at, size_bytes, ())}
        return tuple(sorted({pe for cell in cells for pe in self.holders[cell]}))


class Copy(NamedTuple):
    """One copy of a cell: whose shard it is, the memory controller that owns it, and its physical address."""

    pe: int
    owner: int
    pa: PhysicalAddress


class ShardMap:
    """One tensor in memory: its virtual range and, for each cell of its grid, the copies.

    A cell is row-major and dense at each of its copies. A PE uses the nearest copy: its own, else the first in its
    cube, else the first in its SIP, else the first of all. ``n_copies`` is how often each byte exists.
    """

    def __init__(
        self,
        *,
        name: str,
        va: VirtualAddress,
        shape: tuple[int, ...],
        dtype: DType,
        grid: CellBorders,
        copies: Sequence[Sequence[Copy]],
        pes: Sequence[PeId],
        life: Lifetime | None = None,
    ) -> None:
        self.name = name
        self.life = life or Lifetime()
        self.va = va
        self.shape = shape
        self.dtype = dtype
        self.grid = grid
        self.copies = tuple(tuple(of_cell) for of_cell in copies)
        self.n_copies = max(map(len, self.copies), default=0)
        self._pes = pes
        self._nearest = [_Nearest(of_cell, pes) if len(of_cell) > 1 else None for of_cell in self.copies]
        self._copied = [cell for cell, near in enumerate(self._nearest) if near]
        self._reach = max((near.reach for near in self._nearest if near), default=0)

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor, one copy of each."""
        return self.grid.rows * self.grid.row_bytes

    def holders_of(self, va: int, size_bytes: int) -> tuple[int, ...]:
        """The numbers of the PEs that hold a part of the ``size_bytes`` bytes at ``va``, in order."""
        cells = {runs.cell for runs in cut(self.grid, va - self.va, size_bytes, ())}
        return tuple(sorted({copy.pe for cell in cells for copy in self.copies[cell]}))

    @property
    def end(self) -> int:
        """The virtual address after its last byte."""
        return self.va + self.size_bytes

    @property
    def is_private(self) -> bool:
        """Whether PEs of one cube use copies of their own."""
        return self._reach == len(self._pes[0])

    def copies_used_by(self, pes: Iterable[int]) -> int:
        """How many copies of cells the PEs of these numbers use, together."""
        one_of_each = {self.view_of(pe): pe for pe in pes}.values()
        n_used = len(self.copies) - len(self._copied)
        return n_used + sum(len({self.nearest(cell, pe).pa for pe in one_of_each}) for cell in self._copied)

    def view_of(self, pe: int) -> int:
        """A number that is the same for two PEs only if they use the same copies. PE -1 is the host."""
        if self._reach == 0 or pe < 0:
            return -1
        if self.is_private:
            return pe
        number = 0
        for index in self._pes[pe][: self._reach]:
            number = number << 32 | index
        return number

    def nearest(self, cell: int, pe: int) -> Copy:
        """The copy of ``cell`` that PE number ``pe`` uses; the first for the host (-1)."""
        near = self._nearest[cell]
        return self.copies[cell][0] if near is None or pe < 0 else near.copy_for(pe, self._pes[pe])

    def is_own(self, access: Access, pe: int) -> bool:
        """Whether PE number ``pe`` itself holds a copy of all that ``access`` touches."""
        low, high = access.bounds()
        of_all = access.addresses is not None
        runs = cut(self.grid, low - self.va, high - low, ()) if of_all else self._runs(upward(access)[0])
        return all(self.nearest(run.cell, pe).pe == pe for run in runs)

    def pieces_for(self, access: Access, pe: int) -> tuple[Piece, ...]:
        """An affine ``access`` inside the tensor, without falling strides, as PE number ``pe`` (-1: host) sees it."""
        return tuple(_piece(runs, self.nearest(runs.cell, pe)) for runs in self._runs(access))

    def pieces_of_all_copies(self, access: Access) -> tuple[Piece, ...]:
        """Pieces at every copy there is: what the host writes."""
        return tuple(_piece(runs, copy) for runs in self._runs(access) for copy in self.copies[runs.cell])

    def pages_for(self, access: Access, pe: int, page_bytes: int) -> tuple[PagePieces, ...]:
        """What :meth:`pieces_for` gives, page by page."""
        low, high = access.bounds()
        if low == high:
            return ()
        if low // page_bytes == (high - 1) // page_bytes:
            return (PagePieces(low // page_bytes, self.pieces_for(access, pe)),)
        va, run_bytes, outer, _ = access.runs()
        if len(outer) > 1 or (outer and outer[0][1] < run_bytes):
            starts = run_starts(va - self.va, outer)
            offsets = np.arange(len(starts)) * run_bytes
            return self.pages_of_lanes(starts + self.va, offsets, run_bytes, pe, page_bytes)
        by_page: dict[int, list[Piece]] = {}
        for page, start, run, several, offset in cut_at_pages(va, run_bytes, outer, page_bytes):
            pieces = by_page.setdefault(page, [])
            for runs in cut(self.grid, start - self.va, run, several):
                pieces.append(_piece(runs, self.nearest(runs.cell, pe), offset))
        return tuple(PagePieces(page, tuple(pieces)) for page, pieces in by_page.items())

    def pages_of_lanes(
        self, starts: Ints, offsets: Ints, size_bytes: int, pe: int, page_bytes: int
    ) -> tuple[PagePieces, ...]:
        """Lanes of ``size_bytes`` at the addresses ``starts``, all inside the tensor, page by page.

        ``offsets`` are their places in the access's bytes.
        """
        pages = cut_each_at_pages(self.grid, self.va, starts - self.va, offsets, size_bytes, page_bytes)
        return tuple(
            PagePieces(page, tuple(_piece(run, self.nearest(run.cell, pe)) for run in runs))
            for page, runs in pages
        )

    def _runs(self, access: Access) -> list[CellRuns]:
        va, run_bytes, outer, _ = access.runs()
        return cut(self.grid, va - self.va, run_bytes, outer)


class _Nearest:
    """The copies of one cell by PE, and the first one of each part of each level.

    ``reach`` is how many numbers of a PE's position decide which copy it uses.
    """

    __slots__ = ("by_part", "by_pe", "first", "reach")

    def __init__(self, copies: Sequence[Copy], pes: Sequence[PeId]) -> None:
        self.first = copies[0]
        self.by_pe = {copy.pe: copy for copy in copies}
        self.by_part: dict[Position, Copy] = {}
        n_levels = len(pes[0])
        self.reach = n_levels
        for depth in range(n_levels - 1, 0, -1):
            firsts = {pes[copy.pe][:depth]: copy for copy in reversed(copies)}
            self.by_part |= firsts
            if len(firsts) == len(copies):
                self.reach = depth

    def copy_for(self, pe: int, name: PeId) -> Copy:
        found = self.by_pe.get(pe)
        for depth in range(len(name) - 1, 0, -1):
            if found is not None:
                return found
            found = self.by_part.get(name[:depth])
        return found or self.first


def _piece(runs: CellRuns, copy: Copy, offset: int = 0) -> Piece:
    return Piece(
        copy.owner,
        copy.pa + runs.start,
        runs.run_bytes,
        runs.pitch,
        runs.n_runs,
        offset + runs.offset,
        runs.offset_pitch,
    )
