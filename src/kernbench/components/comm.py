"""The comm channel of PE_DMA: slots out to other PEs, slots in from them, and slots copied into TCM."""

from __future__ import annotations

from collections import deque
from functools import partial

from kernbench.components.base import Meter
from kernbench.components.packets import packets, request_read, transaction_for
from kernbench.components.pipeline import Station, TcmUnit
from kernbench.components.ports import IpcqPort
from kernbench.engine.api import Chunk, ProcessBody, Queue
from kernbench.messages.fabric import PacketKind, Piece, Transaction, Vc
from kernbench.messages.ipcq import IpcqDmaToken, QueueEnd, parts_of
from kernbench.messages.oplog import OpCode
from kernbench.messages.tokens import TileToken


class Outgoing:
    """A slot that is being sent or copied; ``done`` fires when ``end_ps`` is known."""

    __slots__ = ("begin_ps", "done", "end_ps", "n_left", "token")

    def __init__(self, token: TileToken, comm: CommChannel) -> None:
        self.token = token
        self.begin_ps = self.end_ps = comm.engine.now_ps
        self.n_left = 0
        self.done = comm.engine.signal()


class Drain:
    """A slot that is read from a ring in memory; it is the owner of its transactions."""

    __slots__ = ("comm", "left_bytes", "out")

    def __init__(self, comm: CommChannel, out: Outgoing, size_bytes: int) -> None:
        self.comm = comm
        self.out = out
        self.left_bytes = size_bytes

    def receive(self, chunk: Chunk) -> None:
        """Data of the read has come: into TCM."""
        comm, out = self.comm, self.out
        comm.window.give(chunk.payload_bytes)
        landed_ps = comm.dma.tcm_ps(True, chunk.payload_bytes, chunk.ready_ps, comm.engine.now_ps)
        out.end_ps = max(out.end_ps, landed_ps)
        self.left_bytes -= chunk.payload_bytes
        if self.left_bytes == 0:
            out.done.fire()


class Landing:
    """A slot that is being written to a ring in memory; it is the owner of its transactions."""

    __slots__ = ("comm", "parcel", "unwritten_bytes")

    def __init__(self, comm: CommChannel, parcel: IpcqDmaToken) -> None:
        self.comm = comm
        self.parcel = parcel
        self.unwritten_bytes = parcel.size_bytes

    def write(self, chunk: Chunk, offset: int) -> None:
        """Send ``chunk``, ``offset`` bytes into the slot, on to memory as it came: a packet of its own."""
        comm, size_bytes = self.comm, chunk.payload_bytes
        piece = Piece(self.parcel.to.owner, self.parcel.pa + offset, size_bytes, size_bytes, 1, 0, size_bytes)
        transaction = transaction_for(comm.dma.site, piece, self, comm.address, is_write=True)
        (onward,) = comm.fabric.packet(PacketKind.WRITE_REQUEST, transaction, size_bytes)
        now_ps = comm.engine.now_ps
        comm.fabric.post(onward, comm.address, piece.owner, Vc.REQ, now_ps, now_ps - chunk.ready_ps)

    def landed(self, transaction: Transaction) -> None:
        """The last bytes are in memory; the receiver learns of them by the acknowledgement."""

    def receive(self, chunk: Chunk) -> None:
        """A part of the slot is acknowledged; with the last one the slot is here."""
        size_bytes = chunk.body.size_bytes
        self.unwritten_bytes -= size_bytes
        self.comm.make_room(size_bytes)
        self.comm.settle(self.parcel.to)


