"""What a program measures by name: round by round, the first with cold TLBs; and windows added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kernbench.analysis.causes import DEVICE_CAUSES, total
from kernbench.analysis.measured import Measured
from kernbench.analysis.summary import Translations, UnitUse

_SUMMED = ("device_time_ps", "kernel_time_ps", "host_time_ps", "flops", "events", "chunk_hops")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """When one round of a measure began, and how long it took, in ps, as in :class:`Measured`."""

    opened_ps: int
    device_time_ps: int
    kernel_time_ps: int
    host_time_ps: int

    @classmethod
    def of(cls, measured: Measured) -> Round:
        """The measure of a window."""
        return cls(
            opened_ps=measured.opened_ps,
            device_time_ps=measured.device_time_ps,
            kernel_time_ps=measured.kernel_time_ps,
            host_time_ps=measured.host_time_ps,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a program measured under one name: how long each round took, and all of the first and the last one.

    Before the first round the TLBs are cold for all that it touches first; later ones are warm.
    """

    name: str
    rounds: tuple[Round, ...]
    first: Measured
    last: Measured

    @property
    def is_warm(self) -> bool:
        """Whether another round came before the last one."""
        return len(self.rounds) > 1

    def then(self, measured: Measured) -> Measure:
        """This measure with one round more."""
        return replace(self, rounds=(*self.rounds, Round.of(measured)), last=measured)


def begun(name: str, measured: Measured) -> Measure:
    """A measure of one round."""
    return Measure(name=name, rounds=(Round.of(measured),), first=measured, last=measured)


def added(windows: Sequence[Measured]) -> Measured:
    """Several windows of one machine as one: times, bytes and counts are summed, launches stand one behind the other.

    It has no bound, unless it is one window.
    """
    if len(windows) == 1:
        return windows[0]

    totals: dict[str, Any] = {name: sum(getattr(window, name) for window in windows) for name in _SUMMED}
    return Measured(
        opened_ps=windows[0].opened_ps,
        launches=tuple(launch for window in windows for launch in window.launches),
        bytes={level: sum(window.bytes[level] for window in windows) for level in windows[-1].bytes},
        translations=sum((window.translations for window in windows), Translations()),
        units=_uses(windows, [window.units for window in windows]),
        links=_uses(windows, [window.links for window in windows]),
        parts=total(launch.parts for window in windows for launch in window.launches),
        device_breakdown={
            cause: ps
            for cause in DEVICE_CAUSES
            if (ps := sum(window.device_breakdown.get(cause, 0) for window in windows))
        },
        **totals,
    )


def _uses(windows: Sequence[Measured], uses: Iterable[Iterable[UnitUse]]) -> tuple[UnitUse, ...]:
    """One row for each unit or link that any window has, in the order of the first that has it."""
    window_ps = sum(window.device_time_ps for window in windows)
    by_node: dict[str, list[UnitUse]] = {}
    for rows in uses:
        for use in rows:
            by_node.setdefault(use.node, []).append(use)
    return tuple(
        replace(
            rows[0],
            window_ps=window_ps,
            busy_ps=sum(use.busy_ps for use in rows),
            stalls=dict(sum((Counter(use.stalls) for use in rows), Counter())),
            size_bytes=sum(use.size_bytes for use in rows),
        )
        for rows in by_node.values()
    )
