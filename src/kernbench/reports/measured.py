"""What a window of simulated time held: times, bytes, uses of units and links, and where the time went."""

from __future__ import annotations

from dataclasses import dataclass

from kernbench.reports.bounds import Bound
from kernbench.reports.causes import Parts, by_cause
from kernbench.reports.summary import Translations, UnitUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a window held. ``parts`` are the kernel time by cause, unit and line."""

    device_time_ps: int
    kernel_time_ps: int
    host_time_ps: int
    bytes: dict[str, int]
    translations: Translations
    units: tuple[UnitUse, ...]
    links: tuple[UnitUse, ...]
    parts: Parts
    device_breakdown: dict[str, int]
    bound: Bound | None
    limit: str
    events: int
    chunk_hops: int
    oplog_sha256: str

    @property
    def breakdown(self) -> dict[str, int]:
        """The kernel time by cause."""
        return by_cause(self.parts)


NOTHING_MEASURED = Measured(
    device_time_ps=0,
    kernel_time_ps=0,
    host_time_ps=0,
    bytes={},
    translations=Translations(),
    units=(),
    links=(),
    parts={},
    device_breakdown={},
    bound=None,
    limit="No time passes in mode 'data'.",
    events=0,
    chunk_hops=0,
    oplog_sha256="",
)
