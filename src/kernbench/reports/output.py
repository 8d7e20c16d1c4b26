"""How results look: plain tables that fit a terminal and are never cut in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000  # columns: wider than any line we print

GOOD, BAD, WARN, HEADING, QUIET = "green", "bold red", "yellow", "bold", "dim"


HTML = "<pre style=\"overflow-x: auto; line-height: 1.3; font-family: 'DejaVu Sans Mono', monospace\">{code}</pre>"


class Output:
    """Writes results to standard output: as wide as the terminal; a pipe gets every line whole.

    A console of one's own is written to instead: see :func:`text_of` and :func:`html_of`.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._has_written = False
        bounded = (sys.stdout is not None and sys.stdout.isatty()) or "COLUMNS" in os.environ
        self._console = console or _console(file=sys.stdout, width=None if bounded else UNBOUNDED)

    @property
    def width(self) -> int:
        """Columns of the terminal; of a pipe, more than any line has."""
        return self._console.width

    def line(self, text: str = "", style: str = "") -> None:
        """One line, whatever its length."""
        self._console.print(Text(text, style=style), soft_wrap=True)
        self._has_written = True

    def heading(self, text: str) -> None:
        """A title, after an empty line unless it is the first thing written."""
        if self._has_written:
            self.line()
        self.line(text, HEADING)

    def facts(self, rows: Iterable[tuple[str, str | Text]]) -> None:
        """Names and what they are, in two columns."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style=QUIET, no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(name, value)
        self._print(table)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str] = ()
    ) -> None:
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
        for row in rows:
            table.add_row(*row)
        self._print(table)

    def _print(self, table: Table) -> None:
        """A table without the blanks that would pad its last column."""
        with self._console.capture() as captured:
            self._console.print(table)
        for text in captured.get().splitlines():
            self._console.print(Text.from_ansi(text.rstrip()), soft_wrap=True)
        self._has_written = True


def text_of(write: Callable[[Output], None]) -> str:
    """What ``write`` writes, as plain text.

    >>> text_of(lambda output: output.facts([("machine", "tiny")]))
    'machine  tiny'
    """
    written = StringIO()
    write(Output(_console(file=written, width=UNBOUNDED, color_system=None, force_jupyter=False)))
    return written.getvalue().rstrip("\n")


def html_of(write: Callable[[Output], None]) -> str:
    """What ``write`` writes, as a piece of HTML that needs nothing else.

    >>> html_of(lambda output: output.line("1 < 2", BAD)).partition(">")[2]
    '<span style="color: #800000; text-decoration-color: #800000; font-weight: bold">1 &lt; 2</span>\\n</pre>'
    """
    console = _console(
        file=StringIO(), width=UNBOUNDED, record=True, force_terminal=True, force_jupyter=False
    )
    write(Output(console))
    return console.export_html(inline_styles=True, code_format=HTML)


def _console(**how: Any) -> Console:
    """A console that takes every text for what it is."""
    return Console(highlight=False, markup=False, emoji=False, **how)
