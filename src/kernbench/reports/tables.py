"""Numbers of a run as short texts and rows; pure, for whoever lays them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from kernbench.analysis.summary import UnitUse
from kernbench.config.schema import TopologySpec
from kernbench.theory.peaks import LevelPeak, Peaks
from kernbench.topology.levels import levels_of, size_in_words
from kernbench.units import Rate, format_bytes, format_ps, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class KindUse:
    """How busy the units of one kind were: the mean over ``n_units``, and the busiest one."""

    kind: str
    n_units: int
    mean: float
    max: float
    busiest: str


def use_by_kind(units: Iterable[UnitUse]) -> tuple[KindUse, ...]:
    """One row per kind of unit that did anything, the busiest kind first."""
    by_kind: dict[str, list[UnitUse]] = {}
    for unit in units:
        by_kind.setdefault(unit.kind, []).append(unit)
    rows = [_kind_use(kind, members) for kind, members in by_kind.items()]
    return tuple(sorted((row for row in rows if row.max > 0), key=lambda row: (-row.max, row.kind)))


def _kind_use(kind: str, members: Sequence[UnitUse]) -> KindUse:
    busiest = max(members, key=lambda unit: unit.utilisation)
    mean = sum(unit.utilisation for unit in members) / len(members)
    return KindUse(kind=kind, n_units=len(members), mean=mean, max=busiest.utilisation, busiest=busiest.node)


def share_rows(parts: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """``(cause, time, share of the sum)`` of times in ps, the longest first, without those of none.

    >>> share_rows({"launch": 500, "copies": 1500, "idle": 0})
    [('copies', '1.5 ns', '75 %'), ('launch', '0.5 ns', '25 %')]
    """
    total_ps = sum(parts.values())
    longest_first = sorted((item for item in parts.items() if item[1]), key=lambda item: -item[1])
    return [(cause, format_ps(ps), percent(ps / total_ps)) for cause, ps in longest_first]


def flops_rate(flops: int, time_ps: int) -> str:
    """``flops`` in ``time_ps`` as a rate.

    >>> flops_rate(2 * 1024**3, 27_310_000), flops_rate(1000, 8_000)
    ('78.6 TFLOP/s', '125 GFLOP/s')
    """
    tera = flops / time_ps
    return f"{tera:.3g} TFLOP/s" if tera >= 1 else f"{1000 * tera:.3g} GFLOP/s"


def sizes(parts: Mapping[str, int]) -> str:
    """Bytes by name, in one line.

    >>> sizes({"hbm": 12 << 20, "pcie": 100})
    'hbm 12 MiB, pcie 100 B'
    """
    return ", ".join(f"{name} {format_bytes(size)}" for name, size in parts.items())


def settings(values: Mapping[str, object]) -> str:
    """``name=value`` of each.

    >>> settings({"m": 1024, "dtype": "fp16"})
    'm=1024 dtype=fp16'
    """
    return " ".join(f"{name}={value}" for name, value in values.items())


def number_ranges(numbers: Iterable[int]) -> str:
    """Numbers in ascending order, those that follow on each other as a range.

    >>> number_ranges((0, 1, 2, 3, 6, 8, 9))
    '0-3, 6, 8-9'
    """
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda item: item[1] - item[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def machine(spec: TopologySpec) -> str:
    """How many of what: ``2 SIPs x 4 cubes x 16 PEs = 128 PEs``."""
    return size_in_words(levels_of(spec))


def peak_rows(peaks: Peaks) -> list[tuple[str, str]]:
    """``(what, how much)`` of a machine's bounds, without what the machine does not have."""
    levels = (
        ("HBM of a cube", peaks.cube_hbm, 1),
        ("HBM of all cubes", peaks.cube_hbm, peaks.n_cubes),
        ("SRAM of a cube", peaks.cube_sram, 1),
        ("TCM of a PE, reading", peaks.tcm_read, 1),
        ("network port of a PE", peaks.niu, 1),
        ("mesh bisection of a cube", peaks.bisection, 1),
        ("UCIe port", peaks.ucie_port, 1),
        ("IO NoC link", peaks.io_noc, 1),
        ("host link of a SIP", peaks.host, 1),
        ("link to other SIPs", peaks.sip_link, 1),
    )
    rows = [(name, _level(level, n)) for name, level, n in levels if level is not None]
    return [
        ("fp16, all PEs", _tera(peaks.system_flops_per_ns)),
        ("fp16 of a cube", _tera(peaks.cube_flops_per_ns)),
        ("fp16 of a PE", _tera(peaks.pe_flops_per_ns)),
        *rows[:2],
        ("ridge of a cube", f"{float(peaks.ridge):.4g} FLOP per HBM byte that can be reached"),
        *rows[2:],
    ]


def _level(level: LevelPeak, n: int) -> str:
    """What ``n`` of a level give, and can be reached."""
    rate = _rate(level.rate.scaled(n))
    if level.reachable == level.rate:
        return rate
    return f"{rate}, of which {_rate(level.reachable.scaled(n))} can be reached"


def _tera(flops_per_ns: Fraction) -> str:
    tera = float(flops_per_ns) / 1000
    return f"{tera:.4g} TFLOP/s" if tera < 1000 else f"{tera / 1000:.4g} PFLOP/s"


def _rate(rate: Rate) -> str:
    bytes_per_ns = float(rate)
    return f"{bytes_per_ns:.5g} GB/s" if bytes_per_ns < 10_000 else f"{bytes_per_ns / 1000:.5g} TB/s"
