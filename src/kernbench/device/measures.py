"""What a host program measures by name, round by round, and what happens apart from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from kernbench.analysis.bounds import Bound
from kernbench.analysis.measured import Measured
from kernbench.analysis.measures import Measure, Round, begun
from kernbench.dtypes import DType
from kernbench.errors import UsageError
from kernbench.messages.source_line import SourceLine


class Part(Protocol):
    """A window of a run."""

    def close(self) -> Measured:
        """What happened in it up to now."""

    def bound(self, flops: int, gemm: DType | None) -> Bound | None:
        """The roofline of ``flops`` in it, once it was closed."""


class _Open(NamedTuple):
    """The round that is being measured."""

    name: str
    line: SourceLine
    part: Part


class Measures:
    """Notes each round of what is measured. Time is always within one part of a run: a round, or apart from all.

    ``machine`` is the host's; ``iters`` is how often a loop over a measure runs; ``tell`` hears of each round;
    ``opens`` opens a window. ``is_looped`` says whether a loop was measured since :meth:`begin`.
    """

    def __init__(self, machine: object, opens: Callable[[], Part]) -> None:
        self.machine = machine
        self.iters = 1
        self.tell: Callable[[str], None] = lambda _: None
        self._opens = opens

    def begin(self, apart: Part) -> None:
        """Forget what was measured; ``apart`` was opened just now."""
        self.is_looped = False
        self._found: dict[str, Measure] = {}
        self._parts: dict[str, list[Part]] = {}  # of the first and the last round
        self._outside = apart
        self._apart: list[Measured] = []
        self._open: _Open | None = None
        self._left = ""
        self._promised: dict[object, str] = {}

    def promise(self, measuring: object, name: str, line: SourceLine) -> None:
        """Note that ``name`` is to be measured."""
        self._promised[measuring] = f"{line}: measure {name!r}"

    def keep(self, measuring: object) -> None:
        """Note that what was promised is measured."""
        self._promised.pop(measuring, None)

    def require_none_open(self, name: str, line: SourceLine) -> None:
        """UsageError if a measure is under way: parts of one another are not told apart."""
        if self._open is not None:
            raise UsageError(
                f"{line}: measure {name!r} begins within measure {self._open.name!r} ({self._open.line}); end that "
                "first"
            )

    def open(self, name: str, line: SourceLine, *, is_loop: bool) -> None:
        """Begin a round of ``name``."""
        known = self._found.get(name)
        self.tell(f"{name}, round {len(known.rounds) + 1 if known else 1}")
        self._apart.append(self._outside.close())
        self.is_looped |= is_loop
        self._open = _Open(name, line, self._opens())

    def close(self, flops: int, gemm: DType | None) -> None:
        """End the round: ``flops`` operations of it, bounded by the peak of ``gemm``."""
        assert self._open is not None
        name, _, part = self._open
        measured = replace(part.close(), flops=flops, bound=part.bound(flops, gemm))
        known = self._found.get(name)
        self._found[name] = begun(name, measured) if known is None else known.then(measured)
        self._parts[name] = [*self._parts.get(name, ())[:1], part]
        self._open, self._outside = None, self._opens()

    def abandon(self) -> None:
        """Note that the round was left before its end."""
        assert self._open is not None
        self._left = f"{self._open.line}: measure {self._open.name!r}"
        self._outside, self._open = self._open.part, None

    def found(self, flops: int, gemm: DType | None) -> tuple[Measure, ...]:
        """The measures, in the order of their first rounds.

        If there is one, and it has no count of its own, ``flops`` and ``gemm`` are of one round of it.

        Raises:
            UsageError: one is not over, was left before its end, or has not begun.
        """
        if self._open is not None:
            self._left = f"{self._open.line}: measure {self._open.name!r}"
        if self._left:
            raise UsageError(
                f"{self._left} did not come to its end; let its block or loop run through, without break or return"
            )
        for promised in self._promised.values():
            raise UsageError(
                f"{promised} measured nothing; write it as in `with torch.measure('decode'):`, or as a loop over it"
            )
        measures = list(self._found.values())
        if len(measures) == 1 and not measures[0].last.flops:
            (measure,) = measures
            first, last = self._parts[measure.name][0], self._parts[measure.name][-1]
            return (
                replace(
                    measure,
                    first=replace(measure.first, flops=flops, bound=first.bound(flops, gemm)),
                    last=replace(measure.last, flops=flops, bound=last.bound(flops, gemm)),
                ),
            )
        return tuple(measures)

    def rounds(self) -> dict[str, Round]:
        """Every round, by what it is called in a trace."""
        return {
            f"{name}, round {number}": one
            for name, measure in self._found.items()
            for number, one in enumerate(measure.rounds, start=1)
        }

    def apart(self) -> Sequence[Measured]:
        """What happened before, between and after the measures, up to now."""
        return [*self._apart, self._outside.close()]
