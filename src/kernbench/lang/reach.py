"""What the code of a kernel reads beside its arguments, and where: globals, closures, attributes.

It is followed from function to function of the user's, and from object to object; libraries are not looked into.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import CellType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from kernbench.lang.held import (
    INHERITED,
    Held,
    classes_of,
    held_in,
    is_object,
    is_plain,
    is_users_module,
    is_users_object,
    state_of,
    unnamed_calls,
)
from kernbench.lang.jit import KERNEL_BUILTINS, JITFunction
from kernbench.lang.names import Names, names_in

MISSING: Any = object()
_DOES = ("__code__", "__defaults__", "__kwdefaults__")  # attributes of a function that say what it does


class Binding:
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


class CellBinding(Binding):
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


class ClassBinding(Binding):
    """An attribute of a class, whose namespace Python lets nobody write."""

    __slots__ = ()

    def get(self) -> Any:
        """The value, or ``MISSING``."""
        return vars(self.place).get(self.name, MISSING)

    def set(self, value: Any) -> None:
        """Put ``value``, or nothing for ``MISSING``, in place."""
        if value is not MISSING:  # past a metaclass, which may refuse, or do more than that
            type.__setattr__(self.place, self.name, value)
        elif self.name in vars(self.place):
            type.__delattr__(self.place, self.name)


class MemberBinding(Binding):
    """An attribute that an object keeps by itself: one in ``__slots__``; the code of a function, or its defaults."""

    __slots__ = ()

    def get(self) -> Any:
        """The value, or ``MISSING``."""
        try:
            return object.__getattribute__(self.place, self.name)
        except AttributeError:
            return MISSING

    def set(self, value: Any) -> None:
        """Put ``value``, or nothing for ``MISSING``, in place."""
        if value is not MISSING:  # past the class: a frozen dataclass refuses
            object.__setattr__(self.place, self.name, value)
        elif self.get() is not MISSING:
            object.__delattr__(self.place, self.name)


class VariableBinding(Binding):
    """A variable of the environment, whose text is made anew whenever it is read."""

    __slots__ = ()

    def get(self) -> Any:
        """The value, or ``MISSING``."""
        text = os.environ.get(self.name)
        return MISSING if text is None else sys.intern(text)  # an equal text is then the same one


class Namespace(NamedTuple):
    """A namespace with its ``names``, of which another one that appears is a slot of ``kind`` in ``place``."""

    kind: type[Binding]
    place: Any
    names: frozenset[str]

    @property
    def now(self) -> Mapping[str, Any]:
        """The namespace."""
        names: Mapping[str, Any] = vars(self.place) if self.kind is ClassBinding else self.place
        return names


class Reach:
    """What functions read: ``slots``, ``values`` that were in them (None for a plain one, which need not be kept), and
    what those hold, by the slot's number.

    ``given`` is what the functions hold beside that (defaults), ``watched`` what of all this may change in place,
    ``objects`` is whose attributes they may read, ``spaces`` where another name would be another slot.
    """

    def __init__(self, functions: Iterable[FunctionType], held: Held, known: Reach | None = None) -> None:
        """Find what ``functions`` and those in ``held`` read and reach, beside what is ``known``."""
        self.slots: list[Binding] = [] if known is None else list(known.slots)
        self.values: list[Any] = [] if known is None else list(known.values)
        self.held: dict[int, Held] = {} if known is None else dict(known.held)
        self.given: Held = list(held) if known is None else list(known.given)
        self.objects: list[Any] = [] if known is None else list(known.objects)
        self._names: Names = Names() if known is None else known._names
        # Ids are safe here: each place is kept alive by its slot, each object by the list.
        self._numbers = {(id(slot.place), slot.name): number for number, slot in enumerate(self.slots)}
        self._seen = {id(thing) for thing in self.objects}
        self.spaces: dict[int, Namespace] = {} if known is None else dict(known.spaces)
        self._follow([*functions, *self._new_in(held)])
        self.watched = [
            (path, thing)
            for path, thing in chain(self.given, *self.held.values())
            if state_of(thing) is not None
        ]

    def holds(self, values: Sequence[Any]) -> bool:
        """Whether the same would be found again now that the slots have ``values``."""
        for value, before in zip(values, self.values, strict=True):
            # A counter that the host moves between launches leads nowhere: no reason to search again.
            if value is not before and not (is_plain(type(value)) and is_plain(type(before))):
                return False
        if any(space.names != space.now.keys() for space in self.spaces.values()):
            return False
        return all(_are_same(held, held_in(values[number])) for number, held in self.held.items())

    @property
    def looks_up(self) -> bool:
        """Whether attributes, or globals, are looked up by texts that are not known, so that any may be meant."""
        return self._names.has_any_attribute

    def may_read(self, name: str) -> bool:
        """Whether the functions may read an attribute, or a name that they look for by its text, of this ``name``."""
        return name in self._names.attributes or name in self._names.words or self.looks_up

    def _follow(self, todo: list[FunctionType]) -> None:
        is_begun = False  # objects that only arguments hold are looked into without any function
        while todo or not is_begun:
            is_begun = True
            while todo:
                function = todo.pop()
                read = names_in(function.__code__)
                self._names = self._names.joined(read)
                todo += self._new_in([("", module) for module in _imported(read)])
                todo += self._enter(MemberBinding(function, name, is_written=False) for name in _DOES)
                todo += self._enter(self._slots_of(function, read))
            # Every function that is reached may read every attribute: which object it is given, nobody knows.
            for thing in self.objects:
                todo += self._enter(self._attributes_of(thing))
        if self._names.has_any_variable or id(os.environ) in self._seen:
            self._enter_space(VariableBinding, os.environ, os.environ)
            variables = dict.fromkeys(chain(os.environ, self._names.words))
            self._enter(VariableBinding(os.environ, name, is_written=False) for name in variables)

    def _new_in(self, held: Held) -> list[FunctionType]:
        """Note what is new in ``held``, and the functions of objects' classes; the functions among it."""
        found: list[FunctionType] = []
        todo = list(held)
        while todo:
            _, thing = todo.pop()
            if id(thing) in self._seen or not (is_object(thing) or thing is os.environ):
                continue
            self._seen.add(id(thing))
            self.objects.append(thing)
            if isinstance(thing, FunctionType):
                found.append(thing)
            inner = [pair for code in unnamed_calls(thing) for pair in held_in(code)]
            self.given += inner
            todo += inner
        return found

    def _enter(self, slots: Iterable[Binding]) -> list[FunctionType]:
        """Enter ``slots``; the functions to which those lead that are new."""
        found: list[FunctionType] = []
        for slot in slots:
            number = self._numbers.setdefault((id(slot.place), slot.name), len(self.slots))
            if number < len(self.slots):
                self.slots[number].is_written |= slot.is_written
                continue
            value = slot.get()
            self.slots.append(slot)
            self.values.append(None if is_plain(type(value)) else value)
            held = [] if is_number(value) else held_in(value, slot.name)
            if len(held) > 1 or (held and state_of(value) is not None):
                self.held[number] = held
            found += self._new_in(held)
        return found

    def _slots_of(self, function: FunctionType, read: Names) -> Iterator[Binding]:
        """The globals and closures that ``function`` names."""
        names = function.__globals__
        if read.has_any_name:
            self._enter_space(Binding, names, names)
        for name in [*names] if read.has_any_name else read.names:
            if (name in names or name not in KERNEL_BUILTINS) and not _is_pythons(name):
                yield Binding(names, name, is_written=self._writes(name))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield CellBinding(cell, name, is_written=self._writes(name))

    def _attributes_of(self, thing: Any) -> Iterator[Binding]:
        """The attributes of a module, a class or an object of the user's that functions name."""
        kinds = [kind for kind in classes_of(thing) if is_users_object(kind)]
        own = None if isinstance(thing, type) else getattr(thing, "__dict__", None)
        for kind in kinds:
            self._enter_space(ClassBinding, kind, vars(kind))
        if own is not None:
            self._enter_space(Binding, own, own)
        names: Iterable[str] = self._names.attributes
        if self.looks_up or isinstance(thing, INHERITED):
            names = dict.fromkeys(chain(own or (), *map(vars, kinds)))
        for name in names:
            if _is_pythons(name):
                continue
            holders = [kind for kind in kinds if name in vars(kind)]
            if holders and isinstance(vars(holders[0])[name], MemberDescriptorType):
                if not isinstance(thing, type):
                    yield MemberBinding(thing, name, is_written=self._writes(name))
                continue
            for kind in holders:
                yield ClassBinding(kind, name, is_written=self._writes(name))
            if own is not None and (holders or name in own):  # what a class has, an object may get of its own
                yield Binding(own, name, is_written=self._writes(name))

    def _enter_space(self, kind: type[Binding], place: Any, names: Iterable[str]) -> None:
        self.spaces[id(place)] = Namespace(kind, place, frozenset(names))

    def _writes(self, name: str) -> bool:
        return name in self._names.written or self.looks_up


