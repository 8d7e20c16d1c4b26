"""A registry maps a versioned name to an implementation, and knows the nearest name when there is none."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from kernbench.errors import UnknownNameError

T = TypeVar("T")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The cure for a misspelt ``name``: the nearest of ``names`` and the whole list.

    >>> did_you_mean("gem", ["gemm", "softmax"])
    "did you mean 'gemm'? (known: gemm, softmax)"
    """
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}(known: {', '.join(known)})"


class Registry(Generic[T]):
    """Names of one kind of thing. Iterating gives the names, sorted."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator, or a call with the thing: enters it under ``name``; a name is entered once."""

        def enter(thing: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = thing
            return thing

        return enter

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise UnknownNameError(f"unknown {self.kind} {name!r}; {did_you_mean(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
