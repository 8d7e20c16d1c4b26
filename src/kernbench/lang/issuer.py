"""The commands of a program in their order, and the lives of the values that they make.

The newest command is kept back until the next one is issued, a value is forced, or the program ends. So the death of
an accumulator right after ``acc = tl.dot(a, b, acc)`` is known before that command leaves.
"""

from __future__ import annotations

from typing import TypeVar

from kernbench.dtypes import DType
from kernbench.lang.block import describe
from kernbench.lang.handle import Future, TensorHandle, Value
from kernbench.lang.owner import foreign
from kernbench.lang.port import KernelPort
from kernbench.lang.scratch import Scratch
from kernbench.lang.source import here
from kernbench.messages.commands import TCM, Command, GemmCmd, Operand
from kernbench.messages.source_line import SourceLine
from kernbench.ops.spec import Shape

Made = TypeVar("Made", bound=TensorHandle | Future)


class Issuer:
    """One program of a launch, on its port, as it issues commands.

    ``pending`` is the command kept back; ``dead`` the versions that died since the command before the next one;
    ``elems_sent`` are the elements that it has sent into queues.
    """

    def __init__(self, port: KernelPort) -> None:
        self.port = port
        self.scratch = Scratch(port.tcm_bytes)
        self.pending: Command | None = None
        self.dead: list[int] = []
        self.is_open = True
        self.elems_sent = 0

    def push(self, command: Command) -> None:
        """Issue ``command`` of the line that is executed, and with it the releases since the one before."""
        command.numbered(self.port.next_seq(), self.port.program, here())
        if self.pending is not None:
            self._send(self.pending)
        if self.dead:
            command.releases = tuple(self.dead)
            self.dead.clear()
        self.pending = command

    def flush(self) -> None:
        """Issue the command that is kept back."""
        pending, self.pending = self.pending, None
        if pending is not None:
            self._send(pending)

    def finish(self) -> None:
        """End the program: issue what is left and give back what still lived."""
        self.flush()
        self.is_open = False
        dead = set(self.dead)
        self.port.finish((*self.dead, *(version for version in self.scratch.live if version not in dead)))

    def release(self, version: int) -> None:
        """The last handle of ``version`` is gone."""
        if self.is_open:
            self.dead.append(version)

    def _send(self, command: Command) -> None:
        if isinstance(command, GemmCmd) and command.acc is not None and command.acc.version in self.dead:
            assert command.result is not None
            is_as_large = command.result.size_bytes == command.acc.size_bytes
            if is_as_large and self.scratch.owns(command.acc.version):
                self.dead.remove(command.acc.version)
                command.inherits = command.acc.version
                command.tcm_bytes = 0
        self.scratch.admit(command)
        self.port.issue(command)

    def result(self, shape: Shape, dtype: DType) -> TensorHandle:
        """A fresh handle for what a command will make."""
        version = self.port.next_version()
        operand = Operand(shape=shape, dtype=dtype, space=TCM, version=version)
        return TensorHandle(operand, Value(version, self))

    def origin(self, version: int) -> tuple[str, SourceLine]:
        """Shape and dtype of a value that a handle still names, and the line that made it."""
        newest = self.pending
        if newest is not None and newest.result is not None and newest.result.version == version:
            return describe(newest.result.shape, newest.result.dtype), newest.line
        value = self.scratch.live[version]
        return str(value), value.line

    def own(self, thing: Made) -> Made:
        """``thing``, a block or future; UsageError if another program made it."""
        if thing.value.program is not self:
            raise foreign(self, thing)
        return thing
