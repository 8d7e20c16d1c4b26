"""What a process may wait for besides time: places in a queue, and credits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from kernbench.engine.reference.calendar import DONE, PARKED, Calendar, Process, Wait, refuse_if_beyond


class _Put(Wait):
    """A put that found the queue full; it waits with its item."""

    __slots__ = ("item", "queue")

    def __init__(self, queue: Queue, item: object) -> None:
        self.queue = queue
        self.item = item

    def wait(self, process: Process) -> object:
        """Park: the queue was full when this was made, in this same step."""
        self.queue.putters.append((process, self.item))
        return PARKED


UNBOUNDED = 1 << 62  # places

# One for all: a deque takes 624 bytes, and most queues never hold an item.
_EMPTY: deque[Any] = deque(maxlen=0)  # Any: of whatever api.Queue was asked for


class Queue(Wait):
    """First in, first out, with ``capacity`` places (None: unbounded).

    ``yield queue.get()`` gives the next item; ``yield queue.put(x)`` waits for a place. Both are served in the
    order they were asked.
    """

    __slots__ = ("calendar", "capacity", "getters", "items", "name", "putters", "room")

    def __init__(self, calendar: Calendar, capacity: int | None = None, name: str = "queue") -> None:
        self.calendar = calendar
        refuse_if_beyond(capacity or 0)
        self.capacity = capacity
        self.room = UNBOUNDED if capacity is None else capacity  # places left
        self.name = name
        self.items = _EMPTY
        self.getters: list[Process] = []
        self.putters: list[tuple[Process, object]] = []

    def __len__(self) -> int:
        return len(self.items)

    # Any: likewise.
    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def get(self) -> Queue:
        """What to yield for the next item."""
        return self

    def wait(self, process: Process) -> object:
        """Answer a ``get``."""
        items = self.items
        if not items:
            self.getters.append(process)
            return PARKED
        item = items.popleft()
        # Its place belongs to who waited longest for one; whoever puts now stands behind.
        if self.putters:
            putter, waiting = self.putters.pop(0)
            items.append(waiting)
            self.calendar.wake(putter, None)
        else:
            self.room += 1
        return item

    def put(self, item: object) -> Wait:
        """What to yield to append ``item``; when there is a place, it is appended by the call itself."""
        if self.getters:
            self.calendar.wake(self.getters.pop(0), item)
            return DONE
        if not self.room:
            return _Put(self, item)
        self.room -= 1
        if self.items is _EMPTY:
            self.items = deque()
        self.items.append(item)
        return DONE

    def try_put(self, item: object) -> bool:
        """Append ``item`` if there is a place now."""
        return self.put(item) is DONE


class Credits:
    """A budget of ``total`` units (bytes, slots): ``yield credits.take(n)``, then ``credits.give(n)``.

    Takers are served in order; one that asks for more than ``total`` could never be served and is refused.
    """

    __slots__ = ("calendar", "free", "name", "takers", "total")

    def __init__(self, calendar: Calendar, total: int, name: str = "credits") -> None:
        refuse_if_beyond(total)
        self.calendar = calendar
        self.total = total
        self.free = total
        self.name = name
        self.takers: list[tuple[Process, int]] = []

    def resize(self, total: int) -> None:
        """Make the budget ``total``, while nothing is taken."""
        refuse_if_beyond(total)
        if self.free != self.total or total < 0:
            raise AssertionError(f"{self.name}: {self.free} of {self.total} free, to become {total}")
        self.total = self.free = total

    def wanted(self) -> list[int]:
        """What each taker that waits has asked for, in order."""
        return [n for _, n in self.takers]

    def take(self, n: int) -> Wait:
        """What to yield to take ``n``."""
        if n > self.total:
            refuse_if_beyond(n)
            raise AssertionError(f"{self.name}: {n} asked of {self.total}")
        if not self.takers and self.free >= n:
            self.free -= n
            return DONE
        return _Take(self, n)

    def try_take(self, n: int) -> bool:
        """Take ``n`` if nobody has to wait for that."""
        if self.takers or self.free < n:
            refuse_if_beyond(n)
            return False
        self.free -= n
        return True

    def give(self, n: int) -> None:
        """Return ``n`` and serve who waits."""
        self.free += n
        if self.free > self.total:
            refuse_if_beyond(n)
            raise AssertionError(f"{self.name}: {self.free} free of {self.total}")
        while self.takers and self.takers[0][1] <= self.free:
            process, wanted = self.takers.pop(0)
            self.free -= wanted
            self.calendar.wake(process, None)


class _Take(Wait):
    """A take that found too little; it waits."""

    __slots__ = ("credits", "n")

    def __init__(self, credits_: Credits, n: int) -> None:
        self.credits = credits_
        self.n = n

    def wait(self, process: Process) -> object:
        """Park behind those who asked before."""
        self.credits.takers.append((process, self.n))
        return PARKED
