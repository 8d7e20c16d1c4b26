"""Where the time of a unit went: busy, stalled, idle."""

from __future__ import annotations


class Meter:
    """Time a unit was busy, stalled (by cause) and idle, each counted where it is spent."""

    __slots__ = ("busy_ps", "idle_ps", "stalled_ps")

    def __init__(self) -> None:
        self.busy_ps = 0
        self.idle_ps = 0
        self.stalled_ps: dict[str, int] = {}

    def stall(self, cause: str, spent_ps: int) -> None:
        """Add ``spent_ps`` of waiting for ``cause``."""
        if spent_ps:
            self.stalled_ps[cause] = self.stalled_ps.get(cause, 0) + spent_ps
