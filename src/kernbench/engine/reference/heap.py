"""The priority queue of the calendar: tuples that begin with three whole numbers, the least of them first.

The one module of an engine with a body of its own for the compiler, ``heap.pyx``: Python's heap compares tuples by
comparing objects, and a compiled one need not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any

# Any: a call and the argument that fits it, or None and a process.
Entry = tuple[int, int, int, Any, Any]
"""Time, rank, sequence, and what shall happen then."""


class Heap:
    """Entries that leave in their order, whatever the order in which they came.

    >>> heap = Heap()
    >>> for entry in ((5, 1, 2, None, "later"), (5, 1, 1, None, "sooner"), (9, 0, 3, None, "last")):
    ...     heap.push(entry)
    >>> heap.pop()
    (5, 1, 1, None, 'sooner')
    """

    __slots__ = ("pop", "push")

    def __init__(self) -> None:
        # Bound once: a method of ours around each of them would cost as much again.
        entries: list[Entry] = []
        self.push: Callable[[Entry], None] = partial(heappush, entries)
        self.pop: Callable[[], Entry] = partial(heappop, entries)
        """Take the first; IndexError if there is none."""
