"""A recorder of schedules: kernels run without time, and what a rank loads, computes, sends and receives is noted.

So the schedule of a collective for :mod:`kernbench.theory.max_plus` follows from its kernel, whoever wrote that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

from kernbench.machine.data_machine import DataMachine, ImmediateProgram
from kernbench.messages.commands import Command, GemmCmd, IpcqRecvCmd, IpcqSendCmd, MathCmd
from kernbench.theory.max_plus import Load, Math, Recv, Send, Step, Store, Wait


class Notes:
    """The steps of every PE, by number; ``fresh`` names values that no command names."""

    def __init__(self) -> None:
        self.steps: defaultdict[int, list[Step]] = defaultdict(list)
        self.fresh = count(-2, -1)


class RecordedProgram(ImmediateProgram):
    """A program whose steps go into ``notes`` as it takes them, those of one PE together."""

    # Any: handed on as it comes.
    def __init__(self, *who: Any, notes: Notes, **how: Any) -> None:
        super().__init__(*who, **how)
        self.steps = notes.steps[self.pe]
        self.fresh = notes.fresh

    def issue(self, command: Command) -> None:
        """Note ``command``, then let it take effect."""
        self.steps.extend(self._steps_of(command))
        super().issue(command)

    def _wait_for(self, versions: tuple[int, ...]) -> None:
        self.steps.append(Wait(versions))
        super()._wait_for(versions)

    def _steps_of(self, command: Command) -> Iterator[Step]:
        """The steps of a command; one that computes on memory loads it first."""
        result = command.result
        if isinstance(command, IpcqRecvCmd):
            assert result is not None
            far = command.queue.peer
            yield Recv(result.version, far.rank, far.name)
            return
        needs = [x.version for x in command.operands if x.version >= 0]
        needs += command.depends
        spans = [x.access.bounds() for x in command.operands if x.access is not None]
        # A constant is there without any work: PE_MATH's "full" is how a program writes it down.
        is_math = isinstance(command, GemmCmd) or (isinstance(command, MathCmd) and command.op != "full")
        if isinstance(command, IpcqSendCmd):
            assert result is not None
            queue, size_bytes = command.queue, command.operands[0].size_bytes
            yield Send(result.version, tuple(needs), size_bytes, queue.peer.rank, queue.name)
        elif is_math:
            for span in spans:
                needs.append(next(self.fresh))
                yield Load(needs[-1], span)
            assert isinstance(command, (GemmCmd, MathCmd))
            made = command.target or result  # of a composite, the result is only its completion, of no size
            assert result is not None
            assert made is not None
            yield Math(result.version, tuple(needs), made.size_bytes)
            needs = [result.version]
        elif result is not None:
            yield Load(result.version, spans[0] if spans else (0, 0), tuple(needs))
        if command.target is not None and command.target.access is not None:
            yield Store(command.target.access.bounds(), tuple(needs))


class Recorder(DataMachine):
    """A device without time whose programs are recorded; ``notes`` is what every PE has done since it was made."""

    mode = "recorded"

    # Any: handed on as it comes.
    def __init__(self, *machine: Any, **how: Any) -> None:
        super().__init__(*machine, **how)
        self.notes = Notes()
        self.program_kind = partial(RecordedProgram, notes=self.notes)
