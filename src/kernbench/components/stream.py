"""Between the kernel and the front of a PE: what a program yields, and how PE_CPU hands it on.

A program is pulled, never pushed: PE_CPU asks for the next item when it has time for it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from kernbench.messages.commands import Command
from kernbench.messages.oplog import Row


class Force(NamedTuple):
    """The program needs ``version`` in Python: go on once it is complete and read back."""

    version: int


class Clock(NamedTuple):
    """The program asks for the time at which all it issued so far is issued; it is told another than ``known_ps``."""

    known_ps: int = -1


class Test:
    """The program asks whether the work of ``version`` is done by the time that all it issued so far is issued."""

    __slots__ = ("is_done", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.is_done = False


class CommandStream(Protocol):
    """One program's commands, in order."""

    def next_item(self) -> Command | Force | Clock | Test | None:
        """The next command or question; None at the end.

        Asking for the item after a question tells the program that its answer is due: it is simulated time now.
        """


class Issued:
    """A command on its way to PE_SCHEDULER: the op log record of its issue, and when that ended."""

    __slots__ = ("command", "issued_ps", "record")

    def __init__(self, command: Command, record: Row, issued_ps: int) -> None:
        self.command = command
        self.record = record
        self.issued_ps = issued_ps


class ProgramEnd(NamedTuple):
    """Behind a program's last command: every value it still holds dies."""

    program: int
