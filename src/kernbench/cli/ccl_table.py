"""The table of ``kernbench ccl``: nccl-tests' columns, ours behind them; folded where a terminal is narrower."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kernbench.bench.collectives.row import CclRow, Half

NONE = "N/A"


class Column(NamedTuple):
    """A column's title, its unit, and how wide it is with the gap before it."""

    title: str
    unit: str
    width: int


SIZE = (Column("size", "(B)", 12),)
KIND = (
    Column("count", "(elements)", 14),
    Column("type", "", 10),
    Column("redop", "", 8),
    Column("root", "", 8),
)
HALF = (
    Column("time", "(us)", 9),
    Column("algbw", "(GB/s)", 8),
    Column("busbw", "(GB/s)", 8),
    Column("#wrong", "", 7),
)
OURS = (
    Column("steps", "", 8),
    Column("maxlink(B)", "", 12),
    Column("%bound", "", 8),
    Column("oracle(us)", "", 12),
    Column("err(ns)", "", 12),
    Column("stall(us)", "", 11),
    Column("credits_min", "", 13),
    Column("host(ms)", "", 10),
)


def folded(comments: Iterable[str], width: int) -> Iterator[str]:
    """Comments in lines of up to ``width`` columns, broken between words."""
    for comment in comments:
        if len(comment) <= width:
            yield comment
        else:
            yield from textwrap.wrap(comment, width, subsequent_indent="#   ", break_long_words=False)


class ColumnGroup(NamedTuple):
    """Columns that stay together, from number ``first`` of a row's cells on, under a common ``title``."""

    first: int
    columns: tuple[Column, ...]
    title: str = ""

    @property
    def width(self) -> int:
        """Of all of them."""
        return sum(column.width for column in self.columns)


_SIZE, _KIND = ColumnGroup(0, SIZE), ColumnGroup(1, KIND)
_OUT = ColumnGroup(5, HALF, "           out-of-place         ")
_IN = ColumnGroup(9, HALF, "              in-place          ")
_OURS = tuple(ColumnGroup(13 + i, (column,)) for i, column in enumerate(OURS))


class Table:
    """Rows as lines of up to ``width`` columns: the first block at once, what has no room beside it later.

    Each block begins with the size. What a run measured goes first, what is the same in all rows last.
    """

    def __init__(self, width: int) -> None:
        whole = (_SIZE, _KIND, _OUT, _IN, *_OURS)
        self.blocks = [list(whole)]
        if sum(group.width for group in whole) > width:
            self.blocks = [[_SIZE]]
            for group in (_OUT, _IN, *_OURS, _KIND):
                if sum(each.width for each in (*self.blocks[-1], group)) > width and len(self.blocks[-1]) > 1:
                    self.blocks.append([_SIZE])
                self.blocks[-1].append(group)

    def head(self) -> list[str]:
        """The titles of the first block."""
        return _head(self.blocks[0])

    def line(self, row: CclRow) -> str:
        """One size in the first block."""
        return _line(self.blocks[0], row)

    def rest(self, rows: Sequence[CclRow]) -> Iterator[str]:
        """The other blocks, of all sizes."""
        for block in self.blocks[1:]:
            yield "#"
            yield from _head(block)
            yield from (_line(block, row) for row in rows)


def _head(block: Sequence[ColumnGroup]) -> list[str]:
    """Titles of groups if there are any, of columns, and their units; a line ends with the last group that has some."""

    def line(text_of: Callable[[ColumnGroup], str]) -> str:
        texts = [text_of(group) for group in block]
        last = max((i for i, text in enumerate(texts) if text.strip()), default=-1)
        return "".join(texts[: last + 1])

    lines = (
        line(lambda group: group.title or " " * group.width),
        line(lambda group: "".join(column.title.rjust(column.width) for column in group.columns)),
        line(lambda group: "".join(column.unit.rjust(column.width) for column in group.columns)),
    )
    return [f"# {text[2:]}" for text in lines if text]


def _line(block: Sequence[ColumnGroup], row: CclRow) -> str:
    cells = cells_of(row)
    columns = [
        (cells[group.first + i], column.width) for group in block for i, column in enumerate(group.columns)
    ]
    return "".join(cell.rjust(width) for cell, width in columns)


def cells_of(row: CclRow) -> list[str]:
    """All columns of one size."""
    errors_ps = [half.error_ps for half in row.halves if half.error_ps is not None]
    return [
        *(str(row.size_bytes), str(row.n_elem), row.dtype, row.op or "none"),
        str(-1 if row.root is None else row.root),
        *(*_cells_of_half(row.out_of_place), *_cells_of_half(row.in_place)),
        shown(row.n_steps),
        shown(row.max_link_bytes),
        NONE if row.bound_share is None else f"{100 * row.bound_share:.1f}",
        f"{float(row.oracle.time) / 1e6:.4f}",
        NONE if not errors_ps else f"{float(max(errors_ps, key=abs)) / 1000:.3f}",
        NONE if row.first.stall_ps is None else f"{row.first.stall_ps / 1e6:.3f}",
        shown(row.first.credits_min),
        f"{1000 * row.host_s:.0f}",
    ]


def _cells_of_half(half: Half | None) -> tuple[str, ...]:
    """Time, two rates and the wrong values, as nccl-tests writes them."""
    if half is None:
        return (NONE,) * len(HALF)
    us = float(half.time_ps) / 1e6
    digits = 0 if us >= 10_000 else 1 if us >= 100 else 2
    return f"{us:.{digits}f}", f"{half.algbw:.2f}", f"{half.busbw:.2f}", shown(half.n_wrong)


def shown(count: int | None) -> str:
    """A count, or that there is none."""
    return NONE if count is None else str(count)
