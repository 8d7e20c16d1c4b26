"""The result of a run: what ran, whether it is right, and what it took. Its JSON follows from its fields."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from kernbench.analysis.causes import limit_line
from kernbench.analysis.measured import Measured
from kernbench.analysis.measures import Measure
from kernbench.cpu_time import CpuParts
from kernbench.memory.watch import EarlyUse, Race, UnwrittenRead
from kernbench.records import Hidden, Written, as_json, derive, named

SCHEMA = "kernbench.run/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Whether the tensors are right; ``ok`` is None where nothing was checked, and ``unchecked`` says why."""

    ok: bool | None
    max_abs_err: float | None
    reference: str
    unchecked: Hidden[str] = ""

    @classmethod
    def none(cls, why: str) -> Check:
        """Nothing was checked."""
        return cls(ok=None, max_abs_err=None, reference="", unchecked=why)


def _if_made(check: Check) -> Check | None:
    return None if check.ok is None else check


@dataclass(frozen=True, kw_only=True, repr=False)
class _Ran:
    """What ran: the members that a run's JSON has before those of its window."""

    schema: str = field(init=False, default=SCHEMA)
    bench: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    topology: str
    mode: Literal["timed", "data", "timing"]
    iterations: int = 1


# Fields stand in the order of JSON: a dataclass has those of its last base first.
@dataclass(frozen=True, kw_only=True, repr=False)
class RunResult(Measured, _Ran):
    """What a run found, and what its last iteration held. The reference's page on a run's JSON describes the fields.

    All of the bench ran ``iterations`` times. If it measured parts of itself by name, the result is the last round of
    each of these ``measures``, added up, and ``apart`` is all else. Times are in ps of simulated time, but ``cpu_s``
    and its parts ``cpu``. ``engine`` is which one ran; None in mode ``data``, which has none;
    ``engine_because`` says why it is not the one that was wanted most.
    ``races``, ``unwritten`` and ``early_uses`` are what was found of races, of reads of bytes that nobody wrote and of
    tensors used before their asynchronous collective was waited for, where values exist. The report of a simulation is
    one too: of no ``bench``, and not checked. ``added_ops`` are the codes of
    ops that only units of this machine log. ``print`` of it is the page of ``kernbench run``.
    """

    check: Annotated[Check, Written(_if_made, Check | None)]
    unchecked: str | None = field(init=False, default=None)
    races: tuple[Race, ...] = ()
    early_uses: tuple[EarlyUse, ...] = ()
    unwritten: Annotated[tuple[UnwrittenRead, ...], named("unwritten_reads")] = ()
    measures: tuple[Measure, ...] = ()
    apart: Measured | None = None
    config_sha256: str
    engine: Literal["native", "reference"] | None = field(compare=False)  # equal runs are equal on both
    cpu_s: float = field(init=False, default=0.0, compare=False)  # of this computer: equal runs differ in it
    cpu: CpuParts = field(compare=False)
    peak_mb: float = field(compare=False)
    oplog_sha256: str
    added_ops: dict[str, int] = field(default_factory=dict)
    machine: Hidden[str]
    engine_because: Hidden[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        derive(self, unchecked=self.check.unchecked or None, cpu_s=self.cpu.run_ns / 1e9)

    @classmethod
    def of(cls, window: Measured, **ran: Any) -> RunResult:
        """The result of a run that held ``window``; ``ran`` are the other fields."""
        return cls(**{part.name: getattr(window, part.name) for part in fields(window) if part.init}, **ran)

    @property
    def limit(self) -> str:
        """One sentence on what limits the kernel, and what to do about it."""
        return "No time passes in mode 'data'." if self.mode == "data" else limit_line(self.parts)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.machine.partition(':')[0]}: {self.in_short()}>"

    def in_short(self) -> str:
        """The times, after the bench and before the verdict if there are such, in a few words."""
        times = "no time is simulated in mode data" if self.mode == "data" else super().in_short()
        if not self.bench:
            return times
        verdict = {None: "not made", True: "ok", False: "WRONG"}[self.check.ok]
        return f"{self.bench}, {times}, check {verdict}"

    def to_json(self) -> dict[str, Any]:
        """The members of schema ``kernbench.run/1``."""
        return as_json(self)


def peak_mb() -> float:
    """The most memory that the process held so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
