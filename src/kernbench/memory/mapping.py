"""A tensor's pages and the table entries that lead to them: how large they are, and where each cube keeps them.

The page is the unit of mapping. Its entry lists affine segments, as one PE sees them: of copies, the nearest. Entries
are computed from the tensor's shards when they are asked for, so a mapping takes memory by shards and not by pages.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from kernbench.config.rules.memory import DIRECTORY_NODE_BYTES
from kernbench.memory.cut import cut
from kernbench.memory.shards import ShardMap
from kernbench.messages.access import PhysicalAddress
from kernbench.messages.fabric import Piece
from kernbench.units import ceil_div

ENTRY_BYTES = 32  # one segment of an entry: owner and PA, run, pitch, count
RANGE_BYTES = 16  # pages as a message names them: the first, and how many
POINTER_BYTES = 8  # a place in a directory
LEAF_PAGES = DIRECTORY_NODE_BYTES // POINTER_BYTES  # pages whose entries one directory place leads to


class TensorRange(NamedTuple):
    """The bytes of a tensor that a launch names, from ``va`` to before ``end``: all of it, or those of a view."""

    mapping: TensorMapping
    va: int
    end: int

    def overlaps(self, other: TensorRange) -> bool:
        """Whether the two have a byte in common."""
        return self.va < other.end and other.va < self.end


class TableCopy(NamedTuple):
    """Where a cube keeps its copy of a tensor's entries: the leaf, and the directory that leads to it."""

    owner: int
    leaf_pa: PhysicalAddress
    directory_owner: int
    directory_pa: PhysicalAddress


class PageEntries:
    """How many segments the entry of each page of a tensor has, as one PE sees it; pages count from its first."""

    def __init__(self, shards: ShardMap, page_bytes: int) -> None:
        grid, size_bytes = shards.grid, shards.size_bytes
        self.page_bytes = page_bytes
        self.n_pages = ceil_div(size_bytes, page_bytes)
        self._inner: Sequence[int] = ()
        self._firsts: Sequence[int] = ()
        if grid.rows == 1:
            self._inner = [border for border in grid.col_bounds[1:-1] if border % page_bytes]
        else:
            starts = range(0, size_bytes, page_bytes)
            sizes = (len(cut(grid, at, min(page_bytes, size_bytes - at), ())) for at in starts)
            self._firsts = list(accumulate(sizes, initial=0))

    def first(self, page: int) -> int:
        """Segments of all pages before ``page``."""
        if self._firsts:
            return self._firsts[page]
        return page + bisect_left(self._inner, page * self.page_bytes)

    def segments(self, page: int) -> int:
        """Segments of one page: the parts of cells that lie in it."""
        return self.first(page + 1) - self.first(page)

    @property
    def total(self) -> int:
        """Segments of all pages."""
        return self.first(self.n_pages)


class TensorMapping:
    """A tensor in the page tables: where it lies, and where each cube, by number, keeps its entries (none: nowhere)."""

    __slots__ = ("blocks", "entries", "first_page", "shards")

    def __init__(self, shards: ShardMap, page_bytes: int) -> None:
        self.shards = shards
        self.entries = PageEntries(shards, page_bytes)
        self.first_page = shards.va // page_bytes
        self.blocks: dict[int, TableCopy] = {}

    @property
    def n_pages(self) -> int:
        """Pages of the tensor."""
        return self.entries.n_pages

    @property
    def pages(self) -> range:
        """The numbers of the pages."""
        return range(self.first_page, self.first_page + self.n_pages)

    @property
    def entry_bytes(self) -> int:
        """The entries of all pages, as one PE sees them."""
        return ENTRY_BYTES * self.entries.total

    def leaf_bytes(self, n_pes: int) -> int:
        """A cube's copy of the entries: once for its ``n_pes`` PEs, or for each if they use copies of their own."""
        return self.entry_bytes * (n_pes if self.shards.is_private else 1)

    def segment_bytes(self, pes: Iterable[int]) -> int:
        """Every segment of the tensor that ``pes`` use, as a map message carries them."""
        return ENTRY_BYTES * self.shards.copies_used_by(pes)

    def directory_piece(self, cube: int) -> Piece:
        """The places in the directory of ``cube`` that lead to the leaf."""
        block = self.blocks[cube]
        n_leaves = self.pages[-1] // LEAF_PAGES - self.first_page // LEAF_PAGES + 1
        size_bytes = POINTER_BYTES * min(n_leaves, LEAF_PAGES)
        at = min(_directory_place(self.first_page), DIRECTORY_NODE_BYTES - size_bytes)
        return _whole(block.directory_owner, block.directory_pa + at, size_bytes)

    def leaf_piece(self, cube: int, n_pes: int) -> Piece:
        """All entries that ``cube`` keeps."""
        block = self.blocks[cube]
        return _whole(block.owner, block.leaf_pa, self.leaf_bytes(n_pes))

    def walk(self, page: int, cube: int, local_pe: int, n_reads: int) -> Iterator[Piece]:
        """What a walk for ``page`` reads, one after the other: ``n_reads - 1`` directories, last the page's entry."""
        block, nth = self.blocks[cube], page - self.first_page
        for level in range(n_reads - 1):
            at = block.directory_pa + level * DIRECTORY_NODE_BYTES + _directory_place(page)
            yield _whole(block.directory_owner, at, POINTER_BYTES)
        first = self.entries.first(nth) + (local_pe * self.entries.total if self.shards.is_private else 0)
        size_bytes = ENTRY_BYTES * self.entries.segments(nth)
        yield _whole(block.owner, block.leaf_pa + ENTRY_BYTES * first, size_bytes)


def _directory_place(page: int) -> int:
    """Where in a directory the pointer to the leaf of ``page`` is, in bytes."""
    return page // LEAF_PAGES % LEAF_PAGES * POINTER_BYTES


def _whole(owner: int, pa: int, size_bytes: int) -> Piece:
    return Piece(owner, pa, size_bytes, size_bytes, 1, 0, size_bytes)
