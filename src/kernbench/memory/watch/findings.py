"""What is told of memory, one line each: races, and reads of bytes that nobody wrote (ADR-0037)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import numpy.typing as npt

from kernbench.messages.source_line import SourceLine
from kernbench.records import Hidden, derive, named
from kernbench.units import format_ps
from kernbench.wording import plural

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ElementRange:
    """Elements of a tensor, by their flat numbers: how many, the first and the last."""

    count: int
    first: int
    last: int

    @classmethod
    def of(cls, numbers: Ints) -> ElementRange:
        """Elements of these flat numbers, rising, each once."""
        return cls(len(numbers), int(numbers[0]), int(numbers[-1]))

    def text(self, shape: tuple[int, ...]) -> str:
        """In words.

        >>> ElementRange(1, 5, 5).text((2, 4)), ElementRange(3, 0, 7).text((8,))
        ('element [1, 1]', '3 elements from [0] to [7]')
        """
        first, last = (_index(number, shape) for number in (self.first, self.last))
        if self.count == 1:
            return f"element {first}"
        return f"{self.count} elements from {first} to {last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfElements:
    """What every finding about some ``elements`` of a tensor says of them."""

    tensor: str
    shape: tuple[int, ...]
    dtype: str
    n_elements: Annotated[int, named("elements")] = field(init=False, default=0)
    first_element: int = field(init=False, default=0)
    last_element: int = field(init=False, default=0)
    elements: Hidden[ElementRange]

    def __post_init__(self) -> None:
        found = self.elements
        derive(self, n_elements=found.count, first_element=found.first, last_element=found.last)

    def place(self) -> str:
        """The tensor in words, ``'x' fp32[8]``."""
        return f"{self.tensor!r} {self.dtype}{list(self.shape)}"


def _index(number: int, shape: tuple[int, ...]) -> str:
    return str([int(i) for i in np.unravel_index(number, shape)] if shape else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class RacingAccess:
    """One of the two accesses of a race: what, where in the kernel, by which program of which launch, and when.

    ``time_ps`` is when that program first did it there: simulated time, 0 in mode ``data``.
    """

    verb: str
    file: str = field(init=False, default="")
    line_number: Annotated[int, named("line")] = field(init=False, default=0)
    line: Hidden[SourceLine]
    kernel: str
    program: tuple[int, int, int]
    pe: str
    time_ps: int

    def __post_init__(self) -> None:
        derive(self, file=self.line.file, line_number=self.line.line)

    def text(self) -> str:
        """In words."""
        when = f" at {format_ps(self.time_ps)}" if self.time_ps else ""
        return f"{self.line} ({self.verb}) by program {self.program} of {self.kernel!r} on {self.pe}{when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Race(OfElements):
    """Two programs touch bytes of a tensor, one stores other bits than are there, and nothing orders them.

    ``elements`` are those of all pairs of programs that do so at this pair of lines, ``n_pairs`` how many pairs.
    """

    first: RacingAccess
    second: RacingAccess
    n_pairs: Annotated[int, named("pairs")]
    level: Hidden[str]

    @property
    def line(self) -> SourceLine:
        """The kernel line of the later access."""
        return self.second.line

    def __str__(self) -> str:
        is_in_turn = self.first.pe == self.second.pe
        cure = "that both ran on one PE is no order" if is_in_turn else "nothing orders them"
        more = (
            f"; {plural(self.n_pairs - 1, 'more pair')} of programs at these lines"
            if self.n_pairs > 1
            else ""
        )
        return (
            f"race on {self.place()}, {self.elements.text(self.shape)}: "
            f"{self.first.text()}, and {self.second.text()}; {cure}: give each program elements of its own, let the "
            f"first send and the second receive, or use two launches{more}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwrittenRead(OfElements):
    """The first read at a line of bytes of a tensor that nobody wrote: a kernel's, or the host's (``pe`` empty)."""

    file: str = field(init=False, default="")
    line_number: Annotated[int, named("line")] = field(init=False, default=0)
    line: Hidden[SourceLine]
    pe: str
    is_float: Hidden[bool]

    def __post_init__(self) -> None:
        OfElements.__post_init__(self)
        derive(self, file=self.line.file, line_number=self.line.line)

    def __str__(self) -> str:
        who = f"{self.pe} reads" if self.pe else "the host reads"
        holds = "NaN" if self.is_float else "all ones (-1 where it is signed)"
        return (
            f"{who} {self.elements.text(self.shape)} of {self.place()} "
            f"that nobody wrote, which hold {holds}; fill it first, as in torch.zeros, or mask them"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyUse:
    """A rank used a tensor at ``line`` before the asynchronous ``call`` at ``call_line`` was waited for.

    ``how`` is what it did: "read", "written", "freed" or "used in a launch".
    """

    tensor: str
    shape: tuple[int, ...]
    dtype: str
    rank: int
    how: str
    file: str = field(init=False, default="")
    line_number: Annotated[int, named("line")] = field(init=False, default=0)
    line: Hidden[SourceLine]
    call: str
    call_file: str = field(init=False, default="")
    call_line_number: Annotated[int, named("call_line")] = field(init=False, default=0)
    call_line: Hidden[SourceLine]

    def __post_init__(self) -> None:
        derive(
            self,
            file=self.line.file,
            line_number=self.line.line,
            call_file=self.call_line.file,
            call_line_number=self.call_line.line,
        )

    def __str__(self) -> str:
        return (
            f"rank {self.rank}: {self.tensor!r}{list(self.shape)} is {self.how} at {self.line} before {self.call} at "
            f"{self.call_line} was waited for, so that it is open what is there; call wait() on its work first"
        )
