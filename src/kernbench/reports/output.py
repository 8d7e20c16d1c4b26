"""How results look: plain tables that fit a terminal and are never cut in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from typing import TYPE_CHECKING

from kernbench.reports.plain import QUIET, UNBOUNDED, Plain

if TYPE_CHECKING:
    from kernbench.reports.styled import Styled

__all__ = ["BAD", "GOOD", "HEADING", "QUIET", "UNBOUNDED", "WARN", "Output", "html_of", "text_of"]

GOOD, BAD, WARN, HEADING = "green", "bold red", "yellow", "bold"
ASK_FOR_STYLE = ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE")  # variables by which a pipe is like a terminal


class Output:
    """Writes results to standard output: as wide as the terminal; a pipe gets every line whole.

    Something else is written to instead: see :func:`text_of` and :func:`html_of`.
    """

    def __init__(self, to: Plain | Styled | None = None) -> None:
        self._has_written = False
        self._to = to or _standard_output()

    @property
    def width(self) -> int:
        """Columns of the terminal; of a pipe, more than any line has."""
        return self._to.width

    def line(self, text: str = "", style: str = "") -> None:
        """One line, whatever its length."""
        self._to.line(text, style)
        self._has_written = True

    def heading(self, text: str) -> None:
        """A title, after an empty line unless it is the first thing written."""
        if self._has_written:
            self.line()
        self.line(text, HEADING)

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and what they are, in two columns."""
        self._to.facts(rows)
        self._has_written = True

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str] = ()
    ) -> None:
        """Rows under ``columns``; those named in ``left`` are text and may wrap, all others are numbers."""
        self._to.table(columns, rows, left)
        self._has_written = True


def text_of(write: Callable[[Output], None]) -> str:
    """What ``write`` writes, as plain text.

    >>> text_of(lambda output: output.facts([("machine", "tiny")]))
    'machine  tiny'
    """
    written = StringIO()
    write(Output(Plain(written)))
    return written.getvalue().rstrip("\n")


def html_of(write: Callable[[Output], None]) -> str:
    """What ``write`` writes, as a piece of HTML that needs nothing else.

    >>> html_of(lambda output: output.line("1 < 2", BAD)).partition(">")[2]
    '<span style="color: #800000; text-decoration-color: #800000; font-weight: bold">1 &lt; 2</span>\\n</pre>'
    """
    from kernbench.reports.styled import Styled

    to = Styled.recorded()
    write(Output(to))
    return to.html()


def _standard_output() -> Plain | Styled:
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    if not is_terminal and not any(name in os.environ for name in ASK_FOR_STYLE):
        return Plain(sys.stdout)
    from kernbench.reports.styled import Styled  # which imports rich, and that takes as long as a short run

    is_bounded = is_terminal or "COLUMNS" in os.environ
    return Styled(file=sys.stdout, width=None if is_bounded else UNBOUNDED)
