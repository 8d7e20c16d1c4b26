"""How long a run may take, in simulated time and in CPU time, and what it is doing when that is over."""

from __future__ import annotations

import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from kernbench.errors import LimitError, UsageError
from kernbench.wording import quoted

AGAIN_S = 1.0  # of CPU time: Python ignores what is raised within a destructor, so it is raised again
SCALES_PS = {"ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12}
MOST_LINES = 40  # of a map
MOST_DIGITS = 30  # of a duration


machines: weakref.WeakSet[Any] = weakref.WeakSet()
"""All that live: each adds itself, and says what it is ``doing(frame)``, a line for each, and its ``progress()``."""

max_time_ps: int | None = None
"""Simulated time that a machine which is made now may take."""


def duration_ps(text: str) -> int:
    """``text`` in picoseconds: a number and its unit, ns, us, ms or s.

    >>> duration_ps("10ms"), duration_ps("1.5 us")
    (10000000000, 1500000)
    """
    if not isinstance(text, str):
        raise UsageError(f"{quoted(text)} is no duration; write a text with its unit, as in '10ms'")
    number = text.strip().rstrip("munsp ")
    unit = text.strip()[len(number) :].strip()
    whole, _, rest = number.partition(".")
    is_number = (
        number.isascii()
        and len(number) <= MOST_DIGITS
        and whole.isdigit()
        and (rest.isdigit() or "." not in number)
    )
    if not is_number or unit not in SCALES_PS:
        raise UsageError(f"{quoted(text)} is no duration; write a number and ns, us, ms or s, as in 10ms")
    ps: int = int(whole + rest) * SCALES_PS[unit] // 10 ** len(rest)
    if not ps:
        raise UsageError(f"{quoted(text)} is no time at all; give more, as in 10ms")
    return ps


def require_unlimited_time() -> None:
    """Refuse a limit of simulated time where there is none, which is in mode ``data``.

    Raises:
        UsageError: such a limit is in force.
    """
    if max_time_ps is not None:
        raise UsageError(
            "max_time: mode 'data' has no simulated time; limit its CPU time with max_cpu, or use mode 'timed'"
        )


@contextmanager
def limited(*, max_time: str | None = None, max_cpu: str | None = None) -> Iterator[None]:
    """Stop what runs within the ``with`` block after so much simulated time of a machine, or CPU time of the process.

    Each machine that is made within has ``max_time`` for itself. CPU time is watched over in the main thread, wherever
    it is spent: in simulated time, in a kernel, or in the host's own code. Of blocks within one another the narrower
    limit holds.

    >>> with limited(max_time="10ms", max_cpu="60s"):
    ...     pass

    Raises:
        LimitError: when it is over; its text is the map of what the run was doing.
        UsageError: that is no duration; CPU time is to be watched over in another thread; or simulated time, within,
            in mode ``data``, which has none.
    """
    global max_time_ps
    before = max_time_ps
    time_ps = None if max_time is None else duration_ps(max_time)
    cpu_ps = None if max_cpu is None else duration_ps(max_cpu)
    if time_ps is not None:
        max_time_ps = time_ps if before is None else min(before, time_ps)
    try:
        if cpu_ps is None:
            yield
        else:
            assert max_cpu is not None
            with _cpu_limited(cpu_ps / 10**12, max_cpu):
                yield
    finally:
        max_time_ps = before


@contextmanager
def _cpu_limited(cpu_s: float, said: str) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        raise UsageError("max_cpu: CPU time is watched over in the main thread of a Unix process only")

    def stop(number: int, frame: Any) -> NoReturn:
        head = f"stopped after {said} of CPU time, and this was under way:"
        raise LimitError(map_of(head, [line for machine in list(machines) for line in machine.doing(frame)]))

    if 0 < signal.getitimer(signal.ITIMER_PROF)[0] < cpu_s:  # of a block around this one, which ends first
        yield
        return
    handler = signal.signal(signal.SIGPROF, stop)
    left_s, again_s = signal.setitimer(signal.ITIMER_PROF, cpu_s, AGAIN_S)
    from_s = time.process_time()
    try:
        yield
    finally:
        left_s = left_s and max(left_s - (time.process_time() - from_s), 1e-6)
        signal.setitimer(signal.ITIMER_PROF, left_s, again_s)
        signal.signal(signal.SIGPROF, handler)


def map_of(head: str, lines: list[str]) -> str:
    """The text of an error about a run that was stopped."""
    more = len(lines) - MOST_LINES
    shown = [*lines[:MOST_LINES], *([f"... and {more} more"] if more > 0 else [])]
    return "\n  ".join([head, *(shown or ["no kernel: the host's own code"])])
