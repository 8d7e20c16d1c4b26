"""Pictures of what a program can reach: equal as long as nothing of it changes.

Python shows nearly all state of its objects; what an object tells the pickler is all that it has. Where something may
change that does not show (a generator, a clock, a file, a module of unknown ways), there is no picture.
"""

from __future__ import annotations

import builtins
import random
import sys
from collections.abc import Iterable, Iterator
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Protocol

import numpy as np

from kernbench.lang.handle import Future, TensorHandle
from kernbench.lang.jit import JITFunction
from kernbench.lang.known import Known
from kernbench.lang.loops import Place
from kernbench.lang.names import names_in
from kernbench.lang.pointer import Pointer
from kernbench.lang.reach import MISSING
from kernbench.lang.source import is_of_library

MOST_PARTS = 2_000  # of one picture
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented), range, CodeType)
_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType)
# fmt: off
# Builtins beyond which a name leads anywhere.
_ANYWHERE = {
    "__import__", "breakpoint", "compile", "dir", "eval", "exec", "getattr", "globals", "input", "locals", "open",
    "vars",
}
# Libraries whose functions give the same for the same, and whose objects tell the pickler all that they have.
_PLAIN_LIBRARIES = {
    "__future__", "_bisect", "_collections", "_functools", "_heapq", "_io", "_operator", "_random", "_struct", "abc",
    "array", "bisect", "builtins", "cmath", "collections", "contextlib", "copy", "copyreg", "dataclasses", "decimal",
    "enum", "fractions", "functools", "heapq", "io", "itertools", "kernbench", "math", "numbers", "numpy", "operator",
    "random", "re", "statistics", "string", "struct", "types", "typing", "typing_extensions",
}
# fmt: on
_ENTROPY = {"SystemRandom", "default_rng", "PCG64", "SeedSequence"}  # ask the computer for chance


class TcmValues(Protocol):
    """What is in TCM."""

    def get(self, version: int, /) -> Any:
        """The array of a version, if it exists by now."""


class OpaqueError(Exception):
    """Something may change that does not show."""


def is_plain_library(module: str | None) -> bool:
    """Whether nothing hidden is in a module, by its name."""
    return (module or "").partition(".")[0] in _PLAIN_LIBRARIES