def reach_of(kernel: JITFunction) -> tuple[Reach, list[Any]]:
    """What ``kernel`` reads, found again only when a name leads to something else, and its values now."""
    known: Reach | None = kernel.reach
    if known is not None:
        values = [slot.get() for slot in known.slots]
        if known.holds(values):
            return known, values
    functions = [kernel.fn] if isinstance(kernel.fn, FunctionType) else []
    known = kernel.reach = Reach(functions, held_in(kernel))
    return known, [slot.get() for slot in known.slots]


def _imported(names: Names) -> list[ModuleType]:
    """The user's modules that code imports, or may look up."""
    if not names.modules and not names.has_any_module:
        return []
    ends = tuple(f".{name}" for name in names.modules)  # `from . import b` says b alone
    return [
        module
        for name, module in list(sys.modules.items())
        if (names.has_any_module or name in names.modules or name.endswith(ends)) and is_users_module(module)
    ]


def _are_same(held: Held, other: Held) -> bool:
    return len(held) == len(other) and all(one is two for (_, one), (_, two) in zip(held, other, strict=True))


def is_number(value: Any) -> bool:
    """Whether ``value`` is an array of no dimensions, which is a number that may change in place."""
    return type(value) is np.ndarray and not value.ndim


def _is_pythons(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
