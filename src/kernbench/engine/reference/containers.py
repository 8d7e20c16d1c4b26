"""The containers of an engine: the calendar's priority queue, the releases of a queue of chunks, rows of the op log.

The one module of an engine with a body of its own for the compiler, ``containers.pyx``: what Python's containers hold
are objects, and numbers of C need not be any.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heappushpop
from struct import Struct
from struct import error as StructError
from typing import Any

N_COLUMNS = 19


class Heap:
    """Events that leave by their time, then by rank, then as they came; ``time_ps`` is that of the last that left.

    >>> heap = Heap()
    >>> for time_ps, rank, event in ((5, 1, "sooner"), (9, 0, "last"), (5, 1, "later")):
    ...     heap.push(time_ps, rank, event)
    >>> heap.pop(), heap.pop(), heap.time_ps
    ('sooner', 'later', 5)
    """

    __slots__ = ("_entries", "_newest", "_sequence", "time_ps")

    def __init__(self) -> None:
        # Any: likewise, of push().
        self._entries: list[tuple[int, int, int, Any]] = []
        # Any: likewise. Not among them yet: most pushes are followed by a pop, and both together sort once.
        self._newest: tuple[int, int, int, Any] | None = None
        self._sequence = 0
        self.time_ps = 0

    # Any: what an event is, the calendar knows.
    def push(self, time_ps: int, rank: int, event: Any) -> None:
        """Add ``event``."""
        self._sequence = sequence = self._sequence + 1
        if self._newest is not None:
            heappush(self._entries, self._newest)
        self._newest = (time_ps, rank, sequence, event)

    # Any: likewise.
    def pop(self) -> Any:
        """Take the first; None if there is none."""
        newest = self._newest
        if newest is not None:
            self._newest = None
            self.time_ps, _, _, event = heappushpop(self._entries, newest)
        elif self._entries:
            self.time_ps, _, _, event = heappop(self._entries)
        else:
            return None
        return event


class Releases(deque[tuple[int, int]]):
    """First in, first out: ``(left, time_ps)``."""

    __slots__ = ()

    def first(self) -> tuple[int, int]:
        """The first; (-1, 0) if there is none."""
        return self[0] if self else (-1, 0)


_packed_head = Struct("<14q").pack
_packed_marks = Struct("<5q").pack


class Rows(bytearray):
    """Rows of the op log, one behind the other: numbers of 64 bits, which numpy sees without a copy."""

    __slots__ = ()

    def add(
        self,
        node: int,
        op: int,
        program: int,
        command: int,
        tile: int,
        ready_ps: int,
        start_ps: int,
        end_ps: int,
        commit_ps: int,
        cause: int,
        version: int,
        va: int,
        size_bytes: int,
        work: int,
        marks: tuple[int, ...],
    ) -> None:
        """Add one.

        Raises:
            OverflowError: a number does not fit into 64 bits.
        """
        try:
            self += _packed_head(
                node,
                op,
                program,
                command,
                tile,
                ready_ps,
                start_ps,
                end_ps,
                commit_ps,
                cause,
                version,
                va,
                size_bytes,
                work,
            ) + _packed_marks(*marks)
        except StructError as error:
            raise OverflowError(str(error)) from None
