"""All that the kernel language needs from a machine. A test fakes it in twenty lines."""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from kernbench.messages.commands import Command
from kernbench.messages.ipcq import RankSite
from kernbench.messages.owners import LaunchId
from kernbench.messages.source_line import SourceLine


class KernelPort(Protocol):
    """One program's way to its PE.

    ``strict`` asks for the compiler's shape checks; ``tcm_bytes`` is what a PE can hold; ``pe_name`` and
    ``grid`` are for messages and ``program_id``; ``site`` its rank and queues (None: none are installed); ``launch`` is
    the same object for all programs of a launch.
    """

    pe_name: str
    program: int
    program_ids: tuple[int, int, int]
    grid: tuple[int, int, int]
    tcm_bytes: int
    strict: bool
    site: RankSite | None
    launch: LaunchId

    def next_seq(self) -> int:
        """A fresh command number of this PE."""

    def next_version(self) -> int:
        """A fresh version id, unique in the simulation."""

    def issue(self, command: Command) -> None:
        """Append a command; never waits for an answer (it may switch to the simulator when far ahead)."""

    def force(self, version: int, line: SourceLine) -> npt.NDArray[Any]:
        """The value of ``version``, needed at ``line``: waits in simulated time until it exists, and is read back."""

    def is_done(self, version: int, line: SourceLine) -> bool:
        """Whether the work of ``version``, asked for at ``line``, is done once PE_CPU has issued all so far.

        It never waits.
        """

    def clock_ps(self) -> int:
        """Simulated time, once PE_CPU has issued every command so far."""

    def print(self, text: str) -> None:
        """What a kernel prints, with PE and simulated time."""

    def finish(self, releases: tuple[int, ...]) -> None:
        """The program has ended: the versions that no command has released. Called once, after the last issue."""
