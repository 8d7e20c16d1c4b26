"""The schedule of an algorithm from its kernel alone: each rank runs by itself, and what it asks of its PE is noted.

Nothing takes effect: there is no machine, no memory and no value. So a kernel that looks at one, asks for the time or
whether something is done, or goes beyond its own tensors needs a machine, and is recorded on one
(:mod:`kernbench.machine.recorder`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count, product
from typing import NamedTuple, NoReturn

from kernbench.ccl.algorithm import ALGORITHMS
from kernbench.ccl.kernel_call import call_of
from kernbench.dtypes import DType
from kernbench.errors import KernBenchError, UsageError
from kernbench.lang.pointer import TensorArg
from kernbench.lang.program import KernelCall, run_program
from kernbench.lang.scope import KERNELS
from kernbench.messages.commands import Command, GemmCmd, IpcqRecvCmd, IpcqSendCmd, Operand
from kernbench.messages.ipcq import QueueEnd, RankSite, Wiring
from kernbench.messages.owners import LaunchId
from kernbench.messages.source_line import SourceLine
from kernbench.theory.group import Collective, Group
from kernbench.theory.max_plus import Schedule, Wait
from kernbench.theory.notes import Notes

TENSOR_BYTES = 1 << 44  # of virtual memory from one tensor to the next
N_TYPICAL = 64  # ranks whose messages say how long all are
Message = tuple[tuple[int, ...], DType]  # shape and dtype


class NeedsMachineError(KernBenchError):
    """A kernel asked for what only a machine knows."""


class Rehearsal:
    """What the ranks of one collective have done so far."""

    def __init__(self, most_messages: int | None = None) -> None:
        self.notes = Notes()
        self.launch = LaunchId(self)
        self.most_messages = most_messages
        self.n_messages = 0
        self.needs_machine = False
        self._messages: dict[Message, Message] = {}  # each once: there may be a million
        self._sent: defaultdict[QueueEnd, list[Message]] = defaultdict(list)
        self._received: defaultdict[QueueEnd, list[Message]] = defaultdict(list)

    def refuse(self) -> NoReturn:
        """Give the rehearsal up, also if the kernel goes on and asks for nothing more."""
        self.needs_machine = True
        raise NeedsMachineError("it needs a machine")

    def pass_on(self, command: IpcqSendCmd | IpcqRecvCmd) -> None:
        """Note a message at the end of its queue where it is sent or received."""
        if isinstance(command, IpcqSendCmd):
            self.n_messages += 1
            self._sent[command.queue.peer].append(self._message(command.operands[0]))
            if self.most_messages is not None and self.n_messages > self.most_messages:
                raise TooManyMessagesError(self.n_messages)
        else:
            assert command.result is not None
            self._received[command.queue].append(self._message(command.result))

    def _message(self, block: Operand) -> Message:
        message = (block.shape, block.dtype)
        return self._messages.setdefault(message, message)

    @property
    def is_complete(self) -> bool:
        """Whether every message that was sent is received as what it is."""
        return not self.needs_machine and self._sent == self._received


class TooManyMessagesError(UsageError):
    """There are more messages than may be; ``n`` is how many there are at least."""

    def __init__(self, n: int) -> None:
        super().__init__(f"{n:,} messages are too many")
        self.n = n


class RankPort:
    """One rank's port (see :class:`~kernbench.lang.port.KernelPort`): its ``own`` bytes are in memory."""

    strict = True

    def __init__(
        self, rehearsal: Rehearsal, name: str, site: RankSite, tcm_bytes: int, own: Sequence[TensorArg]
    ) -> None:
        self.rehearsal = rehearsal
        self.launch = rehearsal.launch
        self.notes = rehearsal.notes
        self.pe_name = name
        self.site: RankSite | None = site
        self.tcm_bytes = tcm_bytes
        self.program = site.rank
        self.program_ids, self.grid = (site.rank, 0, 0), (site.n_ranks, 1, 1)
        self.steps = self.notes.steps[site.rank]
        self._own = [(tensor.va, tensor.va + tensor.size_bytes) for tensor in own]
        self._seqs, self._versions = count(), count()

    def next_seq(self) -> int:
        """A fresh command number."""
        return next(self._seqs)

    def next_version(self) -> int:
        """A fresh version id of the rank."""
        return next(self._versions)

    def issue(self, command: Command) -> None:
        """Note ``command``."""
        if isinstance(command, (IpcqSendCmd, IpcqRecvCmd)):
            self.rehearsal.pass_on(command)
        elif isinstance(command, GemmCmd):
            self.rehearsal.refuse()  # its array may not know the dtypes
        else:
            for operand in command.operands:
                self._require_own(operand)
            if command.target is not None:
                self._require_own(command.target)
        self.notes.note(self.steps, command)
        if command.awaits is not None:
            self.steps.append(Wait(command.awaits))

    def _require_own(self, operand: Operand) -> None:
        if operand.access is None:
            return
        low, high = operand.access.bounds()
        if low != high and not any(first <= low and high <= last for first, last in self._own):
            self.rehearsal.refuse()

    def force(self, version: int, line: SourceLine) -> NoReturn:
        """There is no value."""
        self.rehearsal.refuse()

    def is_done(self, version: int, line: SourceLine) -> NoReturn:
        """Nobody knows what is done when."""
        self.rehearsal.refuse()

    def clock_ps(self) -> NoReturn:
        """There is no time."""
        self.rehearsal.refuse()

    def print(self, text: str) -> None:
        """A rehearsal is silent."""

    def finish(self, releases: tuple[int, ...]) -> None:
        """The program has ended."""


