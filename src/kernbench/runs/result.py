"""The result of running a bench: what ran, whether it is right, and what it took."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kernbench.analysis.measured import Measured
from kernbench.analysis.measures import Measure

SCHEMA = "kernbench.run/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Whether the tensors are right; ``ok`` is None where nothing was checked, and ``unchecked`` says why."""

    ok: bool | None
    max_abs_err: float | None
    reference: str
    unchecked: str = ""

    @classmethod
    def none(cls, why: str) -> Check:
        """Nothing was checked."""
        return cls(ok=None, max_abs_err=None, reference="", unchecked=why)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RunResult(Measured):
    """What a run found, and what its last iteration held. The reference's page on a run's JSON describes the fields.

    All of the bench ran ``iterations`` times. If it measured parts of itself by name, the result is the last round of
    each of these ``measures``, added up, and ``apart`` is all else. Times are in ps of simulated time, but ``cpu_s``.
    """

    bench: str
    params: dict[str, Any]
    topology: str
    check: Check
    cpu_s: float
    peak_mb: float
    iterations: int = 1
    measures: tuple[Measure, ...] = ()
    apart: Measured | None = None

    def in_short(self) -> str:
        """The bench, its times and the verdict in a few words."""
        verdict = {None: "not made", True: "ok", False: "WRONG"}[self.check.ok]
        # Not super(): with slots, dataclass makes the class anew, and super() would look for it in vain.
        return f"{self.bench}, {Measured.in_short(self)}, check {verdict}"

    def to_json(self) -> dict[str, Any]:
        """The fields of schema ``kernbench.run/1``."""
        check = {
            "ok": self.check.ok,
            "max_abs_err": self.check.max_abs_err,
            "reference": self.check.reference,
        }
        return {
            "schema": SCHEMA,
            "bench": self.bench,
            "params": self.params,
            "topology": self.topology,
            "mode": self.mode,
            "iterations": self.iterations,
            **window_json(self),
            "check": None if self.check.ok is None else check,
            "unchecked": self.check.unchecked or None,
            "races": [race.to_json() for race in self.races],
            "early_uses": [use.to_json() for use in self.early_uses],
            "unwritten_reads": [read.to_json() for read in self.unwritten],
            "measures": [_measure_json(measure) for measure in self.measures],
            "apart": None if self.apart is None else window_json(self.apart),
            "config_sha256": self.config_sha256,
            "cpu_s": self.cpu_s,
            "peak_mb": self.peak_mb,
            "oplog_sha256": self.oplog_sha256,
        }


def window_json(window: Measured) -> dict[str, Any]:
    """What a window held, as the JSON of a run has it."""
    return {
        "opened_ps": window.opened_ps,
        "device_time_ps": window.device_time_ps,
        "kernel_time_ps": window.kernel_time_ps,
        "host_time_ps": window.host_time_ps,
        "launches": [launch.to_json() for launch in window.launches],
        "flops": window.flops,
        "bytes": window.bytes,
        "translations": window.translations._asdict(),
        "units": [
            {
                "node": unit.node,
                "busy_ps": unit.busy_ps,
                "stalled_ps": unit.stalled_ps,
                "utilisation": unit.utilisation,
            }
            for unit in window.units
        ],
        "links": [
            {
                "link": link.node,
                "bytes": link.size_bytes,
                "busy_ps": link.busy_ps,
                "utilisation": link.utilisation,
            }
            for link in window.links
        ],
        "breakdown": window.breakdown,
        "parts": [part.to_json() | {"time_ps": ps} for part, ps in window.parts.items()],
        "device_breakdown": window.device_breakdown,
        "events": window.events,
        "chunk_hops": window.chunk_hops,
    }


def _measure_json(measure: Measure) -> dict[str, Any]:
    return {
        "name": measure.name,
        "rounds": [asdict(one) for one in measure.rounds],
        "first": window_json(measure.first),
        "last": window_json(measure.last),
    }
