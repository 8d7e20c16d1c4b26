"""Text without colours, every line whole: what a pipe gets, and what ``print`` shows of a result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TextIO

from rich.cells import cell_len  # of rich, this takes next to no time to import

UNBOUNDED = 10_000  # columns: wider than any line we print
QUIET = "dim"  # of what is not the result itself, where there are styles
GAP = "  "
_UNSEEN = dict.fromkeys((7, 8, 11, 12, 13))  # control characters that would move a terminal's cursor


class Plain:
    """Writes to ``file`` (None: standard output is closed) what :class:`~kernbench.reports.styled.Styled` shows."""

    width = UNBOUNDED

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    def line(self, text: str, style: str = "") -> None:
        """One line."""
        self._write([seen(text)])

    def facts(self, rows: Iterable[Sequence[str]]) -> None:
        """Names and what they are, in two columns."""
        self._write(lines_of(list(rows), left=(0, 1)))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str]) -> None:
        """Rows under ``columns``, of which those named in ``left`` are text and the others numbers."""
        texts = [i for i, name in enumerate(columns) if name in left]
        self._write(lines_of([columns, *rows], left=texts))

    def _write(self, lines: Iterable[str]) -> None:
        if self._file is not None:
            self._file.write("".join(f"{line}\n" for line in lines))
            self._file.flush()  # who reads a pipe sees a row when it is there


def seen(text: str) -> str:
    """``text`` as a terminal would show it."""
    return text.translate(_UNSEEN).expandtabs(8)


def lines_of(rows: Sequence[Sequence[str]], left: Sequence[int]) -> Iterator[str]:
    """The lines of a table whose columns are as wide as they must be; those in ``left`` begin on the left.

    >>> list(lines_of([("name", "n"), ("a", "10")], left=[0]))
    ['name   n', 'a     10']
    """
    cells = [[seen(cell).split("\n") for cell in row] for row in rows]
    widths = [max(cell_len(part) for cell in column for part in cell) for column in zip(*cells, strict=True)]
    for row in cells:
        for parts in zip_longest(*row, fillvalue=""):
            padded = [
                part + blank if i in left else blank + part
                for i, part in enumerate(parts)
                for blank in [" " * (widths[i] - cell_len(part))]
            ]
            yield GAP.join(padded).rstrip()
