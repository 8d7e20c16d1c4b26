"""What a value of the host's holds, to any depth, and which kinds of values may change in place."""

from __future__ import annotations

import os
import pickle
import random
import sys
from argparse import Namespace
from array import array
from collections import UserDict, UserList, deque
from collections.abc import Iterable, Iterator
from enum import Enum, EnumType
from functools import cache, cached_property, partial
from types import (
    BuiltinFunctionType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary

import numpy as np

from kernbench.lang.jit import JITFunction
from kernbench.lang.pointer import TensorArg
from kernbench.lang.source import is_users

_SEQUENCES = (list, tuple, deque)
_SETS = (set, frozenset)
_MAPPINGS = (dict, MappingProxyType)
_BYTES = (bytearray, memoryview, array, np.ndarray)
_NAMESPACES = (SimpleNamespace, Namespace)
_CALLS: dict[type, tuple[str, ...]] = {  # where a function of each kind keeps what it calls
    FunctionType: ("__wrapped__",),
    type(cache(len)): ("__wrapped__",),
    JITFunction: ("fn",),
    partial: ("func", "args", "keywords"),
    MethodType: ("__func__", "__self__"),
    BuiltinFunctionType: ("__self__",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget",),
    cached_property: ("func",),
}
_FUNCTIONS = tuple(_CALLS)
_STATEFUL = (Iterator, random.Random, np.random.RandomState, np.random.Generator, np.random.BitGenerator)
INHERITED = (UserDict, UserList, Enum)  # what their methods read of an object, no code of the user's names
_KINDS = (
    *_STATEFUL,
    ReferenceType,
    *_SEQUENCES,
    *_SETS,
    *_MAPPINGS,
    *_BYTES,
    *_NAMESPACES,
    *_FUNCTIONS,
    type,
)

_MAKERS = frozenset({"__init__", "__new__", "__post_init__", "__init_subclass__", "__del__"})
_NO_CALLERS = frozenset(
    {"builtins", "abc", "typing", "enum"}
)  # whose classes call no method that they do not name

_LEAVES = frozenset({int, float, complex, bool, str, bytes, type(None), range, slice, TensorArg})
_PLAIN: WeakKeyDictionary[type, bool] = WeakKeyDictionary()  # what is known of the other kinds

State = dict[Any, Any] | list[Any] | set[Any] | tuple[Any, ...] | bytes
Held = list[tuple[str, Any]]


def is_plain(kind: type) -> bool:
    """Whether values of ``kind`` neither change in place, as far as a kernel sees, nor lead to what does."""
    if kind in _LEAVES:
        return True
    known = _PLAIN.get(kind)
    if known is None:
        known = not issubclass(kind, _KINDS) and not is_users_object(kind)
        is_ours = kind.__module__.partition(".")[0] == "kernbench"
        known = _PLAIN[kind] = known and (is_ours or not kind.__dictoffset__ or issubclass(kind, np.ufunc))
    return known


def is_users_module(module: ModuleType | None) -> bool:
    """Whether ``module`` is a file of the user's, or what is run."""
    path = getattr(module, "__file__", None)
    return module is not None and (module.__name__ == "__main__" or (path is not None and is_users(path)))


def is_users_object(value: Any) -> bool:
    """Whether ``value`` is a class of the user's, or of one."""
    return is_users_module(sys.modules.get(classes_of(value)[0].__module__))


def classes_of(value: Any) -> tuple[type, ...]:
    """The class that ``value`` is, or of which it is one, and those from which it inherits."""
    kind: type = value if isinstance(value, type) else type(value)
    return kind.__mro__


def is_object(value: Any) -> bool:
    """Whether ``value`` is a thing of the user's of which a kernel reads attributes."""
    if isinstance(value, ModuleType):
        return is_users_module(value)
    if isinstance(value, FunctionType):
        return is_users(value.__code__.co_filename)
    return isinstance(value, _NAMESPACES) or is_users_object(value)


def unnamed_calls(thing: Any) -> Iterator[Any]:
    """The methods of ``thing``, or of those of a class, that are called without being named.

    That is for operators, when an object is made (of a class), or by a class of a library from which it inherits.
    """
    kinds = classes_of(thing)
    is_library_led = any(not is_users_object(kind) and kind.__module__ not in _NO_CALLERS for kind in kinds)
    for kind in filter(is_users_object, kinds):
        for name, method in vars(kind).items():
            is_operator = name.startswith("__") and (isinstance(thing, type) or name not in _MAKERS)
            if isinstance(method, _FUNCTIONS) and (is_operator or is_library_led):
                yield method


def held_in(value: Any, path: str = "") -> Held:
    """``value`` and what it holds that is not plain, each once, with where it lies: ``path``, ``path[0]`` ...

    That is the elements of containers, what a library's object consists of, the function within a partial one or a
    method, its object and its defaults. Attributes of the user's objects are not followed; modules, classes and
    functions of libraries are left out.
    """
    found: Held = []
    todo, seen = [(path, value)], set()
    while todo:
        path, thing = todo.pop()
        if is_plain(type(thing)) or id(thing) in seen or _is_of_library(thing):
            continue
        seen.add(id(thing))
        found.append((path, thing))
        todo += _called(path, thing) if isinstance(thing, _FUNCTIONS) else _elements(path, thing)
    return found


def _is_of_library(thing: Any) -> bool:
    if isinstance(thing, FunctionType):
        return not is_object(thing) and not hasattr(thing, "__wrapped__")
    return isinstance(thing, (ModuleType, type)) and not is_object(thing)


def _elements(path: str, thing: Any) -> Held:
    """The elements of a container that are not plain, and those of a library's object, in which no other is opened."""
    if isinstance(thing, np.ndarray):
        return _elements(path, thing.ravel().tolist()) if thing.dtype.hasobject else []
    if isinstance(thing, ReferenceType):
        return [(path, thing())]
    if isinstance(thing, EnumType):
        members: dict[str, Any] = dict(thing.__members__)
        return [(f"{path}.{name}", member) for name, member in members.items()]
    if isinstance(thing, GeneratorType):
        return [(path, x) for x in _variables(thing)]
    if isinstance(thing, _MAPPINGS):
        keys = [(path, key) for key in thing] if _has_more(thing) else []
        return keys + (
            [(f"{path}[{key!r}]", x) for key, x in thing.items()] if _has_more(thing.values()) else []
        )
    if isinstance(thing, (*_SEQUENCES, *_SETS)):
        is_set = isinstance(thing, _SETS)
        return (
            [(path if is_set else f"{path}[{i}]", x) for i, x in enumerate(thing)] if _has_more(thing) else []
        )
    if is_opaque(thing):
        return [(f"{path}.{name}", x) for name, x in vars(thing).items() if not is_opaque(x)]
    return []


def _has_more(parts: Iterable[Any]) -> bool:
    return not all(map(is_plain, set(map(type, parts))))


def is_opaque(thing: Any) -> bool:
    """Whether ``thing`` is a library's object that keeps what it is in a namespace of its own."""
    is_known = is_plain(type(thing)) or isinstance(thing, (*_KINDS, ModuleType)) or thing is os.environ
    return not is_known and not is_users_object(thing)


def _called(path: str, function: Any) -> Iterator[tuple[str, Any]]:
    """What a call of ``function`` calls in turn, and what that is given."""
    if isinstance(function, FunctionType):
        code, given = function.__code__, function.__defaults__ or ()
        yield from zip(code.co_varnames[code.co_argcount - len(given) : code.co_argcount], given, strict=True)
        yield from (function.__kwdefaults__ or {}).items()
    for kind, names in _CALLS.items():
        if isinstance(function, kind):
            yield from ((path, getattr(function, name, None)) for name in names)


def _variables(generator: GeneratorType[Any, Any, Any]) -> list[Any]:
    frame = generator.gi_frame
    return [] if frame is None else [frame.f_lasti, *frame.f_locals.values()]


def _pickled(thing: Any) -> bytes | None:
    """What ``pickle`` keeps of ``thing``; None if it cannot."""
    try:
        return pickle.dumps(thing)
    except Exception:  # whatever the code of its class raises
        return None


def state_of(thing: Any) -> State | None:
    """What ``thing`` consists of now, if that may change in place: elements by where they are, members, bytes."""
    if isinstance(thing, _MAPPINGS):
        return dict(thing)
    if isinstance(thing, (list, deque)):
        return list(thing)
    if isinstance(thing, set):
        return set(thing)
    if isinstance(thing, np.ndarray):
        return thing.shape, thing.dtype, thing.tobytes()
    if isinstance(thing, _BYTES):
        return bytes(thing)
    if isinstance(thing, GeneratorType):
        return _variables(thing)
    if isinstance(thing, _STATEFUL) and not is_users_object(thing):
        return _pickled(thing)
    return dict(vars(thing)) if is_opaque(thing) else None


def is_kept(state: State, now: State | None) -> bool:
    """Whether all that was there in ``state`` is there ``now``, and as far as it has an order, at the same places."""
    if isinstance(state, list) and isinstance(now, list):
        return len(state) <= len(now) and all(map(_is_same, state, now))
    if isinstance(state, dict) and isinstance(now, dict):
        return state.keys() <= now.keys() and all(_is_same(x, now[key]) for key, x in state.items())
    if isinstance(state, set) and isinstance(now, set):
        return state <= now
    return state == now


def _is_same(one: Any, other: Any) -> bool:
    is_leaf = type(one) in _LEAVES and type(other) is type(one)
    return one is other or (is_leaf and repr(one) == repr(other))