class Recorded(NamedTuple):
    """The steps of each rank, in the order of ranks, and the elements that all of them have sent.

    A kernel that ``needs_machine`` looks at values: it was recorded on one.
    """

    schedule: Schedule
    elems_sent: int
    needs_machine: bool = False


def rehearse(
    name: str,
    group: Group,
    wiring: Wiring,
    n_elem: int,
    *,
    dtype: DType,
    op: str,
    root: int,
    tcm_bytes: int,
    most_messages: int | None = None,
) -> Recorded | None:
    """What the algorithm ``name`` does out of place; None where its kernel needs a machine.

    ``n_elem`` of ``dtype`` are in the smaller of a rank's buffers; it may hold ``tcm_bytes`` at a time.

    Raises:
        TooManyMessagesError: there are more than ``most_messages``; or would be, were all as long as the first ranks'.
        KernBenchError: the kernel is wrong; names its line.
    """
    rehearsal, elems_sent, n_ranks = Rehearsal(most_messages), list[int](), group.n_ranks
    own = own_tensors(ALGORITHMS[name].collective, n_ranks, n_elem, dtype)
    call = call_of(
        name,
        group,
        wiring.ring,
        [source for source, _ in own] or [None] * n_ranks,
        [destination for _, destination in own] or [None] * n_ranks,
        elems_sent,
        item_bytes=dtype.size_bytes if own else 1,
        n_elem=n_elem,
        op=op,
        root=root,
    )
    kernel_call, claimed = (
        KernelCall(call.kernel, call.args, {}),
        ALGORITHMS[name].elems_sent(n_ranks, n_elem),
    )
    for rank, pe in enumerate(wiring.pes):
        tensors = own[rank] if own else ()
        port = RankPort(rehearsal, str(group.pes[rank]), wiring.sites[pe], tcm_bytes, tensors)
        try:
            with KERNELS:
                run_program(kernel_call, port)
        except KernBenchError:
            if rehearsal.needs_machine:
                return None
            raise
        if most_messages is not None and elems_sent[-1]:
            # Were all as long as those so far: to run the others would only say so later. A first few may be special.
            likely = claimed * rehearsal.n_messages // sum(elems_sent)
            if likely > most_messages * (2 if rank < N_TYPICAL else 1):
                raise TooManyMessagesError(likely)
    if not rehearsal.is_complete:
        return None  # whose queues say what is wrong
    return Recorded([rehearsal.notes.steps[rank] for rank in range(n_ranks)], sum(elems_sent))


def own_tensors(
    collective: Collective, n_ranks: int, n_elem: int, dtype: DType
) -> list[tuple[TensorArg, TensorArg]]:
    """Source and destination of each rank, somewhere in a memory that nobody has; none of a barrier."""
    if collective == "barrier":
        return []
    whole = n_elem * n_ranks
    sizes = (
        ("send", whole if collective == "reduce_scatter" else n_elem),
        ("recv", whole if collective == "all_gather" else n_elem),
    )
    places = product(range(n_ranks), sizes)
    tensors = [
        TensorArg(f"{name}{rank}", i * TENSOR_BYTES, dtype, (n,), n * dtype.size_bytes)
        for i, (rank, (name, n)) in enumerate(places, start=1)
    ]
    return list(zip(tensors[::2], tensors[1::2], strict=True))
