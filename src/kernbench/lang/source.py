"""Where in a kernel we are: the innermost frame outside of the kernel language."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from kernbench.messages.commands import SourceLine

_LANG = str(Path(__file__).parent) + os.sep
_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_BENCHES = f"{_PACKAGE}benches{os.sep}"
_INSTALLED = (
    "<frozen ",
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
_NOWHERE = SourceLine("?", 0)
_lines: dict[tuple[str, int], SourceLine] = {}


def is_of_library(path: str) -> bool:
    """Whether a file is Python's, an installed package's or KernBench's, its collectives and benches apart."""
    if path.startswith(_PACKAGE):
        return not path.startswith((f"{_PACKAGE}ccl{os.sep}", f"{_PACKAGE}benches{os.sep}"))
    return path.startswith(_INSTALLED)


def here() -> SourceLine:
    """The line of the kernel that is being executed; keeps no frame."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_LANG):
        frame = frame.f_back
    return _NOWHERE if frame is None else _line(frame.f_code.co_filename, frame.f_lineno)


@lru_cache(maxsize=1024)
def is_users(path: str) -> bool:
    """Whether a file is the user's, as the benches of KernBench are: not installed, and not KernBench's own."""
    return path.startswith(_BENCHES) or not path.startswith((_PACKAGE, *_INSTALLED))


def user_line(frame: FrameType | None = None) -> SourceLine:
    """The line of the user's program that is being executed, here or in ``frame``: the innermost one of the user's."""
    frame = frame or sys._getframe(1)
    while frame is not None and not _is_users_frame(frame):
        frame = frame.f_back
    return _NOWHERE if frame is None else _line(frame.f_code.co_filename, frame.f_lineno)


def _is_users_frame(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    if path == "<string>":  # a dataclass's __init__, which Python writes; or a program of the user
        return not str(frame.f_globals.get("__name__")).startswith("kernbench.")
    return is_users(path)


def line_of(traceback: TracebackType | None) -> SourceLine:
    """The innermost line of ``traceback`` outside of the kernel language, and of what is installed if there is one."""
    found, in_library = None, _NOWHERE
    while traceback is not None:
        path = traceback.tb_frame.f_code.co_filename
        if path.startswith(_INSTALLED) and not path.startswith(_PACKAGE):
            in_library = _line(path, traceback.tb_lineno)
        elif not path.startswith(_LANG):
            found = _line(path, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found or in_library


def users_line_of(traceback: TracebackType | None) -> SourceLine | None:
    """The innermost line of ``traceback`` that is the user's; None if none is."""
    found = None
    while traceback is not None:
        if _is_users_frame(traceback.tb_frame):
            found = _line(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def defined_at(function: Callable[..., Any]) -> SourceLine:
    """The line at which ``function``, a kernel or plain, is defined."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return _NOWHERE if code is None else _line(code.co_filename, code.co_firstlineno)


def _line(path: str, number: int) -> SourceLine:
    line = _lines.get((path, number))
    if line is None:
        line = _lines[path, number] = SourceLine(Path(path).name, number)
    return line
