"""What a window of simulated time held: times, bytes, uses of units and links, and where the time went."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from kernbench.analysis.bounds import Bound
from kernbench.analysis.causes import Parts, by_cause
from kernbench.analysis.summary import Translations, UnitUse
from kernbench.records import Hidden, Written, derive
from kernbench.registry import Registry
from kernbench.units import format_ps

# How a result looks is for `reports` to say, which stands above: it enters its pages here when it is imported.
PAGES: Registry[Callable[[Any], str]] = Registry("page", "a function that gives a text", callable)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLaunch:
    """One launch of a kernel, in ps of simulated time: when it left the host, when its first PE started and its last
    one ended, when the host learnt of that; and where the time from start to end went.

    ``pes`` are the numbers of the PEs that ran its programs; ``parts`` as in :class:`Measured`.
    """

    kernel: str
    grid: tuple[int, int, int]
    pes: tuple[int, ...]
    sent_ps: int
    start_ps: int
    end_ps: int
    done_ps: int
    breakdown: dict[str, int] = field(init=False, default_factory=dict)
    parts: Hidden[Parts]

    def __post_init__(self) -> None:
        derive(self, breakdown=by_cause(self.parts))

    @property
    def time_ps(self) -> int:
        """Kernel time: from the first PE's start to the last one's end."""
        return self.end_ps - self.start_ps


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A unit in JSON."""

    node: str
    busy_ps: int
    stalled_ps: int
    utilisation: float


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link in JSON."""

    link: str
    bytes: int
    busy_ps: int
    utilisation: float


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part of the kernel time in JSON."""

    cause: str
    unit: str
    line: str | None
    op: str | None
    time_ps: int


def _unit_rows(uses: Iterable[UnitUse]) -> list[UnitRow]:
    return [UnitRow(use.node, use.busy_ps, use.stalled_ps, use.utilisation) for use in uses]


def _link_rows(uses: Iterable[UnitUse]) -> list[LinkRow]:
    return [LinkRow(use.node, use.size_bytes, use.busy_ps, use.utilisation) for use in uses]


def _part_rows(parts: Parts) -> list[PartRow]:
    rows = []
    for part, ps in parts.items():
        line, op = (None, None) if part.origin is None else (str(part.origin.line), part.origin.op)
        rows.append(PartRow(part.cause, part.unit, line, op, ps))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Measured:
    """What a window of time held that was opened at ``opened_ps``; its fields are those of a window in a run's JSON.

    ``breakdown`` is the kernel time by cause and ``parts`` by cause, unit and line; they and ``kernel_time_ps`` are the
    sums of those of ``launches``. ``flops`` are those that the report was told of, and ``bound`` is their roofline.
    """

    opened_ps: int
    device_time_ps: int
    kernel_time_ps: int
    host_time_ps: int
    launches: tuple[MeasuredLaunch, ...] = ()
    flops: int = 0
    bytes: dict[str, int] = field(default_factory=dict)
    translations: Translations = field(default_factory=Translations)
    units: Annotated[tuple[UnitUse, ...], Written(_unit_rows, list[UnitRow])] = ()
    links: Annotated[tuple[UnitUse, ...], Written(_link_rows, list[LinkRow])] = ()
    breakdown: dict[str, int] = field(init=False, default_factory=dict)
    parts: Annotated[Parts, Written(_part_rows, list[PartRow])] = field(default_factory=dict)
    device_breakdown: dict[str, int] = field(default_factory=dict)
    events: int = 0
    chunk_hops: int = 0
    bound: Hidden[Bound | None] = None

    def __post_init__(self) -> None:
        derive(self, breakdown=by_cause(self.parts))

    def __str__(self) -> str:
        return PAGES["text"](self)

    def _repr_html_(self) -> str:
        """The page, as a notebook shows it."""
        return PAGES["html"](self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.in_short()}>"

    def in_short(self) -> str:
        """The times of the window in a few words."""
        return f"kernel time {format_ps(self.kernel_time_ps)}, device time {format_ps(self.device_time_ps)}"


NOTHING_MEASURED = Measured(opened_ps=0, device_time_ps=0, kernel_time_ps=0, host_time_ps=0)
"""A window of mode ``data``, in which no time passes."""
