"""What one size gives: a row of nccl-tests, with two halves."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from kernbench.theory.ceilings import Line
from kernbench.theory.closed_forms import Oracle


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One half of a row: out of place, or in place. ``time_ps`` is exact (a fraction on the ideal machine).

    ``iteration_ps`` are those of all timed iterations, the last of which is ``time_ps``; ``window_ps`` is it with its
    launch and completions (0 on the ideal machine). ``n_wrong`` is None where nothing was checked. ``lines`` are what
    each level of the machine allows ``busbw``.
    """

    time_ps: Fraction
    window_ps: int
    iteration_ps: tuple[Fraction, ...]
    algbw: float
    busbw: float
    n_wrong: int | None
    error_ps: Fraction | None
    stall_ps: int | None
    credits_min: int | None
    lines: tuple[Line, ...]

    @property
    def bottleneck(self) -> Line | None:
        """The lowest line; of equal ones the first; None if nothing moved."""
        return min(self.lines, key=lambda line: line.busbw, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CclRow:
    """One size. ``n_elem`` are those that nccl-tests counts; ``root`` and ``op`` are None where there is none."""

    algorithm: str
    size_bytes: int
    n_elem: int
    dtype: str
    op: str | None
    root: int | None
    out_of_place: Half
    in_place: Half | None
    n_steps: int | None
    max_link_bytes: int | None
    total_bytes: int
    bound_ps: Fraction
    bound_share: float | None
    oracle: Oracle | None
    host_s: float

    @property
    def halves(self) -> tuple[Half, ...]:
        """The halves that there are."""
        return (self.out_of_place,) if self.in_place is None else (self.out_of_place, self.in_place)

    @property
    def n_wrong(self) -> int:
        """Wrong values of both halves."""
        return sum(half.n_wrong or 0 for half in self.halves)

    @property
    def has_error(self) -> bool:
        """Whether a half differs from the oracle."""
        return any(half.error_ps for half in self.halves)
