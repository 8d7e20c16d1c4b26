"""Threads that a kernel has started: they are no programs, and what they ask of a simulation is the kernel's error.

An error that such a thread raised would end that thread alone. So the kernel is told, and raises it at its end; the
thread ends without a word.
"""

from __future__ import annotations

import threading
from collections import Counter
from types import FrameType
from typing import NoReturn, Protocol
from weakref import WeakSet

from kernbench.errors import KernelError, UsageError
from kernbench.lang.source import here, user_line


class Running(Protocol):
    """A program that runs, in ``thread``; ``stray`` is what another thread did that its kernel has started."""

    thread: int
    stray: KernelError | None


RUNNING: WeakSet[Running] = WeakSet()  # programs that have begun and not ended, of all simulations
HOLDERS: Counter[int] = Counter()  # the threads that are in a call of a simulation, and how deep


def runs_kernel(frame: FrameType | None) -> bool:
    """Whether ``frame`` lies within a program of a kernel."""
    while frame is not None:
        if frame.f_code.co_name == "run_program":
            return True
        frame = frame.f_back
    return False


def refuse_tl(program: Running | None) -> NoReturn:
    """Say that a thread has called ``tl`` which runs no program; ``program`` is the one whose context it has, if any.

    Raises:
        UsageError: no kernel is running that could have started it.
        SystemExit: the kernel is told.
    """
    mine = threading.current_thread()
    accused = [program] if program is not None else _programs_elsewhere(mine.ident)
    if not accused or (program is None and mine is threading.main_thread()):
        raise UsageError("tl functions work inside a running kernel only; launch it with kernel[grid](...)")
    _accuse(
        accused,
        f"{here()}: thread {mine.name!r} calls tl, and only the thread that runs a kernel may; let the kernel do it, "
        "or compute in the thread with numpy",
    )


def refuse_wait(holder: int, frame: FrameType) -> NoReturn:
    """Say that a thread has asked for a simulation whose kernel waits for it, in the thread ``holder`` at ``frame``.

    Raises:
        SystemExit: the kernel is told.
    """
    name = threading.current_thread().name
    _accuse(
        [program for program in RUNNING if program.thread == holder],
        f"{user_line(frame)}: the kernel waits here for thread {name!r}, which asks for the simulation that runs the "
        "kernel; ask before the launch, and give the kernel what it needs",
    )


def _programs_elsewhere(thread: int | None) -> list[Running]:
    return [program for program in RUNNING if program.thread != thread and HOLDERS[program.thread]]


def _accuse(programs: list[Running], text: str) -> NoReturn:
    for program in programs:
        if program.stray is None:
            program.stray = KernelError(text)
    raise SystemExit(text)
