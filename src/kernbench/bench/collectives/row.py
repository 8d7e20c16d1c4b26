"""What one size gives: a row of nccl-tests, with two halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

from kernbench.records import Hidden, Written, derive, named
from kernbench.theory.ceilings import Line


class Oracle(NamedTuple):
    """A time in ps, and what says so."""

    time: Fraction
    source: Literal["closed form", "max-plus"]


def _number(exact: Fraction) -> int | float:
    """A whole number as one."""
    return int(exact) if exact.denominator == 1 else float(exact)


Exact = Annotated[Fraction, Written(_number, int | float)]
"""An exact number, in JSON an integer if it is whole."""


@dataclass(frozen=True, slots=True)
class LineRow:
    """What one level allows, in JSON; rates are GB/s."""

    rate: float
    bytes_per_bus_byte: float
    busbw: float


def _lines_by_level(lines: Sequence[Line]) -> dict[str, LineRow]:
    return {
        line.level: LineRow(float(line.rate), float(line.bytes_per_bus_byte), float(line.busbw))
        for line in lines
    }


def _level_of(line: Line | None) -> str | None:
    return None if line is None else line.level


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One half of a row: out of place, or in place. ``time_ps`` is exact (a fraction on the ideal machine).

    ``iteration_ps`` are those of all timed iterations, the last of which is ``time_ps``; ``window_ps`` is it with its
    launch and completions (0 on the ideal machine). ``n_wrong`` is None where nothing was checked, and ``error_ps``
    where nothing was run. ``lines`` are what each level of the machine allows ``busbw``; the lowest is the
    ``bottleneck``, of equal ones the first, None if nothing moved.
    """

    time_ps: Exact
    window_ps: Hidden[int]
    iteration_ps: tuple[Exact, ...]
    algbw: float
    busbw: float
    n_wrong: int | None
    error_ps: Exact | None
    stall_ps: int | None
    credits_min: int | None
    lines: Annotated[tuple[Line, ...], Written(_lines_by_level, dict[str, LineRow])]
    bottleneck: Annotated[Line | None, Written(_level_of, str | None)] = field(init=False, default=None)

    def __post_init__(self) -> None:
        derive(self, bottleneck=min(self.lines, key=lambda line: line.busbw, default=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class CclRow:
    """One size. ``n_elem`` are those that nccl-tests counts; ``root`` and ``op`` are None where there is none.

    A half that was not run is None. Steps, bytes of a link and the bound are None where no schedule was looked at.
    """

    algorithm: str
    size_bytes: int
    n_elem: Annotated[int, named("count")]
    dtype: Hidden[str]
    op: Annotated[str | None, named("redop")]
    root: int | None
    out_of_place: Half | None
    in_place: Half | None
    n_steps: Annotated[int | None, named("steps")]
    max_link_bytes: int | None
    total_bytes: int
    bound_ps: Exact | None
    bound_share: float | None
    oracle: Hidden[Oracle]
    oracle_ps: Exact = field(init=False, default=Fraction(0))
    oracle_source: str = field(init=False, default="")
    host_s: float

    def __post_init__(self) -> None:
        derive(self, oracle_ps=self.oracle.time, oracle_source=self.oracle.source)

    @property
    def halves(self) -> tuple[Half, ...]:
        """The halves that there are."""
        return tuple(half for half in (self.out_of_place, self.in_place) if half is not None)

    @property
    def first(self) -> Half:
        """The half out of place; if that was not run, the one in place."""
        return self.halves[0]

    @property
    def n_wrong(self) -> int:
        """Wrong values of both halves."""
        return sum(half.n_wrong or 0 for half in self.halves)

    @property
    def has_error(self) -> bool:
        """Whether a half differs from the oracle."""
        return any(half.error_ps for half in self.halves)
