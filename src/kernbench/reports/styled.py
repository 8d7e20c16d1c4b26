"""Text with colours that fits a terminal, or is HTML: what rich makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kernbench.reports.plain import QUIET, UNBOUNDED

HTML = "<pre style=\"overflow-x: auto; line-height: 1.3; font-family: 'DejaVu Sans Mono', monospace\">{code}</pre>"


class Styled:
    """Writes to a console of rich that takes every text for what it is."""

    def __init__(self, **how: Any) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False, **how)

    @classmethod
    def recorded(cls) -> Styled:
        """One that writes nothing, and can be asked for its HTML."""
        return cls(file=StringIO(), width=UNBOUNDED, record=True, force_terminal=True, force_jupyter=False)

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._console.width

    def html(self) -> str:
        """What was written, as a piece of HTML that needs nothing else."""
        return self._console.export_html(inline_styles=True, code_format=HTML)

    def line(self, text: str, style: str = "") -> None:
        """One line, whatever its length."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def facts(self, rows: Iterable[Sequence[str]]) -> None:
        """Names and what they are, in two columns."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style=QUIET, no_wrap=True)
        table.add_column(overflow="fold")
        self._print(table, rows)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str]) -> None:
        """Rows under ``columns``; those named in ``left`` are text and may wrap, all others are numbers."""
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style=QUIET, collapse_padding=True
        )
        for name in columns:
            is_text = name in left
            table.add_column(
                name,
                justify="left" if is_text else "right",
                no_wrap=not is_text,
                overflow="fold" if is_text else "crop",
            )
        self._print(table, rows)

    def _print(self, table: Table, rows: Iterable[Sequence[str]]) -> None:
        """A table without the blanks that would pad its last column."""
        for row in rows:
            table.add_row(*row)
        with self._console.capture() as captured:
            self._console.print(table)
        for text in captured.get().splitlines():
            self._console.print(Text.from_ansi(text.rstrip()), soft_wrap=True)