class CommChannel:
    """Moves slots in the order it is given them.

    Outbound, a slot takes ``setup``; its packets leave as TCM reads them and ``max_inflight`` bytes wait for the first
    link. It is sent when its last byte has left. Inbound, bytes go to the ring as they come: at TCM's write port, or on
    to memory, of which ``max_inflight`` bytes may be unacknowledged; beyond that the wire holds them.
    """

    pe_ipcq: IpcqPort  # PE_DMA's, once that is connected

    def __init__(self, dma: TcmUnit, window_bytes: int, setup_ps: int) -> None:
        self.dma = dma
        self.address = dma.address
        self.engine = dma.engine
        self.fabric = dma.fabric
        self.setup_ps = setup_ps
        name = f"{dma.node.name}.comm"
        self.inbox: Queue[TileToken] = dma.engine.queue(dma.inbox_depth(), name)
        self.in_flight: Queue[Outgoing] = dma.engine.queue(None, f"{name}.in_flight")
        self.window = dma.engine.credits(window_bytes, f"{name}.window")
        self.room_bytes = window_bytes
        self.is_refusing = False
        self.station = Station(Meter())
        self.n_open = 0
        self._landings: dict[QueueEnd, deque[Landing]] = {}

    @property
    def most_bytes(self) -> int:
        """The largest packet that leaves."""
        return min(self.dma.site.noc.packet_bytes, self.window.total)

    # -- outbound ---------------------------------------------------------------------------------------------

    def send(self) -> ProcessBody:
        """Take a token, set up, move its slot."""
        while True:
            token: TileToken = yield self.inbox.get()
            self.n_open += 1
            out = Outgoing(token, self)
            yield self.in_flight.put(out)
            yield self.setup_ps
            if token.stage.kind is OpCode.IPCQ_COPY:
                yield from self._send(out)
            elif token.parcel is not None and token.parcel.to.ring.kind == "tcm":
                self._copy(out)
            else:
                yield from self._read(out)

    def _send(self, out: Outgoing) -> ProcessBody:
        parcel = out.token.parcel
        assert parcel is not None
        if parcel.part + 1 == parcel.metadata.n_slots:
            self.dma.commit(out.token.context)
        here, there = self.address, self.dma.graph.niu_of(parcel.to.pe)
        sizes = parts_of(parcel.size_bytes, self.most_bytes)
        by_packet = [self.fabric.packet(PacketKind.QUEUE, parcel, size_bytes) for size_bytes in sizes]
        out.n_left = sum(map(len, by_packet))
        for size_bytes, chunks in zip(sizes, by_packet, strict=True):
            yield self.window.take(size_bytes)
            for chunk in chunks:
                chunk.leaving = partial(self._left, out)
                tail_ps, serial_ps = self.dma.read_out(chunk.payload_bytes)
                self.fabric.post(chunk, here, there, Vc.COMM, tail_ps, serial_ps)

    def _left(self, out: Outgoing, chunk: Chunk) -> None:
        """The first link takes ``chunk``."""
        out.end_ps = self.fabric.departs_ps(chunk)
        self.window.give(chunk.payload_bytes)
        out.n_left -= 1
        if out.n_left == 0:
            out.done.fire()

    def _copy(self, out: Outgoing) -> None:
        """From a ring in TCM into its scratch region: through both ports."""
        size_bytes, now_ps = out.token.stage.size_bytes, self.engine.now_ps
        read_ps = self.dma.tcm_ps(False, size_bytes, now_ps)
        out.end_ps = self.dma.tcm_ps(True, size_bytes, now_ps, read_ps)
        out.done.fire()

    def _read(self, out: Outgoing) -> ProcessBody:
        parcel = out.token.parcel
        assert parcel is not None
        size_bytes = parcel.size_bytes
        drain = Drain(self, out, size_bytes)
        if not size_bytes:
            out.done.fire()
            return
        piece = Piece(parcel.to.owner, parcel.pa, size_bytes, size_bytes, 1, 0, size_bytes)
        for packet in packets(piece, self.most_bytes):
            yield self.window.take(packet.size_bytes)
            request_read(self.dma.site, packet, drain, self.address)

    def retire(self) -> ProcessBody:
        """Wait for the oldest slot, log it, pass its token on."""
        station = self.station
        while True:
            out: Outgoing = yield self.in_flight.get()
            yield out.done
            if out.end_ps > self.engine.now_ps:
                yield out.end_ps - self.engine.now_ps
            start_ps = station.worked(out.begin_ps, self.engine.now_ps)
            self.n_open -= 1
            token, kind, parcel = out.token, out.token.stage.kind, out.token.parcel
            record = self.dma.log_stage(token, station, start_ps)
            assert parcel is not None
            if kind is OpCode.IPCQ_COPY:
                parcel.record = record
            else:
                self.pe_ipcq.free(parcel.to, parcel.number, record)
            if not self.dma.try_pass_on(token, record):
                yield from self.dma.pass_on_late(token, station, record)

    # -- inbound ----------------------------------------------------------------------------------------------

    def land(self, chunk: Chunk) -> bool:
        """Take a chunk of a slot, if there is room for it."""
        parcel: IpcqDmaToken = chunk.body
        size_bytes = chunk.payload_bytes
        if parcel.to.ring.kind == "tcm":
            landed_ps = self.dma.tcm_ps(True, size_bytes, chunk.ready_ps, self.engine.now_ps)
            parcel.landed_ps = max(parcel.landed_ps, landed_ps)
            parcel.left_bytes -= size_bytes
            if parcel.left_bytes == 0:
                self.arrive(parcel, parcel.landed_ps)
            return True
        if size_bytes > self.room_bytes and self.room_bytes < self.window.total:
            self.is_refusing = True
            return False
        landings = self._landings.setdefault(parcel.to, deque())
        if not landings or landings[-1].parcel is not parcel:
            landings.append(Landing(self, parcel))
        parcel.left_bytes -= size_bytes
        if size_bytes:
            self.room_bytes -= size_bytes
            landings[-1].write(chunk, parcel.size_bytes - parcel.left_bytes - size_bytes)
        else:
            self.settle(parcel.to)
        return True

    def settle(self, end: QueueEnd) -> None:
        """The slots of a ring in memory are here in their order: one that is empty behind those that are written."""
        landings = self._landings[end]
        while landings and not landings[0].unwritten_bytes:
            self.arrive(landings.popleft().parcel, self.engine.now_ps)
        if not landings:
            del self._landings[end]

    def make_room(self, size_bytes: int) -> None:
        """``size_bytes`` are in memory."""
        self.room_bytes += size_bytes
        if self.is_refusing:
            self.is_refusing = False
            self.fabric.resume(self.address)

    def arrive(self, parcel: IpcqDmaToken, landed_ps: int) -> None:
        """All of ``parcel`` is in its ring at ``landed_ps``: bytes and metadata are visible then, both at once."""
        self.engine.at(landed_ps, self.pe_ipcq.rank, self.pe_ipcq.arrive, parcel)
