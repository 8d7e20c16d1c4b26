"""What a terminal shows while a command works; apart, since it alone needs rich's progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text


class SpeedColumn(ProgressColumn):
    """The machine's speed, in words that ``say`` is asked for once a second."""

    max_refresh = 1.0

    def __init__(self, say: Callable[[], str]) -> None:
        super().__init__()
        self._say = say

    def render(self, task: Task) -> Text:
        """In words."""
        return Text(self._say())


@contextmanager
def bar(first: str, say: Callable[[], str]) -> Iterator[Callable[[str], None]]:
    """A bar on stderr with what is being done, since when, and the machine's speed."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        SpeedColumn(say),
    )
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=4,
        redirect_stdout=sys.stdout.isatty(),
    ) as display:
        task = display.add_task(first, total=None)
        yield lambda text: display.update(task, description=text)
