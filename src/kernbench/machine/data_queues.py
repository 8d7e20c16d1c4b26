"""Queues without time, for mode ``data``: the same rings, credits and order, and so the same deadlocks."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from kernbench.errors import QueueError
from kernbench.memory.ipcq_ring import ReceiveRing, SendRing
from kernbench.memory.ipcq_waits import LeftOver, Waiter, left_over, mismatch
from kernbench.memory.replay import ImmediateExecutor
from kernbench.messages.commands import IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.ipcq import Metadata, QueueEnd, Wiring
from kernbench.topology.ids import PeId


class SlotTransfer:
    """A send or receive, and how many of its slots are still to do."""

    __slots__ = ("command", "n_left")

    def __init__(self, command: IpcqSendCmd | IpcqRecvCmd, n_slots: int) -> None:
        self.command = command
        self.n_left = n_slots


class Direction:
    """From one queue end into its peer's ring: what is to be sent, what is in the ring, what is to be received."""

    def __init__(self, end: QueueEnd) -> None:
        ring = end.ring
        self.to = end.peer
        self.send_ring = SendRing(ring.slots, ring.first)
        self.recv_ring = ReceiveRing(ring.slots, ring.first)
        self.sends: deque[SlotTransfer] = deque()
        self.recvs: deque[SlotTransfer] = deque()
        self.arrived: deque[tuple[Metadata, bool]] = deque()  # and whether it is a message's first slot

    def free(self, number: int, batch: int) -> None:
        """A slot is free; its credit is back at once, if that makes a batch."""
        self.recv_ring.free(number)
        self.tell(batch)

    def tell(self, batch: int) -> None:
        """Give back ``batch`` credits at a time."""
        for head in self.recv_ring.tell(batch):
            self.send_ring.credit(head)


