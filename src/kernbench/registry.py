"""A registry maps a versioned name to an implementation, and knows the nearest name when there is none.

A name is entered once; but a user's file that is run again (by a test, in a notebook) may enter its names again.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

from kernbench.errors import UnknownNameError, UsageError

T = TypeVar("T")
_SOURCE: ContextVar[str] = ContextVar("kernbench_source", default="")


@contextmanager
def registering_from(source: str) -> Iterator[None]:
    """What is registered meanwhile comes from the user's file ``source``."""
    token = _SOURCE.set(source)
    try:
        yield
    finally:
        _SOURCE.reset(token)


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """The cure for a misspelt or shortened ``name``: the nearest of ``names`` and the whole list.

    >>> did_you_mean("gem", ["gemm", "softmax"])
    "did you mean 'gemm'? (known: gemm, softmax)"
    >>> did_you_mean("chain", ["chain_broadcast", "ring_all_gather"])
    "did you mean 'chain_broadcast'? (known: chain_broadcast, ring_all_gather)"
    >>> did_you_mean("ring", ["ring_all_gather", "ring_allreduce"])
    '(known: ring_all_gather, ring_allreduce)'
    """
    known, asked = sorted(names), str(name)
    same = [k for k in known if k.lower() == asked.lower()]
    begun = [k for k in known if k.lower().startswith(asked.lower())]
    close = same or difflib.get_close_matches(asked, known, n=1) or (begun if len(begun) == 1 else [])
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}(known: {', '.join(known)})"


class Registry(Generic[T]):
    """Names of one kind of thing. Iterating gives the names, sorted."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._sources: dict[str, str] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator, or a call with the thing: enters it under ``name``; UsageError if the name is taken."""

        def enter(thing: T) -> T:
            source = _SOURCE.get()
            if name in self._entries and not (source and self._sources[name] == source):
                # What ships may be loaded after a user's file, and is no mistake.
                before = self._sources[name]
                place = f"{before}: " if before and not source else ""
                raise UsageError(
                    f"{place}{self.kind} {name!r} is registered already; give yours another name"
                )
            self._entries[name] = thing
            self._sources[name] = source
            return thing

        return enter

    def source(self, name: str) -> str:
        """The user's file that ``name`` was registered from; empty for what ships."""
        return self._sources[name]

    def names_from(self, source: str) -> list[str]:
        """What the user's file ``source`` registered."""
        return [name for name in self if self._sources[name] == source]

    def forget(self, source: str) -> None:
        """Free the names that the user's file ``source`` registered."""
        for name in self.names_from(source):
            del self._entries[name], self._sources[name]

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
