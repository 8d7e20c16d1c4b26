"""What benchmarks share: processes of their own and their peaks, and what is done with what was measured."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MIB = 1 << 20


def peak_mb() -> float:
    """The most memory that this process has had so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows ``--json``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write a JSON list to FILE instead; - is standard output"
    )
    return parser


def in_child(script: str, *options: str) -> dict[str, Any]:
    """What ``script`` measures with ``--here`` and ``options``, in a process of its own, and prints as JSON.

    Raises:
        CalledProcessError: it failed; what it said is on standard error.
    """
    command = [sys.executable, script, "--here", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def said_and_used(command: Sequence[str]) -> tuple[str, float, float]:
    """What ``command`` printed, its CPU seconds and its peak MiB; stop if it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        child = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {child.returncode}\n{text}")
    unit = 1 if sys.platform == "darwin" else 1024
    return text, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / MIB


def used_by(command: Sequence[str]) -> tuple[float, float]:
    """CPU seconds and peak MiB of ``command``; stop if it fails."""
    return said_and_used(command)[1:]


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


def bars_missed(names: Sequence[str]) -> str:
    """The last line of a table that has bars."""
    return f"Bars missed: {', '.join(names) or 'none'}."