class DataQueues:
    """All queues of a machine, by the end they lead to. ``unfinished`` are by the version that says they are done."""

    def __init__(self, executor: ImmediateExecutor, pes: Sequence[PeId]) -> None:
        self.executor = executor
        self.pes = pes
        self.into: dict[QueueEnd, Direction] = {}
        self.unfinished: dict[int, SlotTransfer] = {}
        self._seqs: defaultdict[int, dict[int, None]] = defaultdict(dict)  # unfinished, by PE
        self._ended: defaultdict[int, deque[tuple[int, list[QueueEnd]]]] = defaultdict(deque)
        self._held: dict[int, tuple[Direction, list[int]]] = {}
        self._readers: dict[int, int] = {}
        self._dead: set[int] = set()

    def install(self, wiring: Wiring) -> None:
        """Make a direction into each end."""
        for end in ends_of(wiring):
            self.into[end.peer] = Direction(end)

    def clear(self) -> None:
        """Empty everything, after a launch that failed."""
        self.into = {to: Direction(to.peer) for to in self.into}
        self.executor.values.mail.clear()
        for table in (self.unfinished, self._seqs, self._ended, self._held, self._readers, self._dead):
            table.clear()

    def remove(self, wiring: Wiring) -> None:
        """Take them away."""
        for end in ends_of(wiring):
            del self.into[end.peer]

    def send(self, command: IpcqSendCmd) -> None:
        """Begin a send behind those before it."""
        self.executor.execute(command.queue.pe, command)
        source, direction = command.operands[0], self.into[command.queue.peer]
        self._readers[source.version] = self._readers.get(source.version, 0) + 1
        transfer = SlotTransfer(command, command.queue.ring.n_slots(source.size_bytes))
        direction.sends.append(transfer)
        self._begin(transfer, direction)

    def receive(self, command: IpcqRecvCmd) -> None:
        """Begin a receive behind those before it."""
        transfer, direction = SlotTransfer(command, command.n_slots), self.into[command.queue]
        direction.recvs.append(transfer)
        self._begin(transfer, direction)

    def _begin(self, transfer: SlotTransfer, direction: Direction) -> None:
        command = transfer.command
        assert command.result is not None
        self.unfinished[command.result.version] = transfer
        self._seqs[command.queue.pe][command.seq] = None
        self.advance(direction)

    def advance(self, direction: Direction) -> None:
        """Fill slots while there are credits, match them while there are receives."""
        moves = True
        while moves:
            moves = False
            if direction.sends and direction.send_ring.credits:
                self._push(direction)
                moves = True
            if direction.recvs and direction.arrived:
                self._take(direction)
                moves = True

    def _push(self, direction: Direction) -> None:
        transfer = direction.sends[0]
        command = transfer.command
        source, ring = command.operands[0], command.queue.ring
        metadata = Metadata(source.shape, source.dtype, command.line)
        direction.recv_ring.arrive(direction.send_ring.push())
        direction.arrived.append((metadata, transfer.n_left == ring.n_slots(source.size_bytes)))
        transfer.n_left -= 1
        if not transfer.n_left:
            direction.sends.popleft()
            self._readers[source.version] -= 1
            if not self._readers[source.version]:
                del self._readers[source.version]
                self._free_if_dead(source.version)
            self._finish(transfer)  # last: behind a program's last transfer all its slots are free

    def _take(self, direction: Direction) -> None:
        transfer = direction.recvs[0]
        command = transfer.command
        assert isinstance(command, IpcqRecvCmd)
        assert command.result is not None
        metadata, _ = direction.arrived.popleft()
        error = mismatch(command, metadata, command.queue, self.pes)
        if error is not None:
            raise error
        number, batch = direction.recv_ring.take(), command.queue.ring.credit_batch
        transfer.n_left -= 1
        if command.is_copied:
            direction.free(number, batch)
        else:
            self._held.setdefault(command.result.version, (direction, []))[1].append(number)
        if not transfer.n_left:
            direction.recvs.popleft()
            self.executor.execute(command.queue.pe, command)
            self._finish(transfer)

    def _finish(self, transfer: SlotTransfer) -> None:
        result = transfer.command.result
        assert result is not None
        del self.unfinished[result.version]
        self._free_if_dead(result.version)
        pe = transfer.command.queue.pe
        del self._seqs[pe][transfer.command.seq]
        self._give_back(pe)

    def release(self, versions: Iterable[int]) -> None:
        """Nothing will read ``versions`` any more, but for what was issued."""
        for version in versions:
            self._dead.add(version)
            self._free_if_dead(version)

    def _free_if_dead(self, version: int) -> None:
        if version not in self._dead or version in self._readers or version in self.unfinished:
            return
        self._dead.discard(version)
        direction, numbers = self._held.pop(version, (None, []))
        for number in numbers:
            assert direction is not None
            direction.free(number, direction.to.ring.credit_batch)
        if direction is not None:
            self.advance(direction)

    def end_program(self, pe: int, ends: Iterable[QueueEnd]) -> None:
        """Behind a program's last command, credits wait for no batch."""
        self._ended[pe].append((next(reversed(self._seqs[pe]), -1), list(ends)))
        self._give_back(pe)

    def _give_back(self, pe: int) -> None:
        """Give back the credits of programs whose transfers are all done, whatever those behind them do."""
        ended = self._ended[pe]
        while ended and ended[0][0] < next(iter(self._seqs[pe]), ended[0][0] + 1):
            _, ends = ended.popleft()
            for end in ends:
                direction = self.into[end]
                if direction.recv_ring.withheld:
                    direction.tell(direction.recv_ring.withheld)
                    self.advance(direction)

    def waiters(self) -> Iterator[Waiter]:
        """The oldest send and receive of each direction that waits."""
        for end, direction in self.into.items():
            credits, filled = direction.send_ring.credits, direction.recv_ring.filled
            for at, waiting in ((end.peer, direction.sends), (end, direction.recvs)):
                if waiting:
                    yield Waiter(at, waiting[0].command, credits=credits, filled=filled)

    def left_over(self) -> QueueError | None:
        """The error about messages nobody received; None if there are none."""
        found = []
        for end, direction in self.into.items():
            metadata = [metadata for metadata, is_first in direction.arrived if is_first]
            n_kept = direction.recv_ring.owed
            if metadata or n_kept:
                found.append(LeftOver(end, metadata, n_kept))
        return left_over(found, self.pes) if found else None


def ends_of(wiring: Wiring) -> Iterator[QueueEnd]:
    """All ends, by PE and name."""
    for pe in wiring.pes:
        yield from wiring.sites[pe].ends.values()
