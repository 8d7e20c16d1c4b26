"""The comm channel of PE_DMA: slots out to other PEs, slots in from them, and slots copied into TCM."""

from __future__ import annotations

from collections import deque

from kernbench.components.packets import packets, request_read, transaction_for
from kernbench.components.pipeline import TcmUnit
from kernbench.components.ports import IpcqPort
from kernbench.components.transfer import Channel, Transfer
from kernbench.engine.api import ProcessBody
from kernbench.messages.fabric import COMM, QUEUE, REQ, WRITE_REQUEST, Chunk, Piece
from kernbench.messages.ipcq import IpcqDmaToken, QueueEnd, parts_of
from kernbench.messages.oplog import IPCQ_COPY
from kernbench.messages.tokens import TileToken


class CommChannel(Channel):
    """Moves slots in the order it is given them.

    Outbound, a slot takes ``setup``; its packets leave as TCM reads them and ``max_inflight`` bytes wait for the first
    link. It is sent when its last byte has left. Inbound, bytes go to the ring as they come: at TCM's write port, or on
    to memory, of which ``max_inflight`` bytes may be unacknowledged; beyond that the wire holds them.
    """

    pe_ipcq: IpcqPort  # PE_DMA's, once that is connected

    def __init__(self, dma: TcmUnit, window_bytes: int, setup_ps: int) -> None:
        super().__init__(dma, "comm", window_bytes)
        self.fabric = dma.fabric
        self.setup_ps = setup_ps
        self.most_bytes = min(dma.site.noc.packet_bytes, window_bytes)  # of a packet that leaves
        self.room_bytes = window_bytes
        self.is_refusing = False
        self._departs = self.depart  # bound once, not for every chunk
        self._sending: deque[Transfer] = deque()
        self._landing: dict[QueueEnd, dict[IpcqDmaToken, int]] = {}  # bytes that are not in memory yet

    # -- outbound ---------------------------------------------------------------------------------------------

    def send(self) -> ProcessBody:
        """Take a token, set up, move its slot."""
        while True:
            token: TileToken = yield self.inbox.get()
            self.n_open += 1
            transfer = Transfer(token, token.stage, self.engine)
            self.in_flight.put(transfer)
            yield self.setup_ps
            parcel = token.parcel
            assert parcel is not None
            transfer.left_bytes = parcel.size_bytes
            if token.stage.kind is IPCQ_COPY:
                yield from self._send(transfer, parcel)
            elif parcel.to.ring.kind == "tcm":
                self._copy(transfer)
            else:
                yield from self._read(transfer, parcel)

    def _send(self, transfer: Transfer, parcel: IpcqDmaToken) -> ProcessBody:
        context = transfer.token.context
        if parcel.part + 1 == context.n_tiles:
            self.dma.commit(context)
        # Chunks leave in the order they are posted, so who waits for that needs no more than the order of the slots.
        self._sending.append(transfer)
        here, there = self.dma.address, self.dma.graph.niu_of(parcel.to.pe)
        for size_bytes in parts_of(parcel.size_bytes, self.most_bytes):
            if not self.window.try_take(size_bytes):
                yield self.window.take(size_bytes)
            for chunk in self.fabric.packet(QUEUE, parcel, size_bytes):
                chunk.leaving = self._departs
                tail_ps, serial_ps = self.dma.read_out(chunk.payload_bytes)
                self.fabric.post(chunk, here, there, COMM, tail_ps, serial_ps)

    def depart(self, chunk: Chunk) -> None:
        """A chunk leaves, as all do in their order; a slot is sent when its last one has."""
        self.window.give(chunk.payload_bytes)
        transfer = self._sending[0]
        if transfer.left_bytes == chunk.payload_bytes:
            self._sending.popleft()
        transfer.count(chunk.payload_bytes, chunk.departs_ps)

    def _copy(self, transfer: Transfer) -> None:
        """From a ring in TCM into its scratch region: through both ports."""
        size_bytes, now_ps = transfer.stage.size_bytes, self.engine.now_ps
        read_ps = self.dma.pe_tcm.read(size_bytes, now_ps, now_ps)
        transfer.count(transfer.left_bytes, self.dma.pe_tcm.write(size_bytes, now_ps, read_ps))

    def _read(self, transfer: Transfer, parcel: IpcqDmaToken) -> ProcessBody:
        size_bytes = parcel.size_bytes
        if not size_bytes:
            transfer.answered.fire()
            return
        piece = Piece(parcel.to.owner, parcel.pa, size_bytes, size_bytes, 1, 0, size_bytes)
        for packet in packets(piece, self.most_bytes):
            yield self.window.take(packet.size_bytes)
            request_read(self.dma.site, packet, self.on_answer, transfer)

    # -- inbound ----------------------------------------------------------------------------------------------

    def land(self, chunk: Chunk) -> bool:
        """Take a chunk of a slot, if there is room for it."""
        parcel: IpcqDmaToken = chunk.body
        size_bytes = chunk.payload_bytes
        if parcel.to.ring.kind == "tcm":
            landed_ps = self.dma.pe_tcm.write(size_bytes, chunk.ready_ps, self.engine.now_ps)
            parcel.landed_ps = max(parcel.landed_ps, landed_ps)
            parcel.left_bytes -= size_bytes
            if parcel.left_bytes == 0:
                self.arrive(parcel, parcel.landed_ps)
            return True
        # A chunk larger than all the room there is passes when nothing else is under way.
        if size_bytes > self.room_bytes and self.room_bytes < self.window.total:
            self.is_refusing = True
            return False
        # Writes to different channels of a memory may overtake each other; slots must not (see _arrive_in_order).
        self._landing.setdefault(parcel.to, {}).setdefault(parcel, parcel.size_bytes)
        offset = parcel.size_bytes - parcel.left_bytes
        parcel.left_bytes -= size_bytes
        self.room_bytes -= size_bytes
        if size_bytes:
            self._write(parcel, chunk, offset)
        else:
            self._arrive_in_order(parcel.to)
        return True

    def _write(self, parcel: IpcqDmaToken, chunk: Chunk, offset: int) -> None:
        """Send ``chunk``, ``offset`` bytes into the slot, on to memory as it came: a packet of its own."""
        size_bytes, address, now_ps = chunk.payload_bytes, self.dma.address, self.engine.now_ps
        piece = Piece(parcel.to.owner, parcel.pa + offset, size_bytes, size_bytes, 1, 0, size_bytes)
        transaction = transaction_for(self.dma.site, piece, self.settle, is_write=True, tag=parcel)
        (onward,) = self.fabric.packet(WRITE_REQUEST, transaction, size_bytes)
        self.fabric.post(onward, address, piece.owner, REQ, now_ps, now_ps - chunk.ready_ps)

    def settle(self, ack: Chunk) -> None:
        """Bytes of a slot are in memory: with its last ones it is here, and others have room."""
        parcel, size_bytes = ack.body.tag, ack.body.size_bytes
        self._landing[parcel.to][parcel] -= size_bytes
        self.room_bytes += size_bytes
        if self.is_refusing:
            self.is_refusing = False
            self.fabric.resume(self.dma.address)
        self._arrive_in_order(parcel.to)

    def _arrive_in_order(self, end: QueueEnd) -> None:
        """The slots of a ring in memory are here in their order: one that is empty behind those that are written."""
        # Room that was made may have let an empty slot in, with which all of them arrived.
        landing = self._landing.setdefault(end, {})
        for parcel in list(landing):
            if landing[parcel]:
                break
            del landing[parcel]
            self.arrive(parcel, self.engine.now_ps)
        if not landing:
            del self._landing[end]

    def arrive(self, parcel: IpcqDmaToken, landed_ps: int) -> None:
        """All of ``parcel`` is in its ring at ``landed_ps``: bytes and metadata are visible then, both at once."""
        self.engine.at(landed_ps, self.pe_ipcq.rank, self.pe_ipcq.arrive, parcel)
