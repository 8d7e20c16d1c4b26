"""Commands as steps of a schedule: what a program asks of its PE, for :mod:`kernbench.theory.max_plus`."""

from __future__ import annotations

from collections import defaultdict
from itertools import count

from kernbench.messages.commands import Command, GemmCmd, IpcqRecvCmd, IpcqSendCmd, MathCmd
from kernbench.theory.max_plus import Load, Math, Recv, Send, Step, Store


class Notes:
    """The steps of every PE, by number; ``fresh`` names values that no command names."""

    def __init__(self) -> None:
        self.steps: defaultdict[int, list[Step]] = defaultdict(list)
        self.fresh = count(-2, -1)

    def note(self, steps: list[Step], command: Command) -> None:
        """Append the steps of ``command``; one that computes on memory loads it first."""
        result = command.result
        if isinstance(command, IpcqRecvCmd):
            assert result is not None
            far = command.queue.peer
            steps.append(Recv(result.version, far.rank, far.name))
            return
        needs = (*[x.version for x in command.operands if x.version >= 0], *command.depends)
        if isinstance(command, IpcqSendCmd):
            assert result is not None
            queue, size_bytes = command.queue, command.operands[0].size_bytes
            steps.append(Send(result.version, needs, size_bytes, queue.peer.rank, queue.name))
            return
        spans = [x.access.bounds() for x in command.operands if x.access is not None]
        # A constant is there without any work: PE_MATH's "full" is how a program writes it down.
        if isinstance(command, GemmCmd) or (isinstance(command, MathCmd) and command.op != "full"):
            for span in spans:
                needs = (*needs, next(self.fresh))
                steps.append(Load(needs[-1], span))
            made = command.target or result  # of a composite, the result is only its completion, of no size
            assert result is not None
            assert made is not None
            steps.append(Math(result.version, needs, made.size_bytes))
            needs = (result.version,)
        elif result is not None:
            steps.append(Load(result.version, spans[0] if spans else (0, 0), needs))
        if command.target is not None and command.target.access is not None:
            steps.append(Store(command.target.access.bounds(), needs))
