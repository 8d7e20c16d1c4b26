"""One thread at a time: what holds for a simulation, and for kernels of all simulations."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from kernbench.lang.strays import HOLDERS, refuse_wait, runs_kernel

PATIENCE_S = 1.0

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Turn:
    """A lock that one thread at a time holds, as often as it likes; the others wait.

    A thread that waits for a kernel that waits for the thread would wait for ever. So it looks after each
    ``PATIENCE_S`` whether the holder stands still in the middle of a kernel, in a wait for threads.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holder = 0

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._wait()
        self._holder = threading.get_ident()
        HOLDERS[self._holder] += 1

    def __exit__(self, *_: object) -> None:
        mine = threading.get_ident()
        HOLDERS[mine] -= 1
        if not HOLDERS[mine]:
            del HOLDERS[mine]
        self._lock.release()

    def _wait(self) -> None:
        stood: tuple[FrameType, int] | None = None
        while not self._lock.acquire(timeout=PATIENCE_S):
            stands = _standstill(self._holder)
            if stands is not None and stands == stood:
                refuse_wait(self._holder, stands[0])
            stood = stands


class HasTurn(Protocol):
    """What threads use one at a time."""

    @property
    def turn(self) -> Turn:
        """Whose turn it is."""


Owner = TypeVar("Owner", bound=HasTurn)


def in_turn(
    call: Callable[Concatenate[Owner, Given], Result],
) -> Callable[Concatenate[Owner, Given], Result]:
    """The method ``call``, one thread at a time."""

    @wraps(call)
    def alone(owner: Owner, /, *args: Given.args, **named: Given.kwargs) -> Result:
        with owner.turn:
            return call(owner, *args, **named)

    return alone


def _standstill(thread: int) -> tuple[FrameType, int] | None:
    """Where ``thread`` waits for others in the middle of a kernel; None if it does not."""
    frame: FrameType | None = sys._current_frames().get(thread)
    if frame is None or frame.f_code.co_filename != threading.__file__ or not runs_kernel(frame):
        return None
    return frame, frame.f_lasti
