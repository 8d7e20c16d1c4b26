"""What a window of simulated time held: times, bytes, uses of units and links, and where the time went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernbench.analysis.bounds import Bound
from kernbench.analysis.causes import Parts, by_cause
from kernbench.analysis.summary import Translations, UnitUse
from kernbench.memory.watch import EarlyUse, Race, UnwrittenRead
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
    parts: Parts

    @property
    def time_ps(self) -> int:
        """Kernel time: from the first PE's start to the last one's end."""
        return self.end_ps - self.start_ps

    @property
    def breakdown(self) -> dict[str, int]:
        """The launch's kernel time by cause."""
        return by_cause(self.parts)

    def to_json(self) -> dict[str, Any]:
        """A row of ``launches`` in the JSON of a run."""
        return {
            "kernel": self.kernel,
            "grid": list(self.grid),
            "pes": list(self.pes),
            "sent_ps": self.sent_ps,
            "start_ps": self.start_ps,
            "end_ps": self.end_ps,
            "done_ps": self.done_ps,
            "breakdown": self.breakdown,
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Measured:
    """What a window of time held that was opened at ``opened_ps``; ``print`` of it is the page of ``kernbench run``.

    ``parts`` are the kernel time by cause, unit and line, and they and ``kernel_time_ps`` the sums of those of
    ``launches``; ``flops`` are those that the report was told of.
    ``races``, ``unwritten`` and ``early_uses`` are what was found of races, of reads of bytes that nobody wrote and of
    tensors used before their asynchronous collective was waited for, where values exist.
    """

    machine: str
    mode: str
    config_sha256: str
    opened_ps: int
    device_time_ps: int
    kernel_time_ps: int
    launches: tuple[MeasuredLaunch, ...]
    host_time_ps: int
    flops: int
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
    races: tuple[Race, ...] = ()
    unwritten: tuple[UnwrittenRead, ...] = ()
    early_uses: tuple[EarlyUse, ...] = ()

    @property
    def breakdown(self) -> dict[str, int]:
        """The kernel time by cause."""
        return by_cause(self.parts)

    def __str__(self) -> str:
        return PAGES["text"](self)

    def _repr_html_(self) -> str:
        """The page, as a notebook shows it."""
        return PAGES["html"](self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.machine.partition(':')[0]}: {self.in_short()}>"

    def in_short(self) -> str:
        """The times of the window in a few words."""
        if self.mode == "data":
            return "no time is simulated in mode data"
        return f"kernel time {format_ps(self.kernel_time_ps)}, device time {format_ps(self.device_time_ps)}"


def nothing_measured(machine: str, config_sha256: str) -> Measured:
    """The report of mode ``data``."""
    return Measured(
        machine=machine,
        mode="data",
        config_sha256=config_sha256,
        opened_ps=0,
        device_time_ps=0,
        kernel_time_ps=0,
        launches=(),
        host_time_ps=0,
        flops=0,
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
