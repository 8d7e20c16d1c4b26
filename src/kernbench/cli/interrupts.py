"""Ctrl-C, and a polite kill, which also has files to clean up: heard until the command ends, whoever swallows it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from kernbench.cli.places import is_users
from kernbench.errors import LimitError

AGAIN_S = 0.2  # long enough to clean up, and no wait that a user would notice
SOON_S = 0.02
IMPORT = "<frozen importlib._bootstrap>"

_heard = False


def was_interrupted() -> bool:
    """Whether an interrupt was heard: what ends the command then is its consequence, in whatever form it arrives."""
    return _heard


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """Raise an interrupt within again and again until it ends the command; after the end of the block, ignore it.

    Python ignores what is raised within a destructor, and libraries in C clear what is raised within their probing.
    """
    if not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _interrupt)
    sys.unraisablehook = _lost
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _heard
    _heard = True
    is_importing = _is_importing(frame)
    signal.setitimer(signal.ITIMER_REAL, SOON_S if is_importing else AGAIN_S)
    if not is_importing:  # a `raise` here would look like the program's own
        signal.default_int_handler(number, frame)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a library is in the middle of its import: some print the exception, and turn it into another."""
    while frame is not None and not is_users(frame.f_code.co_filename):
        if frame.f_code.co_filename == IMPORT:
            return True
        frame = frame.f_back
    return False


def _lost(error: Any) -> None:
    """Say that Python ignored an error, unless it is an interrupt or the end of a limit, which come again."""
    if not issubclass(error.exc_type, (KeyboardInterrupt, LimitError)):
        sys.__unraisablehook__(error)
