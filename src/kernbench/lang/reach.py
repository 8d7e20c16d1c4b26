"""What the code of a kernel reads beside its arguments, and where: globals, closures, attributes.

It is followed from function to function of the user's, and from object to object; libraries are not looked into.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache, partial
from itertools import islice
from types import CellType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from kernbench.lang.jit import KERNEL_BUILTINS, JITFunction
from kernbench.lang.source import is_users

MOST_WALKED = 256  # elements of a container that are looked through for functions
MISSING: Any = object()

_CONTAINERS = (dict, list, tuple, set, frozenset)


class Slot:
    """A place that holds the value of a name; ``is_written`` if the code of a kernel assigns it.

    ``place`` is a namespace, or the cell of a closure.
    """

    __slots__ = ("is_written", "name", "place")

    def __init__(self, place: Any, name: str, *, is_written: bool) -> None:
        self.place = place
        self.name = name
        self.is_written = is_written

    def get(self) -> Any:
        """The value, or ``MISSING``."""
        return self.place.get(self.name, MISSING)

    def set(self, value: Any) -> None:
        """Put ``value``, or nothing for ``MISSING``, in place."""
        if value is MISSING:
            self.place.pop(self.name, None)
        else:
            self.place[self.name] = value


class CellSlot(Slot):
    """A variable of an enclosing function."""

    __slots__ = ()

    def get(self) -> Any:
        """The value, or ``MISSING``."""
        cell: CellType = self.place
        try:
            return cell.cell_contents
        except ValueError:
            return MISSING

    def set(self, value: Any) -> None:
        """Put ``value``, or nothing for ``MISSING``, in place."""
        cell: CellType = self.place
        if value is MISSING:
            del cell.cell_contents
        else:
            cell.cell_contents = value


class ClassSlot(Slot):
    """An attribute of a class, whose namespace Python lets nobody write."""

    __slots__ = ()

    def get(self) -> Any:
        """The value, or ``MISSING``."""
        return vars(self.place).get(self.name, MISSING)

    def set(self, value: Any) -> None:
        """Put ``value``, or nothing for ``MISSING``, in place."""
        if value is not MISSING:
            type.__setattr__(self.place, self.name, value)
        elif self.name in vars(self.place):
            type.__delattr__(self.place, self.name)


class Reach(NamedTuple):
    """What functions read. It holds as long as the slots in ``links`` lead to the same functions and objects.

    ``attributes`` are those that the functions read of anything.
    """

    slots: tuple[Slot, ...]
    links: tuple[tuple[Slot, Any], ...]
    attributes: tuple[str, ...]
    is_lasting: bool

    def holds(self) -> bool:
        """Whether another walk would find the same."""
        return self.is_lasting and all(slot.get() is value for slot, value in self.links)


def reach_of(kernel: JITFunction) -> Reach:
    """What ``kernel`` reads, found again only when a name leads to something else."""
    known: Reach | None = kernel.reach
    if known is None or not known.holds():
        known = kernel.reach = walk(functions_in(kernel))
    return known


def walk(functions: Iterable[FunctionType]) -> Reach:
    """What ``functions`` read, and the user's functions and objects that they reach."""
    found = _Walk()
    found.follow(functions)
    return Reach(
        tuple(found.slots.values()), tuple(found.links), tuple(found.attributes), is_lasting=found.is_lasting
    )


class _Walk:
    def __init__(self) -> None:
        self.slots: dict[tuple[int, str], Slot] = {}
        self.links: list[tuple[Slot, Any]] = []
        self.attributes: dict[str, None] = {}
        self.written: set[str] = set()
        self.is_lasting = True
        self._seen: set[FunctionType] = set()
        self._objects: list[Any] = []

    def follow(self, functions: Iterable[FunctionType]) -> None:
        """Enter what ``functions`` read, and follow where that leads, until nothing new is found."""
        todo = list(functions)
        while todo:
            while todo:
                function = todo.pop()
                if function not in self._seen:
                    self._seen.add(function)
                    todo += self._enter(_slots_of(function, self._read(function)))
            # Every function that is reached may read every attribute: which object it is given, nobody knows.
            for thing in self._objects:
                todo += self._enter(list(attribute_slots(thing, self.attributes, self.written)))

    def _read(self, function: FunctionType) -> _Names:
        read = _names_in(function.__code__)
        self.attributes.update(dict.fromkeys(read.attributes))
        self.written |= read.written
        return read

    def _enter(self, slots: Iterable[Slot]) -> list[FunctionType]:
        """Enter ``slots``; the functions to which those lead that are new."""
        found: list[FunctionType] = []
        for slot in slots:
            known = self.slots.setdefault((id(slot.place), slot.name), slot)
            known.is_written |= slot.is_written
            if known is not slot:
                continue
            value = slot.get()
            leads_to = [f for f in functions_in(value) if is_users(f.__code__.co_filename)]
            is_object = isinstance(value, (ModuleType, SimpleNamespace)) or is_users_object(value)
            if leads_to or is_object:
                self.links.append((slot, value))
                self.is_lasting = self.is_lasting and not isinstance(value, _CONTAINERS)
            if is_object:
                self._objects.append(value)
            found += leads_to
        return found


