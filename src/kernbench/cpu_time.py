"""What the CPU time of a process goes to: one part of a run at a time, so that the parts together are all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from time import perf_counter_ns, process_time_ns

START, CONFIGURATION, LANGUAGE, MACHINE, VALUES, REPORT = range(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuParts:
    """CPU time by part, ns: their sum is all that the process used, in whichever of its threads.

    >>> parts = CpuParts(
    ...     start_ns=400, configuration_ns=90, language_ns=50, machine_ns=800, values_ns=60, report_ns=30
    ... )
    >>> parts.total_ns, parts.run_ns
    (1430, 1030)
    """

    start_ns: int
    configuration_ns: int
    language_ns: int
    machine_ns: int
    values_ns: int
    report_ns: int

    @property
    def run_ns(self) -> int:
        """All but the start."""
        return self.configuration_ns + self.language_ns + self.machine_ns + self.values_ns + self.report_ns

    @property
    def total_ns(self) -> int:
        """All of it."""
        return self.start_ns + self.run_ns

    def reported(self, ns: int) -> CpuParts:
        """These parts, and so much more for the report."""
        return replace(self, report_ns=self.report_ns + ns)


class CpuTime:
    """Books CPU time to one part of a run at a time, from now on; ``since_ns`` 0 is the start of the process.

    What nobody enters is the host's program, whose tensors belong to the values. What alternates too often for a
    clock of CPU time, a reading of which is a call of the system, is told apart by wall time: whoever computes values
    in the middle of another part adds how long that took to ``values_wall_ns``.

    >>> cpu = CpuTime()
    >>> with cpu.on(REPORT):
    ...     text = str(10**1000)
    >>> parts = cpu.parts()
    >>> parts.total_ns == parts.values_ns + parts.report_ns
    True
    """

    __slots__ = ("_booked_ns", "_part", "_since_ns", "_since_wall_ns", "values_wall_ns")

    def __init__(self, part: int = VALUES, since_ns: int | None = None) -> None:
        self._part = part
        self._since_ns = process_time_ns() if since_ns is None else since_ns
        self._since_wall_ns = perf_counter_ns()
        self.values_wall_ns = 0
        self._booked_ns = [0] * (REPORT + 1)

    def enter(self, part: int) -> int:
        """Book to ``part`` from now on; gives the part before, to go back to. Costs about 1 us."""
        now_ns, wall_ns = process_time_ns(), perf_counter_ns()
        before, used_ns = self._part, now_ns - self._since_ns
        if self.values_wall_ns:
            passed_ns = max(wall_ns - self._since_wall_ns, self.values_wall_ns)
            of_values_ns = used_ns * self.values_wall_ns // passed_ns
            self._booked_ns[VALUES] += of_values_ns
            used_ns -= of_values_ns
            self.values_wall_ns = 0
        self._booked_ns[before] += used_ns
        self._since_ns, self._since_wall_ns, self._part = now_ns, wall_ns, part
        return before

    @contextmanager
    def on(self, part: int) -> Iterator[None]:
        """Book to ``part`` within the ``with``, and then to the part before again."""
        before = self.enter(part)
        try:
            yield
        finally:
            self.enter(before)

    def parts(self) -> CpuParts:
        """What was used up to now."""
        self.enter(self._part)
        start, configuration, language, machine, values, report = self._booked_ns
        return CpuParts(
            start_ns=start,
            configuration_ns=configuration,
            language_ns=language,
            machine_ns=machine,
            values_ns=values,
            report_ns=report,
        )


_in_force: ContextVar[CpuTime | None] = ContextVar("cpu time in force", default=None)


def in_force() -> CpuTime:
    """The books of the run around, or new ones."""
    return _in_force.get() or CpuTime()


@contextmanager
def booked(part: int) -> Iterator[CpuTime]:
    """Book to ``part`` within the ``with``: in the books in force or, without any, in new ones, in force within."""
    books = _in_force.get()
    if books is None:
        with _put_in_force(CpuTime()) as books, books.on(part):
            yield books
    else:
        with books.on(part):
            yield books


@contextmanager
def booked_since_start() -> Iterator[None]:
    """Book all that the process has used, and will use within the ``with``, to its start, until a part is entered."""
    with _put_in_force(CpuTime(START, since_ns=0)):
        yield


@contextmanager
def _put_in_force(books: CpuTime) -> Iterator[CpuTime]:
    token = _in_force.set(books)
    try:
        yield books
    finally:
        _in_force.reset(token)
