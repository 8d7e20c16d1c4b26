"""What can be seen of a program from outside: where its Python is, and what its variables hold.

A program that comes back to the same place with the same variables, while nothing around it changes, does so for ever:
Python has no other state, but for what C code hides (an iterator, a clock, random numbers).
"""

from __future__ import annotations

import dis
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import length_hint
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any, NamedTuple, Protocol

import numpy as np

from kernbench.lang.handle import Future, TensorHandle
from kernbench.lang.known import Known
from kernbench.lang.pointer import Pointer
from kernbench.lang.source import in_program, is_of_library
from kernbench.messages.commands import SourceLine

_HERE = Path(__file__).parent
_OURS = (f"{_HERE}/", f"{_HERE.parent / 'machine'}/")  # what runs a program and is none
_ENTRY = str(_HERE / "program.py")
MOST_DEPTH = 4  # of containers within containers
MOST_ITEMS = 1000  # of a container
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_CONSTANT = (ModuleType, FunctionType, type)


class Values(Protocol):
    """What is in TCM."""

    def get(self, version: int, /) -> Any:
        """The array of a version, if it exists by now."""


class Visible(NamedTuple):
    """A program at an instant: the code and instruction of each of its frames, and pictures of their variables."""

    places: tuple[tuple[CodeType, int], ...]
    variables: tuple[Any, ...]


def look(values: Values | None) -> Visible:
    """See the program that calls, from the innermost of its frames outwards."""
    places, variables = [], []
    for frame in _frames(sys._getframe(1)):
        places.append((frame.f_code, frame.f_lasti))
        variables.append(_variables(frame, values))
    return Visible(tuple(places), tuple(variables))


def place(frame: FrameType | None) -> SourceLine | None:
    """The line that a program whose innermost frame is ``frame`` has come to."""
    own = [(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name) for frame in _frames(frame)]
    return in_program(place for place in own if not is_of_library(place[0]))


def may_end_by_itself(round_: Sequence[Visible]) -> bool:
    """Whether a round that begins anew might be one of a ``for``, whose iterator cannot be seen.

    It is none if a variable changes on the way: then the ``for`` itself begins anew. Nor if its loop is a ``while``.
    """
    first = round_[0]
    for number, (code, at) in enumerate(first.places):
        loop = _innermost_loop(code, at)
        if loop is not None:
            return loop.is_for and len({state.variables[number] for state in round_}) == 1
    return True


def place_in(traceback: TracebackType | None) -> SourceLine | None:
    """The innermost line of a program that an exception came by; None if no program was running."""
    found, is_in_program = [], False
    while traceback is not None:
        path = traceback.tb_frame.f_code.co_filename
        if is_in_program and not is_of_library(path):
            found.append((path, traceback.tb_lineno, traceback.tb_frame.f_code.co_name))
        is_in_program = is_in_program or path == _ENTRY
        traceback = traceback.tb_next
    return in_program(reversed(found))


class Loop(NamedTuple):
    """The instructions ``first`` to ``last`` of some code, which may repeat."""

    first: int
    last: int
    is_for: bool


def _innermost_loop(code: CodeType, at: int) -> Loop | None:
    around = [loop for loop in _loops(code) if loop.first <= at <= loop.last]
    return min(around, key=lambda loop: loop.last - loop.first, default=None)


@lru_cache(maxsize=256)
def _loops(code: CodeType) -> tuple[Loop, ...]:
    """Where a jump leads back to. A ``for`` jumps back to the instruction that asks its iterator."""
    names = {instruction.offset: instruction.opname for instruction in dis.get_instructions(code)}
    jumps = {*dis.hasjrel, *dis.hasjabs}
    return tuple(
        Loop(jump.argval, jump.offset, names[jump.argval] == "FOR_ITER")
        for jump in dis.get_instructions(code)
        if jump.opcode in jumps and jump.argval <= jump.offset
    )


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None and frame.f_code.co_filename != _ENTRY:
        if not frame.f_code.co_filename.startswith(_OURS):
            yield frame
        frame = frame.f_back


def _variables(frame: FrameType, values: Values | None) -> Any:
    """Pictures of a frame's own variables, those of functions around it, and the globals that it names."""
    code, own = frame.f_code, frame.f_locals
    picture = (
        _pictures(own.values(), values, 0),
        _pictures((frame.f_globals.get(name) for name in code.co_names), values, 0),
    )
    if type(own) is dict and own is not frame.f_globals:
        own.clear()  # a copy, which would keep blocks alive that the kernel lets go
    return picture


def _pictures(things: Iterable[Any], values: Values | None, depth: int) -> tuple[Any, ...]:
    return tuple([_picture(thing, values, depth) for thing in things])


def _picture(thing: Any, values: Values | None, depth: int) -> Any:
    """Something hashable that is equal for what is equal, and as far as we look differs for what differs."""
    kind = type(thing)
    if kind in _PLAIN:
        return kind, thing
    if kind is TensorHandle:
        if thing.known is not None:
            return _picture(thing.known, values, depth)
        array = None if values is None else values.get(thing.operand.version)
        return kind, thing.operand.version if array is None else _bytes_of(array)
    if isinstance(thing, Known):
        return kind, thing.shape, str(thing.dtype), _bytes_of(thing.dense())
    if kind is Pointer:
        return kind, thing.shape, str(thing.dtype), _bytes_of(thing.dense())
    if isinstance(thing, Future):
        return kind, thing.value.version
    if isinstance(thing, (np.ndarray, np.generic)):
        return kind, _bytes_of(np.asarray(thing))
    if isinstance(thing, _CONSTANT) or depth == MOST_DEPTH:
        return kind, id(thing)
    if isinstance(thing, (list, tuple, deque, set, frozenset)) and len(thing) <= MOST_ITEMS:
        return kind, _pictures(thing, values, depth + 1)
    if isinstance(thing, dict) and len(thing) <= MOST_ITEMS:
        return kind, _pictures((*thing.keys(), *thing.values()), values, depth + 1)
    state = getattr(thing, "__dict__", None)
    own = _pictures(state.values(), values, depth + 1) if type(state) is dict else ()
    return kind, id(thing), length_hint(thing, -1), own


def _bytes_of(array: Any) -> tuple[Any, ...]:
    return array.shape, str(array.dtype), array.tobytes()
