"""Launches that are under way, and what orders later ones behind them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from kernbench.engine.api import Signal
from kernbench.lang.scope import Scope
from kernbench.machine.kernel_runner import Program
from kernbench.memory.mapping import TensorRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """A launch that has left the host and is not known to be complete; ``done`` fires when it is, if time passes.

    ``programs`` are those of each PE, in order, and ``scope`` is what they read of the host's, if time passes.
    """

    name: str
    grid: tuple[int, int, int]
    sent_ps: int
    done: Signal | None
    stream: Hashable
    pes: frozenset[int]
    operands: tuple[TensorRange, ...]
    programs: Mapping[int, Sequence[Program]] = field(default_factory=dict)
    scope: Scope | None = None

    @property
    def has_ended(self) -> bool:
        """Whether all programs have returned."""
        return all(program.has_ended for programs in self.programs.values() for program in programs)

    def runs_beside(self, stream: Hashable, pes: frozenset[int], operands: Sequence[TensorRange]) -> bool:
        """Whether nothing orders a later launch behind this one: stream, PE, or bytes of a tensor."""
        is_ordered = self.stream is None or stream is None or stream == self.stream
        if is_ordered or not self.pes.isdisjoint(pes):
            return False
        return not any(mine.overlaps(other) for mine in self.operands for other in operands)
