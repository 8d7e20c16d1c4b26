"""What can be seen of a program from outside: where its Python is, and what its variables hold.

A program that comes back to the same place with the same variables, while nothing around it changes, does so for ever,
if what is seen is all that there is of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

from kernbench.lang.picture import OpaqueError, Pictures, TcmValues
from kernbench.lang.source import in_program, is_of_program
from kernbench.messages.source_line import SourceLine

_HERE = Path(__file__).parent
_OURS = (f"{_HERE}/", f"{_HERE.parent / 'machine'}/")  # what runs a program and is none
_ENTRY = str(_HERE / "program.py")


class Visible(NamedTuple):
    """A program at an instant: the code and instruction of each of its frames, and pictures of their variables."""

    places: tuple[tuple[CodeType, int], ...]
    variables: tuple[Any, ...]


def look(values: TcmValues | None) -> Visible | None:
    """See the program that calls, from the innermost of its frames outwards; None if something of it is hidden."""
    places, variables, pictures = [], [], Pictures(values)
    try:
        for frame, inner in _frames(sys._getframe(1)):
            places.append((frame.f_code, frame.f_lasti))
            variables.append(pictures.of_frame(frame, inner))
    except (OpaqueError, RecursionError):
        return None
    return Visible(tuple(places), tuple(variables))


def place(frame: FrameType | None) -> SourceLine | None:
    """The line that a program whose innermost frame is ``frame`` has come to."""
    own = [inner for inner, _ in _frames(frame) if is_of_program(inner.f_code)]
    return in_program((inner.f_code.co_filename, inner.f_lineno, inner.f_code.co_name) for inner in own)


def place_in(traceback: TracebackType | None) -> SourceLine | None:
    """The innermost line of a program that an exception came by; None if no program was running."""
    found, is_in_program = [], False
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if is_in_program and is_of_program(code):
            found.append((code.co_filename, traceback.tb_lineno, code.co_name))
        is_in_program = is_in_program or code.co_filename == _ENTRY
        traceback = traceback.tb_next
    return in_program(reversed(found))


def _frames(frame: FrameType | None) -> Iterator[tuple[FrameType, FrameType | None]]:
    """The frames of a program from ``frame`` outwards, each with the frame that it has called."""
    inner = None
    while frame is not None and frame.f_code.co_filename != _ENTRY:
        if not frame.f_code.co_filename.startswith(_OURS):
            yield frame, inner
        frame, inner = frame.f_back, frame
