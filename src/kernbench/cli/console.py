"""A sign of life on stderr while a command works."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def sign_of_life(first: str) -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done and since when; it shows nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, refresh_per_second=4, redirect_stdout=sys.stdout.isatty()
    ) as display:
        task = display.add_task(first, total=None)
        yield lambda text: display.update(task, description=text)
