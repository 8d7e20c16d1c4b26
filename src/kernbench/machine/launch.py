"""A launch as the host asks a machine for it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernbench.lang.jit import JITFunction
from kernbench.memory.mapping import TensorRange
from kernbench.messages.ipcq import Wiring
from kernbench.messages.owners import Lifetime


@dataclass(frozen=True, slots=True)
class Program:
    """One program of a grid: its index in the launch, its ``program_id`` on each axis, and the PE it runs on."""

    index: int
    ids: tuple[int, int, int]
    pe: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A kernel with its arguments, the programs to run it as, and what orders it.

    ``args`` and ``meta`` are its positional and keyword arguments, tensors among them as
    :class:`~kernbench.lang.pointer.TensorArg`; ``operands`` are the bytes of those tensors. Programs see their queues
    of ``wiring``. It runs behind all that was launched before but for what is on another ``stream``, on other PEs and
    with operands that have no byte in common with its own. A PE may store to its own copy of the tensors ``own``, to
    none of several copies else. ``races`` is as for :class:`~kernbench.memory.watch.Watch`, if not None.
    """

    kernel: JITFunction
    args: tuple[Any, ...]  # Any: a kernel takes whatever a user gives it
    meta: Mapping[str, Any]  # Any: likewise
    programs: Sequence[Program]
    grid: tuple[int, int, int]
    operands: tuple[TensorRange, ...]
    wiring: Wiring | None
    stream: Hashable = None
    own: frozenset[Lifetime] = frozenset()
    races: str | None = None

    @property
    def name(self) -> str:
        """The kernel's name."""
        return self.kernel.__name__

    @property
    def pes(self) -> frozenset[int]:
        """The PEs that its programs run on."""
        return frozenset([program.pe for program in self.programs])
