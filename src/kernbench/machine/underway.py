"""Launches that are under way, and what orders later ones behind them."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernbench.analysis.launch_span import LaunchSpan, Moved
from kernbench.engine.api import Signal
from kernbench.errors import UsageError
from kernbench.lang.scope import Scope
from kernbench.machine.kernel_runner import ProgramRun
from kernbench.machine.launch import Launch
from kernbench.memory.mapping import TensorRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """A launch that has left the host and is not known to be complete; ``done`` fires when it is, if time passes.

    ``programs`` are those of each PE, in order, and ``scope`` is what they read of the host's, if time passes.
    """

    name: str
    grid: tuple[int, int, int]
    stream: Hashable
    pes: frozenset[int]
    operands: tuple[TensorRange, ...]
    sent_ps: int
    done: Signal | None
    programs: Mapping[int, Sequence[ProgramRun]]
    scope: Scope | None

    @classmethod
    def of(
        cls,
        launch: Launch,
        *,
        sent_ps: int = 0,
        done: Signal | None = None,
        programs: Mapping[int, Sequence[ProgramRun]] | None = None,
        scope: Scope | None = None,
    ) -> Underway:
        """``launch``, which has left the host, without its arguments: tensors among them may be freed meanwhile."""
        return cls(
            name=launch.name,
            grid=launch.grid,
            stream=launch.stream,
            pes=launch.pes,
            operands=launch.operands,
            sent_ps=sent_ps,
            done=done,
            programs=programs or {},
            scope=scope,
        )

    @property
    def has_ended(self) -> bool:
        """Whether all programs have returned."""
        return all(program.has_ended for programs in self.programs.values() for program in programs)

    def runs_beside(self, later: Launch) -> bool:
        """Whether nothing orders a later launch behind this one: stream, PE, or bytes of a tensor."""
        is_ordered = self.stream is None or later.stream is None or later.stream == self.stream
        if is_ordered or not self.pes.isdisjoint(later.pes):
            return False
        return not any(mine.overlaps(other) for mine in self.operands for other in later.operands)

    def left(self) -> Iterator[tuple[int, list[ProgramRun]]]:
        """Each PE with the programs that have not ended there, in order: the PE is at the first."""
        for pe, programs in self.programs.items():
            left = [program for program in programs if not program.has_ended]
            if left:
                yield pe, left

    def span(self, done_ps: int, moved: Moved) -> LaunchSpan:
        """The span of the launch, which was complete at ``done_ps``; ``moved`` counts with it."""
        return LaunchSpan(
            name=self.name, grid=self.grid, sent_ps=self.sent_ps, done_ps=done_ps, moved=moved, pes=self.pes
        )


class Launches(list[Underway]):
    """What was launched on a machine and may not be complete, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._begun_in: threading.Thread | None = None  # kernels, which Python cannot move to another

    def clear(self) -> None:
        """Note that all are complete."""
        super().clear()
        self._begun_in = None

    def run_beside(self, later: Launch) -> bool:
        """Whether none of them orders a ``later`` launch behind itself."""
        return all(launch.runs_beside(later) for launch in self)

    def in_words(self) -> str:
        """Kernels under way, as an error names them."""
        return " and ".join(dict.fromkeys(f"kernel {launch.name!r}" for launch in self))

    def resume(self) -> None:
        """Put in force what their kernels read of the host's, until :meth:`pause`."""
        for scope in self._scopes():
            scope.resume()

    def pause(self) -> None:
        """Give the host its own back."""
        for scope in self._scopes():
            scope.pause()

    def _scopes(self) -> list[Scope]:
        return [launch.scope for launch in self if launch.scope is not None and not launch.has_ended]

    def require_own_thread(self) -> None:
        """UsageError in another thread than that in which kernels have begun: Python cannot move them."""
        mine = threading.current_thread()
        if self._begun_in not in (None, mine):
            what = f"{self.in_words()} has begun in thread {self._begun_in.name!r}"
            if self._begun_in.is_alive():
                raise UsageError(
                    f"{what}, and only there can it go on; call torch.synchronize() there before thread {mine.name!r} "
                    "uses this simulation"
                )
            raise UsageError(
                f"{what}, which has ended, and only there could it go on; call torch.synchronize() before a thread "
                "ends, and begin a new simulation"
            )
        if self:
            self._begun_in = mine
