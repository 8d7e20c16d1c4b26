"""What is under way in a frame that its variables do not show: the iterator of a ``for``, C code that calls back.

A ``for`` shows how far it is if its variable takes another value each time: where that stands still, the ``for`` does,
or it has begun anew.
"""

from __future__ import annotations

import builtins
import dis
import inspect
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any, NamedTuple

from kernbench.lang import words
from kernbench.lang.jit import JITFunction

NOTHING: Any = object()
_COUNTING = (
    builtins.range,
    words.range,
    words.static_range,
    enumerate,
)  # nothing twice, or no first of a pair
_ASKING_ONCE = (bool, int, float, complex, str, repr, abs, round, len, print, format, divmod, pow)
_DRAINING = (all, any, sum, list, tuple, set, sorted, max, min, dict)
# fmt: off
_GOING_THROUGH = {
    "CONTAINS_OP", "DICT_MERGE", "DICT_UPDATE", "LIST_EXTEND", "SET_UPDATE", "UNPACK_EX", "UNPACK_SEQUENCE",
}
# fmt: on
_CALLED_DIRECTLY = ("__call__", "__init__", "__new__", "<listcomp>", "<setcomp>", "<dictcomp>")
_SILENT = {"PRECALL", "KW_NAMES", "PUSH_NULL", "EXTENDED_ARG", "NOP"}


class Loop(NamedTuple):
    """A ``for``: its instructions from offset ``first`` to ``last``; ``at`` is the number of the first."""

    first: int
    last: int
    at: int


class Place(NamedTuple):
    """A frame, its variables, and the frame that it has called, if any."""

    frame: FrameType
    variables: Mapping[str, Any]
    inner: FrameType | None

    def is_hiding(self, picture: Callable[[Any], Hashable]) -> bool:
        """Whether it has state beside its variables; ``picture`` is equal for what is equal."""
        code, at = self.frame.f_code, self.frame.f_lasti
        under_way = [loop for loop in _loops(code) if loop.first <= at <= loop.last]
        if not all(self._shows(loop, picture) for loop in under_way):
            return True
        return self.inner is not None and self._is_within_c(at, self.inner)

    def _shows(self, loop: Loop, picture: Callable[[Any], Hashable]) -> bool:
        """Whether the variables show how far ``loop`` is."""
        code = self.frame.f_code
        steps = _steps(code)
        before = steps[loop.at - 1]
        if before.opname != "GET_ITER":  # of a comprehension: its iterator is a variable
            return before.opname == "LOAD_FAST"
        within = [step for step in steps if loop.first <= step.offset <= loop.last]
        targets = list(_targets(within[1:]))
        if not targets or not all(_is_set_once(name, within, code) for name in targets):
            return False
        source = steps[loop.at - 2]
        if source.opname.startswith("CALL"):
            return _is_one(self._called(source)[0], _COUNTING)
        value = self._loaded(source)
        if value is NOTHING or _n_stores(str(source.argval), within):
            return False
        if isinstance(value, Iterator):
            return True
        if type(value) in (list, tuple, str, bytes):
            return len({picture(part) for part in value}) == len(value)
        return type(value) in (range, set, frozenset, dict)

    def _is_within_c(self, at: int, inner: FrameType) -> bool:
        """Whether C code that goes through something has called ``inner``."""
        step = [step for step in _steps(self.frame.f_code) if step.offset <= at][
            -1
        ]  # behind it lie its caches
        if step.opname in _GOING_THROUGH:
            return True
        if not step.opname.startswith("CALL"):
            return False
        called, name = self._called(step)
        if isinstance(called, (FunctionType, MethodType, JITFunction, staticmethod, classmethod)):
            return False
        if _is_one(called, _ASKING_ONCE):
            return False
        if _is_one(called, _DRAINING):
            return not inner.f_code.co_flags & inspect.CO_GENERATOR  # which shows itself how far it is
        return inner.f_code.co_name not in (name, *_CALLED_DIRECTLY)

    def _called(self, call: dis.Instruction) -> tuple[Any, str]:
        """What ``call`` calls, or ``NOTHING``, and its name: a variable, and attributes of it."""
        chain: list[dis.Instruction] = []
        for step in reversed([step for step in _steps(self.frame.f_code) if step.offset < call.offset]):
            if _start(step) == _start(call) and _start(call) is not None:
                chain.append(step)
                if step.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                    break
        if not chain:
            return NOTHING, ""
        found = self._loaded(chain.pop())
        name = ""
        while chain and found is not NOTHING:
            name = chain.pop().argval
            found = inspect.getattr_static(found, name, NOTHING)
        return found, name

    def _loaded(self, step: dis.Instruction) -> Any:
        """What an instruction has loaded by a name, or ``NOTHING``."""
        if step.opname == "LOAD_CONST":
            return step.argval
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names = (self.variables, self.frame.f_globals, self.frame.f_builtins)
            found = (scope[step.argval] for scope in names if step.argval in scope)
            return next(found, NOTHING)
        if step.opname.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF")) and isinstance(
            step.argval, str
        ):
            return self.variables.get(step.argval, NOTHING)
        return NOTHING


@lru_cache(maxsize=256)
def _steps(code: CodeType) -> tuple[dis.Instruction, ...]:
    return tuple(step for step in dis.get_instructions(code) if step.opname not in _SILENT)


@lru_cache(maxsize=256)
def _loops(code: CodeType) -> tuple[Loop, ...]:
    """A ``for`` jumps back to the instruction that asks its iterator."""
    steps, jumps = _steps(code), {*dis.hasjrel, *dis.hasjabs}
    last: dict[int, int] = {}
    for step in steps:
        if step.opcode in jumps and step.argval <= step.offset:
            last[step.argval] = step.offset
    return tuple(
        Loop(step.offset, last.get(step.offset, step.offset), index)
        for index, step in enumerate(steps)
        if step.opname == "FOR_ITER"
    )


def _targets(steps: Iterable[dis.Instruction]) -> Iterator[str]:
    """The names that a ``for`` stores to; "" for what is no name."""
    stores = takewhile(lambda step: step.opname.startswith(("STORE_", "UNPACK_SEQUENCE")), steps)
    for step in stores:
        if step.opname in ("STORE_FAST", "STORE_DEREF", "STORE_GLOBAL", "STORE_NAME"):
            yield step.argval
        elif step.opname.startswith("STORE_"):
            yield ""


def _is_set_once(name: str, within: Iterable[dis.Instruction], code: CodeType) -> bool:
    return bool(name) and _n_stores(name, within) == 1 and not _is_set_inside(name, code)


def _n_stores(name: str, steps: Iterable[dis.Instruction]) -> int:
    return sum(_stores(name, step) for step in steps)


def _stores(name: str, step: dis.Instruction) -> bool:
    names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
    return name in names and ("STORE" in step.opname or "DELETE" in step.opname)


def _is_set_inside(name: str, code: CodeType) -> bool:
    """Whether a function within ``code`` sets a variable of it."""
    inside = [part for part in code.co_consts if isinstance(part, CodeType) and name in part.co_freevars]
    return any(_n_stores(name, _steps(part)) or _is_set_inside(name, part) for part in inside)


def _start(step: dis.Instruction) -> tuple[int, int] | None:
    at = step.positions
    return None if at is None or at.lineno is None or at.col_offset is None else (at.lineno, at.col_offset)


def _is_one(value: Any, of: Iterable[Any]) -> bool:
    return any(value is one for one in of)
