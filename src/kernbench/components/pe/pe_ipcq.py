"""PE_IPCQ: the control plane of the queues to other PEs. It moves no data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kernbench.components.base import COMPONENTS, Site
from kernbench.components.meter import Meter
from kernbench.components.pipeline import PipelineUnit, Station
from kernbench.components.ports import IpcqPort
from kernbench.config.pe import IpcqSpec
from kernbench.engine.api import Engine, Inlet, ProcessBody, Queue, Signal
from kernbench.kinds import Cause, Kind, Op
from kernbench.memory.ipcq_ring import ReceiveRing, SendRing
from kernbench.memory.ipcq_waits import LeftOver, Waiter, mismatch
from kernbench.messages.commands import Command, IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.ipcq import CreditMsg, IpcqDmaToken, Metadata, QueueEnd, QueuesMsg, QueuesRemoveMsg
from kernbench.messages.oplog import CONTROL, NO_CAUSE, SLOT, OpCode, Row
from kernbench.messages.tokens import TileToken
from kernbench.units import format_bytes, format_ps
from kernbench.wording import plural


class QueueSide:
    """One direction of a queue end. ``waiting`` is the command of the token that waits here, if any.

    ``moved_ps`` is when anything last happened in this direction.
    """

    __slots__ = ("changed", "inbox", "moved_ps", "record", "station", "waiting")

    def __init__(self, engine: Engine, name: str, depth: int) -> None:
        self.inbox: Queue[TileToken | None] = engine.queue(depth, name)
        self.station = Station(Meter())
        self.changed: Signal | None = None
        self.record = NO_CAUSE
        self.moved_ps = engine.now_ps
        self.waiting: Command | None = None


class Rings:
    """A queue end's two directions: the peer's ring that it sends into, and its own."""

    __slots__ = ("arrived", "recv", "recv_ring", "send", "send_ring")

    def __init__(self, engine: Engine, end: QueueEnd, name: str, depth: int) -> None:
        ring = end.ring
        self.send = QueueSide(engine, f"{name}.send", depth)
        self.send_ring = SendRing(ring.slots, ring.first)
        self.recv = QueueSide(engine, f"{name}.recv", depth)
        self.recv_ring = ReceiveRing(ring.slots, ring.first)
        self.arrived: Queue[IpcqDmaToken] = engine.queue(None, f"{name}.arrived")


_SLOT = Op(
    OpCode.SLOT,
    Cause(
        "credit return",
        "all slots of a queue were in use",
        "use more slots, free received blocks earlier, let senders sleep instead of poll, "
        "or place PEs that talk nearer",
    ),
    waits="for other PEs",
)
_RECV = Op(
    OpCode.RECV,
    Cause(
        "message on the fabric",
        "a slot's last bytes travel to the receiver",
        "place PEs that talk nearer, send earlier, or send fewer and larger messages",
    ),
    waits="for other PEs",
)


class PeIpcq(PipelineUnit):
    """Keeps the rings of each installed queue end.

    A part of a message waits here for a credit, then has its slot at no further cost; a receive waits for a slot. With
    ``poll``, a sender looks every ``poll`` from when it asked; with ``sleep``, the credit wakes it. Freed slots become
    credits of ``credit_size`` bytes on the fast path. Installing or removing queues takes ``install`` for each end.
    """

    kind = Kind(
        "pe_ipcq",
        IpcqSpec,
        part="ipcq",
        shared=("directions", "slots", "slot_size", "buffer"),
        gives_to=("niu", "pe_dma", "pe_scheduler"),
        stages=(_SLOT, _RECV),
        role="control",
        place=(0.465, 0.55),
        figures=lambda spec, pe: (
            plural(len(spec.directions), "queue"),
            f"{spec.slots} x {format_bytes(spec.slot_bytes)}",
        ),
    ).declare()

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: IpcqSpec = site.node.spec
        self.rings: dict[QueueEnd, Rings] = {}
        self._held: dict[int, tuple[QueueEnd, list[int]]] = {}

    def inbox_depth(self) -> int | None:
        """Installations come one at a time."""
        return None

    def entry(self, token: TileToken) -> Inlet[TileToken]:
        """Each direction of each queue has its own."""
        rings = self.rings[end_of(token.context.command)]
        return rings.send.inbox if token.stage.kind is SLOT else rings.recv.inbox

    def meters(self) -> Iterator[tuple[str, Meter]]:
        """None: waiting is all it does, and the kernel's breakdown says for what."""
        return iter(())

    def waiters(self, rings_of: Mapping[QueueEnd, Rings]) -> Iterator[Waiter]:
        """Each direction's oldest command that waits here; ``rings_of`` all queue ends, since a ring has two."""
        for end, mine in self.rings.items():
            peer = rings_of[end.peer]
            for side, sender, receiver in ((mine.send, mine, peer), (mine.recv, peer, mine)):
                if side.waiting is not None:
                    yield Waiter(
                        end,
                        side.waiting,
                        credits=sender.send_ring.credits,
                        filled=receiver.recv_ring.filled,
                        progress=format_ps(side.moved_ps),
                    )

    def left_over(self) -> Iterator[LeftOver]:
        """What a launch must not leave: messages that nobody received, slots that were never freed or told of."""
        for end, rings in self.rings.items():
            metadata = [parcel.metadata for parcel in rings.arrived if parcel.part == 0]
            n_kept = rings.recv_ring.owed
            if metadata or n_kept:
                yield LeftOver(end, metadata, n_kept)

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """What takes messages; each queue adds two of its own."""
        yield "messages", self.run()

    def run(self) -> ProcessBody:
        """Take a message, install or remove, report."""
        while True:
            message: QueuesMsg = yield self.inbox.get()
            start_ps = self.engine.now_ps
            ends = message.wiring.sites[self.pe].ends.values()
            yield self.params.install_ps * len(ends)
            removes = isinstance(message, QueuesRemoveMsg)
            for end in ends:
                if removes:
                    self._remove(end)
                else:
                    self._install(end)
            size_bytes = message.wiring.tcm_bytes(self.pe)
            self.pe_scheduler.reserve(-size_bytes if removes else size_bytes)
            self.note(CONTROL, start_ps, message.job)
            self.report_done(message.job, message.reply_to)

    def _install(self, end: QueueEnd) -> None:
        name = f"{self.node.name}.{end.name}"
        depth = self.site.pe_spec.scheduler.tile_queue
        rings = self.rings[end] = Rings(self.engine, end, name, depth)
        self.engine.process(self.send(end, rings), f"{name}.send")
        self.engine.process(self.recv(end, rings), f"{name}.recv")

    def _remove(self, end: QueueEnd) -> None:
        rings = self.rings.pop(end)
        rings.send.inbox.put(None)
        rings.recv.inbox.put(None)
        self.pe_scheduler.forget_lanes(end)

    # -- sending ----------------------------------------------------------------------------------------------

    def send(self, end: QueueEnd, rings: Rings) -> ProcessBody:
        """Take a part of a message, wait for a credit, give it its slot."""
        side, ring = rings.send, rings.send_ring
        while (token := (yield side.inbox.get())) is not None:
            start_ps = self.engine.now_ps
            if not ring.credits:
                side.waiting = token.context.command
                yield from self._wait_for_credit(side, ring, end)
                side.waiting = None
                token.cause, token.arrived_ps = side.record, start_ps
            record = self._give_slot(token, end, rings, start_ps)
            if not self.try_pass_on(token, record):
                yield from self.pass_on_late(token, side.station, record)

    def _give_slot(self, token: TileToken, end: QueueEnd, rings: Rings, start_ps: int) -> Row:
        """Fill the next slot with the part that came at ``start_ps``; the record of that."""
        side = rings.send
        token.parcel = parcel = parcel_of(token, end, rings.send_ring.push())
        side.moved_ps = self.engine.now_ps
        parcel.record = record = self.log_stage(token, side.station, start_ps)
        return record

    def _wait_for_credit(self, side: QueueSide, ring: SendRing, end: QueueEnd) -> ProcessBody:
        asked_ps = self.engine.now_ps
        while not ring.credits:
            side.changed = self.engine.signal()
            yield side.changed
            if end.ring.backpressure == "poll":
                yield (asked_ps - self.engine.now_ps) % self.params.poll_ps

    def credit(self, message: CreditMsg) -> None:
        """Credits have come back."""
        rings = self.rings[message.to]
        side = rings.send
        if not rings.send_ring.credits:
            side.record = message.record
        rings.send_ring.credit(message.head)
        side.moved_ps = self.engine.now_ps
        if side.changed is not None:
            changed, side.changed = side.changed, None
            changed.fire()

    # -- receiving --------------------------------------------------------------------------------------------

    def arrive(self, parcel: IpcqDmaToken) -> None:
        """A slot is in its ring, with its metadata."""
        rings = self.rings[parcel.to]
        rings.recv_ring.arrive(parcel.number)
        rings.recv.moved_ps = self.engine.now_ps
        rings.arrived.put(parcel)

    def recv(self, end: QueueEnd, rings: Rings) -> ProcessBody:
        """Take a receive, wait for a slot, match the two."""
        side = rings.recv
        while (token := (yield side.inbox.get())) is not None:
            start_ps = self.engine.now_ps
            side.waiting = token.context.command
            parcel: IpcqDmaToken = yield rings.arrived.get()
            side.waiting = None
            record = self._match(token, parcel, end, rings, start_ps)
            if not self.try_pass_on(token, record):
                yield from self.pass_on_late(token, side.station, record)

    def _match(
        self, token: TileToken, parcel: IpcqDmaToken, end: QueueEnd, rings: Rings, start_ps: int
    ) -> Row:
        """Give a slot to the receive that came at ``start_ps``; the record of that."""
        side, context, now_ps = rings.recv, token.context, self.engine.now_ps
        command = context.command
        assert isinstance(command, IpcqRecvCmd)
        self._check(command, parcel.metadata, end)
        if now_ps > start_ps:
            token.cause, token.arrived_ps = parcel.record, start_ps
        token.parcel = parcel
        number = rings.recv_ring.take()
        side.moved_ps = now_ps
        if token.index + 1 == context.n_tiles:
            self.commit(context)  # a copy may end late; values keep the order of their queue
        if not command.is_copied:
            assert command.result is not None
            self._held.setdefault(command.result.version, (end, []))[1].append(number)
        return self.log_stage(token, side.station, start_ps)

    def _check(self, command: IpcqRecvCmd, metadata: Metadata, end: QueueEnd) -> None:
        """What came must be what is received; an error that names both lines if not."""
        found = mismatch(command, metadata, end, self.graph.pes)
        if found is not None:
            raise found

    def release(self, version: int, record: Row) -> None:
        """Nothing reads the value ``version`` any more: its slots are free."""
        end, numbers = self._held.pop(version)
        for number in numbers:
            self.free(end, number, record)

    def free(self, end: QueueEnd, number: int, record: Row) -> None:
        """A slot is free; tell the sender, if that makes a batch."""
        ring = self.rings[end].recv_ring
        ring.free(number)
        self._tell(end, end.ring.credit_batch, record)

    def give_back(self, record: Row) -> None:
        """A program has ended: credits that wait for their batch to fill travel now."""
        for end, rings in self.rings.items():
            if rings.recv_ring.withheld:
                self._tell(end, rings.recv_ring.withheld, record)

    def _tell(self, end: QueueEnd, batch: int, record: Row) -> None:
        dst = self.graph.niu_of(end.peer.pe)
        for head in self.rings[end].recv_ring.tell(batch):
            self.fabric.credit(CreditMsg(end.peer, head, record), self.address, dst, self.params.credit_bytes)


def end_of(command: Command) -> QueueEnd:
    """The queue end that a command uses."""
    assert isinstance(command, (IpcqSendCmd, IpcqRecvCmd))
    return command.queue


def parcel_of(token: TileToken, end: QueueEnd, number: int) -> IpcqDmaToken:
    """The slot ``number`` of the peer's ring, filled with a token's part of its message."""
    command = token.context.command
    source = command.operands[0]
    return IpcqDmaToken(
        to=end.peer,
        number=number,
        part=token.index,
        size_bytes=token.plan.stages[-1].size_bytes,
        metadata=Metadata(source.shape, source.dtype, command.line),
    )


COMPONENTS.register("pe_ipcq_v1")(PeIpcq)
_: type[IpcqPort] = PeIpcq  # mypy: it has the face that its neighbours see