def _slots_of(function: FunctionType, read: _Names) -> Iterator[Slot]:
    """The globals and closures that ``function`` names."""
    code, names = function.__code__, function.__globals__
    for name in read.names:
        if name in names or name not in KERNEL_BUILTINS:
            yield Slot(names, name, is_written=name in read.written)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield CellSlot(cell, name, is_written=name in read.written)


def attribute_slots(value: Any, attributes: Iterable[str], written: Collection[str]) -> Iterator[Slot]:
    """Those of ``attributes`` that a module, a class or an object of the user's has."""
    if isinstance(value, ModuleType):
        if not _is_users_module(value):
            return
    elif not isinstance(value, SimpleNamespace) and not is_users_object(value):
        return
    kinds = [kind for kind in _classes_of(value) if is_users_object(kind)]
    own = None if isinstance(value, type) else getattr(value, "__dict__", None)
    for name in attributes:
        holders = [kind for kind in kinds if name in vars(kind)]
        for kind in holders:
            yield ClassSlot(kind, name, is_written=name in written)
        if own is not None and (holders or name in own):  # what a class has, an object may get of its own
            yield Slot(own, name, is_written=name in written)


def _classes_of(value: Any) -> tuple[type, ...]:
    kind: type = value if isinstance(value, type) else type(value)
    return kind.__mro__


def functions_in(value: Any, depth: int = 2) -> Iterator[FunctionType]:
    """The plain functions that ``value`` is, wraps or, down to ``depth``, holds."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, JITFunction):
        yield from functions_in(value.fn)
    elif isinstance(value, partial):
        yield from functions_in(value.func)
    elif isinstance(value, (MethodType, staticmethod, classmethod)):
        yield from functions_in(value.__func__)
    elif isinstance(value, property):
        yield from functions_in(value.fget)
    elif depth and isinstance(value, _CONTAINERS):
        parts = value.values() if isinstance(value, dict) else value
        for part in islice(parts, MOST_WALKED):
            yield from functions_in(part, depth - 1)
    elif depth and is_users_object(value):
        for part in vars(_classes_of(value)[0]).values():
            yield from functions_in(part, depth - 1)


class _Names(NamedTuple):
    """What code names: globals, attributes of anything, and which of these and of its closures it assigns."""

    names: tuple[str, ...]
    attributes: tuple[str, ...]
    written: frozenset[str]


_READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}  # LOAD_NAME: in the body of a class
_READS_OF_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_WRITES = {f"{verb}_{what}" for verb in ("STORE", "DELETE") for what in ("GLOBAL", "ATTR", "DEREF")}


@lru_cache(maxsize=1024)
def _names_in(code: CodeType) -> _Names:
    """The names in ``code`` and in the functions, classes and comprehensions within it."""
    steps = [(step.opname, step.argval) for step in dis.get_instructions(code)]
    inner = [_names_in(part) for part in code.co_consts if isinstance(part, CodeType)]

    def named(opnames: set[str], attribute: str) -> dict[str, None]:
        mine = [name for opname, name in steps if opname in opnames]
        return dict.fromkeys([*mine, *(name for names in inner for name in getattr(names, attribute))])

    return _Names(
        tuple(named(_READS, "names")),
        tuple(named(_READS_OF_ATTRIBUTES, "attributes")),
        frozenset(named(_WRITES, "written")),
    )


def _is_users_module(module: ModuleType | None) -> bool:
    path = getattr(module, "__file__", None)
    return module is not None and (module.__name__ == "__main__" or (path is not None and is_users(path)))


def is_users_object(value: Any) -> bool:
    """Whether ``value`` is a class of the user's, or of one."""
    return _is_users_module(sys.modules.get(_classes_of(value)[0].__module__))
