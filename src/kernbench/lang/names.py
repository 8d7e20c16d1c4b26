"""What the code of a function names: by itself, or by a text with which it looks something up."""

from __future__ import annotations

import dis
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from types import CodeType
from typing import Any, NamedTuple

Step = tuple[str, Any]  # an instruction and what it is about

# What looks for globals, attributes, modules and variables of the environment by their text.
_OF_NAMES = frozenset({"globals", "eval", "exec", "__globals__"})
_WITH_NAME = frozenset({"getattr", "hasattr", "setattr", "delattr"})
_OF_ATTRIBUTES = (
    _OF_NAMES
    | _WITH_NAME
    | {"vars", "dir", "attrgetter", "methodcaller", "asdict", "astuple", "format", "format_map", "dumps"}
    | {"__dict__", "__getattribute__", "__getstate__", "__match_args__"}
)
_OF_MODULES = frozenset({"modules", "import_module", "__import__"})
_OF_VARIABLES = frozenset({"environ", "getenv"})

_READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL"}
_READS_OF_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"}
_WRITES = {f"{verb}_{what}" for verb in ("STORE", "DELETE") for what in ("GLOBAL", "ATTR", "DEREF")}
_NO_STEPS = {"CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "PUSH_NULL"}


class Names(NamedTuple):
    """What code names: globals, attributes of anything, modules that it imports, its words, and what it assigns."""

    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def joined(self, *others: Names) -> Names:
        """The names of these codes together."""
        return Names(*(tuple(dict.fromkeys(chain(*each))) for each in zip(self, *others, strict=True)))

    @property
    def has_any_name(self) -> bool:
        """Whether globals are looked up by a text that is not known."""
        return self._has(_OF_NAMES)

    @property
    def has_any_attribute(self) -> bool:
        """Whether attributes are looked up by a text that is not known, or all are."""
        return self._has(_OF_ATTRIBUTES)

    @property
    def has_any_module(self) -> bool:
        """Whether modules are looked up by a text."""
        return self._has(_OF_MODULES)

    @property
    def has_any_variable(self) -> bool:
        """Whether variables of the environment are looked up."""
        return self._has(_OF_VARIABLES)

    def _has(self, some: frozenset[str]) -> bool:
        return not (some.isdisjoint(self.names) and some.isdisjoint(self.attributes))


@lru_cache(maxsize=1024)
def names_in(code: CodeType) -> Names:
    """The names in ``code`` and in the functions, classes and comprehensions within it."""
    steps = [(x.opname, x.argval) for x in dis.get_instructions(code) if x.opname not in _NO_STEPS]
    known = {at: found for at in range(len(steps)) if (found := _looked_up(steps, at)) is not None}

    def named(opnames: Collection[str]) -> tuple[str, ...]:
        return tuple(name for at, (opname, name) in enumerate(steps) if opname in opnames and at not in known)

    by_pattern = ("__match_args__",) if any(opname == "MATCH_CLASS" for opname, _ in steps) else ()
    mine = Names(
        named(_READS),
        named(_READS_OF_ATTRIBUTES) + by_pattern,
        named(_WRITES),
        named({"IMPORT_NAME"}),
        tuple(x for x in code.co_consts if isinstance(x, str) and x.isidentifier()),
    )
    inner = [names_in(part) for part in code.co_consts if isinstance(part, CodeType)]
    return mine.joined(*known.values(), *inner)


def _looked_up(steps: Sequence[Step], at: int) -> Names | None:
    """What ``steps[at]`` looks up by a text that is written there, as ``getattr(x.y, "name")`` does."""
    opname, name = steps[at]
    if opname not in _READS | _READS_OF_ATTRIBUTES or name not in _OF_ATTRIBUTES:
        return None
    after = [*steps[at + 1 : at + 12], *[("", None)] * 11]
    if name in ("eval", "exec") and _is_text(after[0]) and after[1] == ("CALL", 1):
        try:
            return names_in(compile(after[0][1], "<string>", name))
        except SyntaxError:
            return None
    if name == "globals" and after[0] == ("CALL", 0) and _is_item(after[1:]):
        return Names(names=(after[1][1],))
    if name == "__dict__" and _is_item(after):
        return Names(attributes=(after[0][1],))
    n = 1
    while after[n][0] == "LOAD_ATTR":
        n += 1
    if not after[0][0].startswith("LOAD_"):
        return None
    if name == "vars" and after[n] == ("CALL", 1) and _is_item(after[n + 1 :]):
        return Names(attributes=(after[n + 1][1],))
    n_more = n + 1 if after[n + 1][0] == "CALL" else n + 2
    is_short = n_more == n + 1 or after[n + 1][0] in ("LOAD_CONST", "LOAD_FAST", "LOAD_GLOBAL", "LOAD_DEREF")
    if name not in _WITH_NAME or not _is_text(after[n]) or not is_short or after[n_more][0] != "CALL":
        return None
    text = after[n][1]
    return Names(attributes=(text,), written=(text,) if name in ("setattr", "delattr") else ())


def _is_text(step: Step) -> bool:
    return step[0] == "LOAD_CONST" and isinstance(step[1], str)


def _is_item(steps: Sequence[Step]) -> bool:
    return _is_text(steps[0]) and steps[1][0] in ("BINARY_SUBSCR", "BINARY_OP")
