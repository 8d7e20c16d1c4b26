"""What benchmarks share: the peak of a process, and what is done with what they measured."""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def peak_mb() -> float:
    """The most memory that this process has had so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows ``--json``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write a JSON list to FILE instead; - is standard output"
    )
    return parser


def write(lines: Sequence[dict[str, Any]], table: Callable[[], str], file: str | None) -> None:
    """Print ``table()``, or write ``lines`` as JSON to ``file``; ``-`` is standard output."""
    text = table() if file is None else json.dumps(lines, indent=2)
    if file in (None, "-"):
        print(text)
    else:
        Path(file).write_text(text + "\n", encoding="utf-8")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns, cells to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def with_bar(text: str, bar: float | None) -> str:
    """A figure and the bar it is held to."""
    return text if bar is None else f"{text} of {bar:g}"