class Pictures:
    """Takes pictures of one instant; ``values`` are those in TCM, None where there are none.

    A part that was met before is its number, so circles end, and two names of one list are told from two equal lists.
    """

    def __init__(self, values: TcmValues | None) -> None:
        self._values = values
        self._n_left = MOST_PARTS
        self._met: dict[int, tuple[int, Any]] = {}  # with the part itself, which keeps its id

    def of(self, thing: Any) -> Any:
        """Something hashable that is equal for what is equal, and differs for what differs.

        Raises:
            OpaqueError: it may change without showing.
        """
        kind = type(thing)
        self._n_left -= 1
        if not self._n_left:
            raise OpaqueError
        if kind in PLAIN:
            # A float is equal to itself, and -0.0 is not 0.0.
            return kind, repr(thing) if kind in (float, complex) else thing
        met = self._met.get(id(thing))
        if met is not None:
            return "met", met[0]
        self._met[id(thing)] = len(self._met), thing
        return kind, self._parts(kind, thing)

    def of_frame(self, frame: FrameType, inner: FrameType | None) -> Any:
        """Of a frame's own variables, those of functions around it, and the globals that it names."""
        code, own = frame.f_code, frame.f_locals
        try:
            if Place(frame, own, inner).is_hiding(lambda thing: Pictures(self._values).of(thing)):
                raise OpaqueError
            variables = tuple([(name, self._named(name, code, value)) for name, value in own.items()])
            return variables, self._names(code, frame.f_globals, frame.f_builtins)
        finally:
            if type(own) is dict and own is not frame.f_globals:
                own.clear()  # a copy, which would keep blocks alive that the kernel lets go

    def of_all(self, things: Iterable[Any]) -> tuple[Any, ...]:
        """Of each."""
        return tuple([self.of(thing) for thing in things])

    def _names(self, code: CodeType, names: dict[str, Any], builtin: dict[str, Any]) -> Any:
        """Of the globals that ``code``, and the functions within it, name."""
        named = names_in(code)
        if not _ENTROPY.isdisjoint((*named.names, *named.attributes)):
            raise OpaqueError
        modules = [self._module(sys.modules[name], code) for name in named.modules if name in sys.modules]
        found = [self._named(name, code, names.get(name, builtin.get(name))) for name in named.names]
        return tuple(modules), tuple(found)

    def _named(self, name: str, code: CodeType, value: Any) -> Any:
        if isinstance(value, ModuleType):
            return self._module(value, code)
        if name in _ANYWHERE and value is vars(builtins).get(name):
            raise OpaqueError
        return self.of(value)

    def _module(self, module: ModuleType, code: CodeType) -> Any:
        if module is random:
            return self.of(random._inst)
        if is_plain_library(module.__name__):
            numpy_random = sys.modules.get("numpy.random") if module.__name__.startswith("numpy") else None
            return None if numpy_random is None else self.of(numpy_random.mtrand._rand)
        if is_of_library(getattr(module, "__file__", None) or "<frozen "):
            raise OpaqueError
        found = [(name, vars(module).get(name, MISSING)) for name in names_in(code).attributes]
        return tuple([(name, self._named(name, code, x)) for name, x in found if x is not MISSING])

    def _parts(self, kind: type, thing: Any) -> Any:
        if kind is TensorHandle and thing.known is None:
            version = thing.operand.version
            array = None if self._values is None else self._values.get(version)
            return version if array is None else _bytes_of(array)
        if kind is TensorHandle:
            return self.of(thing.known)
        if isinstance(thing, (Known, Pointer)):
            return thing.shape, str(thing.dtype), _bytes_of(thing.dense())
        if kind is Future:
            return thing.value.version
        if kind is JITFunction:
            return self.of(thing.fn)
        if isinstance(thing, (np.ndarray, np.generic)):
            return self.of_all(thing.flat) if thing.dtype.hasobject else _bytes_of(np.asarray(thing))
        if kind is GeneratorType:
            return self._generator(thing)
        if kind in (list, tuple):
            return self.of_all(thing)
        if kind is dict:
            return self.of_all(thing.keys()), self.of_all(thing.values())
        if isinstance(thing, (FunctionType, MethodType, BuiltinFunctionType)):
            return self._function(thing)
        if isinstance(thing, type):
            return self._type(thing)
        if isinstance(thing, (staticmethod, classmethod, property)):
            wrapped = (thing.fget, thing.fset) if isinstance(thing, property) else (thing.__func__,)
            return self.of_all(wrapped)
        if isinstance(thing, (np.ufunc, np.dtype, MappingProxyType, *_DESCRIPTORS)):
            return id(thing)
        return self._state(kind, thing)

    def _generator(self, generator: Any) -> Any:
        frame = generator.gi_frame
        if frame is None or generator.gi_running:  # is over; or is one of the program's frames
            return frame is None
        return generator.gi_code, frame.f_lasti, self.of_frame(frame, None), self.of(generator.gi_yieldfrom)

    def _function(self, function: Any) -> Any:
        if isinstance(function, MethodType):
            return self.of_all((function.__self__, function.__func__))
        if isinstance(function, BuiltinFunctionType):
            owner = function.__self__
            if owner is None or isinstance(owner, ModuleType):
                if not is_plain_library(function.__module__):
                    raise OpaqueError
                return id(function)
            return function.__name__, self.of(owner)
        code = function.__code__
        if is_of_library(code.co_filename):
            if not is_plain_library(function.__globals__.get("__name__")):
                raise OpaqueError
            return id(function)
        cells = [_content(cell) for cell in function.__closure__ or ()]
        own = self.of_all((function.__defaults__, function.__kwdefaults__, function.__dict__, *cells))
        return code, own, self._names(code, function.__globals__, function.__builtins__)

    def _type(self, kind: type) -> Any:
        module = sys.modules.get(kind.__module__)
        if kind.__module__ != "__main__" and is_of_library(getattr(module, "__file__", None) or "<frozen "):
            if not is_plain_library(kind.__module__):
                raise OpaqueError
            return id(kind)
        own = [x for name, x in vars(kind).items() if not name.startswith("_abc") and _is_own(name, x)]
        return id(kind), self.of_all(kind.__bases__), self.of_all(own)

    def _state(self, kind: type, thing: Any) -> Any:
        """What an object tells the pickler, by no code of the user's."""
        module = str(kind.__module__)
        if module.startswith("kernbench."):
            return thing if isinstance(thing, (int, float, str)) else id(thing)
        if module.startswith("numpy.random"):
            generator = getattr(thing, "bit_generator", thing)
            return self.of(thing.get_state(legacy=False) if hasattr(thing, "get_state") else generator.state)
        self.of(kind)
        for name in ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__"):
            told_by = getattr(kind, name, None)
            if isinstance(told_by, FunctionType) and not is_of_library(told_by.__code__.co_filename):
                raise OpaqueError
        try:
            reduced = thing.__reduce_ex__(2)
        except Exception:  # each kind that cannot be pickled has its own
            raise OpaqueError from None
        if isinstance(reduced, str):  # it has a name, and tells nothing of itself
            raise OpaqueError
        return self.of_all([list(part) if isinstance(part, Iterator) else part for part in reduced])


def _is_own(name: str, value: Any) -> bool:
    """Whether it is of the user's in a class, and not what Python notes there."""
    return isinstance(value, FunctionType) or not (name.startswith("__") and name.endswith("__"))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _bytes_of(array: Any) -> tuple[Any, ...]:
    return array.shape, str(array.dtype), array.tobytes()
