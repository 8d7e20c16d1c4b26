"""What a program asks again and again: when that is for ever, and what of it is asked anew.

A poll is a value that a kernel needs in Python, or a ``tl.test``. A program polls in vain when it came back to the same
place with the same variables, while no program changed anything, and nothing of it is hidden: it will come back again.
"""

from __future__ import annotations

from kernbench.lang.visible import Visible, look
from kernbench.memory.replay import Values
from kernbench.messages.commands import Command, DmaReadCmd, GemmCmd, MathCmd, WaitCmd
from kernbench.messages.source_line import SourceLine
from kernbench.units import ceil_div

FIRST_LOOK = 64  # polls without a change before a program is looked at
LONGEST_ROUND = 64  # polls after which a loop begins anew
N_ALIKE = 4  # ends of rounds at which it must look the same, FIRST_LOOK polls apart
MOST_READS = 1 << 12  # accesses that are remembered


class Changes:
    """How often the programs of a machine changed anything: stored, sent, received, or ended."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


def is_change(command: Command) -> bool:
    """Whether a command may change what another program, or a later load, sees."""
    # Asked of each command of every program, and ``is`` is the fastest question.
    if type(command) is MathCmd or type(command) is GemmCmd:
        return command.target is not None
    return type(command) is not DmaReadCmd and type(command) is not WaitCmd


class Polls:
    """The polls of one program since anything last changed; ``n`` of them, the last at ``line``.

    After FIRST_LOOK polls the program is looked at, and at each poll behind it until it looks the same again: that is
    its round. If it looks the same N_ALIKE times, at ends of rounds that lie as far apart, it polls in vain. If it does
    not, it is looked at anew after twice as many polls.
    """

    __slots__ = (
        "_changes",
        "_length",
        "_n_alike",
        "_next",
        "_reads",
        "_round",
        "_seen",
        "_start",
        "line",
        "n",
        "reads_again",
    )

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._seen = changes.n
        self._reads: set[object] = set()
        self.reads_again = False
        self.line = SourceLine("?", 0)
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.n = 0
        self._look_again_at(FIRST_LOOK)

    def _look_again_at(self, n: int) -> None:
        self._next, self._start, self._length, self._n_alike = n, n, 0, 0
        self._round: list[Visible] = []

    def issued(self, command: Command) -> None:
        """Note a command: a change, or a load of what was loaded before without one; ``reads_again`` says so."""
        if is_change(command):
            self._changes.n += 1
            if self._reads:
                self._reads.clear()
        elif isinstance(command, DmaReadCmd):
            access = command.operands[0].access
            assert access is not None
            lanes = None if access.addresses is None else access.addresses.tobytes()
            key = (access.va, access.shape, access.strides, lanes)
            if key in self._reads:
                self.reads_again = True
            elif len(self._reads) < MOST_READS:
                self._reads.add(key)

    @property
    def are_vain(self) -> bool:
        """Whether they are for ever, unless another program changes something."""
        return self._seen == self._changes.n and self._n_alike >= N_ALIKE

    def ended(self) -> None:
        """Note the end of the program."""
        self._changes.n += 1

    def note(self, line: SourceLine, values: Values | None) -> bool:
        """Note a poll at ``line``, of the program that calls; whether it was looked at, and polls in vain."""
        self.line = line
        if self._seen != self._changes.n:
            self._seen = self._changes.n
            self.forget()
        self.n += 1
        if self.n < self._next:
            return False
        self._compare(look(values))
        return self.are_vain

    def _compare(self, seen: Visible | None) -> None:
        round_, since = self._round, self.n - self._start
        if seen is None:
            self._look_again_at(2 * self.n)
        elif not round_:
            round_.append(seen)
            self._next = self.n + 1
        elif seen == round_[0]:
            self._length = self._length or since
            self._n_alike += 1
            self._next = self.n + self._length * ceil_div(FIRST_LOOK, self._length)
        elif self._length or since == LONGEST_ROUND:
            self._look_again_at(2 * self.n)
        else:
            round_.append(seen)
            self._next = self.n + 1
