"""A recorder of schedules: kernels run without time, and what a rank loads, computes, sends and receives is noted.

So the schedule of any kernel for :mod:`kernbench.theory.max_plus` follows from it, whoever wrote it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kernbench.machine.data_machine import DataMachine, ImmediateProgram
from kernbench.messages.commands import Command
from kernbench.theory.max_plus import Wait
from kernbench.theory.notes import Notes


class RecordedProgram(ImmediateProgram):
    """A program whose steps go into ``notes`` as it takes them, those of one PE together."""

    # Any: handed on as it comes.
    def __init__(self, *who: Any, notes: Notes, **how: Any) -> None:
        super().__init__(*who, **how)
        self.notes = notes
        self.steps = notes.steps[self.pe]

    def issue(self, command: Command) -> None:
        """Note ``command``, then let it take effect."""
        self.notes.note(self.steps, command)
        super().issue(command)

    def _wait_for(self, versions: tuple[int, ...]) -> None:
        self.steps.append(Wait(versions))
        super()._wait_for(versions)


class Recorder(DataMachine):
    """A device without time whose programs are recorded; ``notes`` is what every PE has done since it was made."""

    mode = "recorded"

    # Any: handed on as it comes.
    def __init__(self, *machine: Any, **how: Any) -> None:
        super().__init__(*machine, **how)
        self.notes = Notes()
        self.program_kind = partial(RecordedProgram, notes=self.notes)
