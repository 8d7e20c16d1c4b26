"""A sign of life on stderr while a command works, and the limits that it works within."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from kernbench import limits
from kernbench.errors import UsageError

LINE_EVERY_S = 10.0  # where stderr is no terminal


@contextmanager
def sign_of_life(
    first: str, *, max_time: str | None = None, max_cpu: str | None = None
) -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done, within limits as the options say.

    On a terminal a bar shows it with the time since when, simulated time, programs done of all, and events a second;
    elsewhere a line does, after each ten seconds.
    """
    for option, text in (("--max-time", max_time), ("--max-cpu", max_cpu)):
        if text is not None:
            _require_duration(option, text)
    shown = _bar if sys.stderr.isatty() else _lines
    with limits.limited(max_time=max_time, max_cpu=max_cpu), shown(first, Speed().text) as tell:
        yield tell


def _bar(first: str, say: Callable[[], str]) -> AbstractContextManager[Callable[[str], None]]:
    from kernbench.cli.bar import bar  # and rich, which a pipe does without

    return bar(first, say)


def _require_duration(option: str, text: str) -> None:
    try:
        limits.duration_ps(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None


class Speed:
    """How far the machines of this process have come, in words; events a second are those since the last time."""

    def __init__(self) -> None:
        self._events, self._at_s = 0, time.monotonic()

    def text(self) -> str:
        """Simulated time, programs done of all, events a second: what there is of them."""
        machines = list(limits.machines)
        said = [text for machine in machines if (text := machine.progress())]
        events = sum(getattr(machine, "engine", machine).events for machine in machines if machine.now_ps)
        now_s = time.monotonic()
        rate = (events - self._events) / max(now_s - self._at_s, 1e-3)
        self._events, self._at_s = events, now_s
        return ", ".join([*said[-1:], *([f"{rate:,.0f} events/s"] if rate > 0 else [])])


@contextmanager
def _lines(first: str, say: Callable[[], str]) -> Iterator[Callable[[str], None]]:
    doing, is_done, began_s = [first], threading.Event(), time.monotonic()

    def write() -> None:
        while not is_done.wait(LINE_EVERY_S):
            since = f"{time.monotonic() - began_s:.0f} s"
            print("kernbench: " + ", ".join(filter(None, [doing[-1], since, say()])), file=sys.stderr)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield doing.append
    finally:
        is_done.set()
        writer.join()
