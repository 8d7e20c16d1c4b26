"""Events: marks in simulated time, with PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable

from kernbench.errors import UsageError

PS_PER_MS = 10**9


class Event:
    """A moment on the device: when everything launched before :meth:`record` was complete.

    ``complete`` waits until it is, and gives the simulated time then.
    """

    def __init__(self, complete: Callable[[], int]) -> None:
        self._complete = complete
        self._time_ps: int | None = None

    def record(self) -> None:
        """Wait for what was launched, and note the time."""
        self._time_ps = self._complete()

    def synchronize(self) -> None:
        """Nothing is left to wait for: recording waits."""

    @property
    def time_ps(self) -> int:
        """The moment, in picoseconds of simulated time."""
        if self._time_ps is None:
            raise UsageError("Event: it was not recorded; call record() first")
        return self._time_ps

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds of simulated time from here to ``end``, as in PyTorch."""
        return (end.time_ps - self.time_ps) / PS_PER_MS
