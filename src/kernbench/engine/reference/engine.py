"""The calendar, and all that lives on it: what :class:`kernbench.engine.api.Engine` promises."""

from __future__ import annotations

from kernbench.engine.reference.calendar import Calendar, Signal
from kernbench.engine.reference.queue import Credits, Queue


class Engine(Calendar):
    """A calendar that makes queues, credits and signals of its own; ``tie_seed`` is for tests."""

    __slots__ = ()

    def queue(self, capacity: int | None = None, name: str = "queue") -> Queue:
        """A queue with ``capacity`` places (None: unbounded)."""
        return Queue(self, capacity, name)

    def credits(self, total: int, name: str = "credits") -> Credits:
        """A budget of ``total``, none of it taken."""
        return Credits(self, total, name)

    def signal(self) -> Signal:
        """A signal that has not fired."""
        return Signal(self)
