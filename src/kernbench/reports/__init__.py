"""Drawings of results: pages, tables, SVG and traces. They read records, never a living machine.

Importing it enters the pages that ``print`` of a result and a notebook show; what draws them is loaded with the first.
"""

from __future__ import annotations

from kernbench.analysis.measured import PAGES, Measured


@PAGES.register("text")
def _text(result: Measured) -> str:
    from kernbench.reports.output import text_of
    from kernbench.reports.run_page import write_page

    return text_of(lambda output: write_page(output, result))


@PAGES.register("html")
def _html(result: Measured) -> str:
    from kernbench.reports.output import html_of
    from kernbench.reports.run_page import write_page

    return html_of(lambda output: write_page(output, result))
