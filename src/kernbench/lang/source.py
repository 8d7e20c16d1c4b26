"""Where in a kernel we are: the innermost frame outside of the kernel language."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

from kernbench.messages.source_line import SourceLine

_LANG = str(Path(__file__).parent) + os.sep
_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_CCL = f"{_PACKAGE}ccl{os.sep}"
_ENTRY = f"{_LANG}program.py"  # which calls the kernel
_BENCHES = f"{_PACKAGE}benches{os.sep}"
_INSTALLED = (
    "<frozen ",
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
_NOWHERE = SourceLine("?", 0)
_lines: dict[tuple[str, int, str], SourceLine] = {}
_at: dict[tuple[int, int], tuple[CodeType, SourceLine]] = {}
MOST_KEPT = 1 << 14  # instructions whose lines are kept: a speed setting

IS_SHIPPED: ContextVar[bool] = ContextVar("kernbench_is_shipped", default=False)
"""Whether the kernel that runs is of a collective that comes with KernBench: none of its lines is a user's."""

Places = Iterable[tuple[str, int, str]]
"""File, line and function of frames."""


@lru_cache(maxsize=1024)
def is_of_library(path: str) -> bool:
    """Whether a file is Python's, an installed package's or KernBench's, its collectives and benches apart."""
    if path.startswith(_PACKAGE):
        return not path.startswith((_CCL, _BENCHES))
    return path.startswith(_INSTALLED)


def is_of_program(code: CodeType) -> bool:
    """Whether the lines of ``code`` are a program's: no library's, and not generated."""
    return not is_of_library(code.co_filename) and not _is_generated(code)


def _is_generated(code: CodeType) -> bool:
    """Whether Python wrote the function, as it does for dataclasses and named tuples: nobody has its source."""
    is_of_tuple = code.co_varnames[:1] == ("_cls",)  # a lambda that has no better name
    return code.co_filename == "<string>" and (code.co_name.startswith("__") or is_of_tuple)


def here() -> SourceLine:
    """The line of the kernel that is being executed, its author's if it calls what kernels share; keeps no frame."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_LANG):
        frame = frame.f_back
    if frame is None:
        return _NOWHERE
    path = frame.f_code.co_filename
    if path.startswith(_CCL) and not IS_SHIPPED.get():
        return in_program(_outwards(frame)) or _NOWHERE
    return _line_at(frame)


def _line_at(frame: FrameType) -> SourceLine:
    """The line that ``frame`` is at, kept by instruction: Python reads a table of the whole function to tell it."""
    code = frame.f_code
    place = id(code), frame.f_lasti
    kept = _at.get(place)
    if kept is None or kept[0] is not code:
        if len(_at) >= MOST_KEPT:
            _at.clear()
        kept = _at[place] = code, _line(code.co_filename, frame.f_lineno)
    return kept[1]


def is_shipped(kernel: Callable[..., Any]) -> bool:
    """Whether ``kernel`` is of a collective that comes with KernBench."""
    code = getattr(kernel, "__code__", None)
    return code is not None and code.co_filename.startswith(_CCL)


def in_program(places: Places) -> SourceLine | None:
    """The line that is named of ``places`` in a program, innermost first: the user's if there is one.

    What kernels of collectives share is named by itself only where those that come with KernBench call it.
    """
    innermost, inside = None, ""
    for path, number, name in places:
        if not path.startswith(_CCL):
            return _line(path, number, inside)
        innermost, inside = innermost or _line(path, number), name
    return innermost


def _outwards(frame: FrameType | None) -> Iterator[tuple[str, int, str]]:
    """The frames of a program, without those of libraries, from ``frame`` to its kernel."""
    while frame is not None and frame.f_code.co_filename != _ENTRY:
        if is_of_program(frame.f_code):
            yield frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back


@lru_cache(maxsize=1024)
def is_users(path: str) -> bool:
    """Whether a file is the user's, as the benches of KernBench are: not installed, and not KernBench's own."""
    return path.startswith(_BENCHES) or not path.startswith((_PACKAGE, *_INSTALLED))


def user_line(frame: FrameType | None = None) -> SourceLine:
    """The line of the user's program that is being executed, here or in ``frame``: the innermost one of the user's."""
    frame = frame or sys._getframe()
    while frame is not None and not _is_users_frame(frame):
        frame = frame.f_back
    return _NOWHERE if frame is None else _line(frame.f_code.co_filename, frame.f_lineno)


def _is_users_frame(frame: FrameType) -> bool:
    return is_users(frame.f_code.co_filename) and not _is_generated(frame.f_code)


def line_of(traceback: TracebackType | None) -> SourceLine:
    """The innermost line of ``traceback`` outside of the kernel language, and of what is installed if there is one."""
    places, in_library = [], _NOWHERE
    while traceback is not None:
        path = traceback.tb_frame.f_code.co_filename
        if path.startswith(_INSTALLED) and not path.startswith(_PACKAGE):
            in_library = _line(path, traceback.tb_lineno)
        elif not path.startswith(_LANG) and not _is_generated(traceback.tb_frame.f_code):
            places.append((path, traceback.tb_lineno, traceback.tb_frame.f_code.co_name))
        traceback = traceback.tb_next
    return in_program(reversed(places)) or in_library


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


def _line(path: str, number: int, inside: str = "") -> SourceLine:
    line = _lines.get((path, number, inside))
    if line is None:
        line = _lines[path, number, inside] = SourceLine(Path(path).name, number, inside)
    return line
