"""The pages that ``print`` of a result and a notebook show: importing this enters them.

What draws them is loaded with the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernbench.analysis.measured import PAGES, Measured
from kernbench.runs.result import RunResult

if TYPE_CHECKING:
    from kernbench.reports.output import Output


@PAGES.register("text")
def _text(window: Measured) -> str:
    from kernbench.reports.output import text_of

    return text_of(lambda output: _write(output, window))


@PAGES.register("html")
def _html(window: Measured) -> str:
    from kernbench.reports.output import html_of

    return html_of(lambda output: _write(output, window))


def _write(output: Output, window: Measured) -> None:
    """The page of a run's result, or of a window of one."""
    from kernbench.reports.run_page import write_page, write_window

    if isinstance(window, RunResult):
        write_page(output, window)
    else:
        write_window(output, window)
