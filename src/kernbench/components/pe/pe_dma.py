"""PE_DMA: between memory, over the fabric, and TCM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile

from kernbench.components.advice import LOADS, NARROWER, SHORT_LOADS, SHORT_STORES, STORES
from kernbench.components.base import COMPONENTS, Component, Site
from kernbench.components.comm import CommChannel
from kernbench.components.meter import Meter
from kernbench.components.packets import packets, transaction_for
from kernbench.components.pipeline import TcmUnit
from kernbench.components.ports import DmaPort, IpcqPort, MmuPort, port
from kernbench.components.transfer import Channel, Transfer
from kernbench.config.pe import DmaSpec
from kernbench.engine.api import Inlet, ProcessBody
from kernbench.kinds import Cause, Kind, Op
from kernbench.messages.access import Access
from kernbench.messages.fabric import READ_REQUEST, REQ, WRITE_REQUEST, Chunk, PagePieces, Piece, Transaction
from kernbench.messages.lines import GATHER
from kernbench.messages.oplog import DMA_READ, DMA_WRITE, DRAIN, IPCQ_COPY, OpCode, Row
from kernbench.messages.tokens import Stage, TileToken
from kernbench.units import format_bytes

ADDRESS_BYTES = 8  # what a further run of a gather adds to its request


_SETUP = Cause(
    "dma setup and window",
    "PE_DMA prepares descriptors or its window is full",
    cures={LOADS: "load larger blocks", STORES: "store larger blocks"},
)
_WALK = Cause(
    "page walk", "the TLB did not hold the page", "touch fewer pages, or fit pe.mmu.page to the shards"
)
_REQUEST = Cause(
    "request on the fabric",
    "requests and acknowledgements travel",
    cures={
        GATHER: "let the pointers be affine in their indices",
        LOADS: "place data nearer, load larger blocks, or load earlier",
        STORES: "place data nearer, or store larger blocks",
    },
)
_QUEUE = Cause(
    "hbm queue",
    "other requests are first at this memory",
    "spread the data over more channels, or let programs touch it in different orders",
)
_HBM = Cause(
    "hbm",
    "the memory's own latency and rate",
    cures={
        SHORT_LOADS: f"load larger runs, load earlier, reuse what was loaded, or {NARROWER}",
        SHORT_STORES: f"store larger runs, or {NARROWER}",
        LOADS: f"load earlier, reuse what was loaded, or {NARROWER}",
        STORES: NARROWER,
    },
)
_DATA = Cause(
    "data on the fabric",
    "data travels",
    cures={
        SHORT_LOADS: f"place data nearer, load larger runs, or {NARROWER}",
        SHORT_STORES: f"place data nearer, store larger runs, or {NARROWER}",
        LOADS: f"place data nearer, or {NARROWER}",
        STORES: f"place data nearer, or {NARROWER}",
    },
)
# A read's data comes back after its request; a write's data goes out with it and an acknowledgement comes back.
_READ = Op(OpCode.DMA_READ, _SETUP, marks=(_WALK, _REQUEST, _QUEUE, _HBM, _DATA))
_WRITE = Op(OpCode.DMA_WRITE, _SETUP, marks=(_WALK, _DATA, _QUEUE, _HBM, _REQUEST))
_SEND = Op(
    OpCode.IPCQ_COPY,
    Cause("send", "PE_DMA sets up and a slot's bytes leave", "use larger slots, or send fewer bytes"),
)
_DRAIN = Op(
    OpCode.DRAIN,
    Cause(
        "slot to tcm",
        "PE_DMA copies a slot to where the block lies",
        "let the ring lie in TCM, or let it hold a whole message",
    ),
)


class PeDma(TcmUnit):
    """Three channels: for reads, for writes, and for slots of queues (``components/comm.py``).

    A descriptor takes ``setup``; then PE_MMU looks up its pages, one after the other, and the packets of a page leave
    when it is known, as the window has room. The set-up of the next descriptor overlaps with them. A read is done when
    its last byte is in TCM, a write when its last packet is acknowledged. The record of a descriptor begins where the
    one before it in its channel ended, if that is later than its own set-up: a channel retires one at a time.
    """

    kind = Kind(
        "pe_dma",
        DmaSpec,
        part="dma",
        gives_to=("niu", "pe_mmu", "pe_tcm", "pe_fetch_store", "pe_ipcq", "pe_scheduler"),
        stages=(_READ, _WRITE, _SEND, _DRAIN),
        role="move",
        place=(0.22, 0.62),
        figures=lambda spec, pe: (
            f"set-up {spec.setup_ps / 1000:g} ns",
            f"{format_bytes(spec.max_inflight_bytes)} in flight",
        ),
    ).declare()
    pe_ipcq = port(IpcqPort)
    pe_mmu = port(MmuPort)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: DmaSpec = site.node.spec
        self.rd = Channel(self, "rd", self.params.max_inflight_bytes)
        self.wr = Channel(self, "wr", self.params.max_inflight_bytes)
        self.comm = CommChannel(self, self.params.max_inflight_bytes, self.params.setup_ps)

    def connect(self, neighbours: Mapping[str, Component]) -> None:
        """Bind the ports, those of the comm channel too."""
        super().connect(neighbours)
        self.comm.pe_ipcq = self.pe_ipcq

    def entry(self, token: TileToken) -> Inlet[TileToken]:
        """Each channel has its own queue."""
        kind = token.stage.kind
        if kind is DMA_READ:
            return self.rd.inbox
        return self.wr.inbox if kind is DMA_WRITE else self.comm.inbox

    def meters(self) -> Iterator[tuple[str, Meter]]:
        """One for each channel, brought up to the present instant where that is at rest."""
        for name, channel in (("rd", self.rd), ("wr", self.wr), ("comm", self.comm)):
            if channel.n_open == 0:
                channel.station.settle(self.engine.now_ps)
            yield name, channel.station.meter

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """For each channel what sends requests, and what retires transfers."""
        for name, channel in (("rd", self.rd), ("wr", self.wr)):
            yield name, self.send(channel)
            yield f"{name}.retire", self.retire(channel)
        yield "comm", self.comm.send()
        yield "comm.retire", self.retire(self.comm)

    def land(self, chunk: Chunk) -> bool:
        """Part of a slot of a queue has come; False: no room."""
        return self.comm.land(chunk)

    def send(self, channel: Channel) -> ProcessBody:
        """Take a token; for each of its stages here: translate, set up, and send page by page."""
        while True:
            token: TileToken = yield channel.inbox.get()
            stages = stages_here(token)
            for stage in stages:
                channel.n_open += 1
                descriptor = Transfer(token, stage, self.engine, is_chained=stage is not stages[-1])
                channel.in_flight.put(descriptor)
                access = stage.access
                assert access is not None
                line, is_write = token.context.command.line, channel is self.wr
                # What the addresses mean is known at once, a fault too; time for knowing it is spent page by page.
                pages = self.pe_mmu.translate(access, line, is_write=is_write)
                yield self.params.setup_ps
                descriptor.left_bytes = sum(piece.size_bytes for page in pages for piece in page.pieces)
                self._fill(descriptor)
                yield from self._send_pages(channel, descriptor, pages, access)
                if not pages:
                    descriptor.answered.fire()

    def _send_pages(
        self, channel: Channel, descriptor: Transfer, pages: tuple[PagePieces, ...], access: Access
    ) -> ProcessBody:
        send = self._read if channel is self.rd else self._write
        before: Transaction | None = None
        for page, pieces in pages:
            walk_ps = yield from self.pe_mmu.look_up(page, descriptor.token.context.command)
            for packet in self._packets(pieces, access):
                asked_ps = self.engine.now_ps
                if not channel.window.try_take(packet.size_bytes):
                    yield channel.window.take(packet.size_bytes)
                is_write = channel is self.wr
                transaction = transaction_for(
                    self.site,
                    packet,
                    channel.answered,
                    is_write=is_write,
                    tag=descriptor,
                    landed=self.landed if is_write else None,
                )
                # What it stood behind, for the report: an answer that made room, or else the packet before it.
                if self.engine.now_ps > asked_ps:
                    transaction.behind = descriptor.last
                else:
                    transaction.behind, transaction.walk_ps = before, walk_ps
                send(descriptor, transaction)
                before, walk_ps = transaction, 0

    def retire(self, channel: Channel) -> ProcessBody:
        """Wait for the oldest transfer, log it, pass its token on after its last stage here."""
        station = channel.station
        while True:
            transfer: Transfer = yield channel.in_flight.get()
            yield transfer.answered
            if transfer.end_ps > self.engine.now_ps:
                yield transfer.end_ps - self.engine.now_ps
            now_ps = self.engine.now_ps
            start_ps = station.worked(transfer.begin_ps, now_ps)
            channel.n_open -= 1
            token, access = transfer.token, transfer.stage.access
            va = -1 if access is None else access.va
            record = self.log_stage(token, station, start_ps, va=va, marks=transfer.marks(start_ps, now_ps))
            self._release(transfer, record)
            if not transfer.is_chained and not self.try_pass_on(token, record):
                yield from self.pass_on_late(token, station, record)

    def _release(self, transfer: Transfer, record: Row) -> None:
        """Free what a stage held that ended as ``record`` says: staging in TCM, or a slot that was copied."""
        kind, parcel = transfer.stage.kind, transfer.token.parcel
        if kind is DMA_WRITE:
            self.free_staging(transfer.token, kind, record)
        elif parcel is not None and kind is IPCQ_COPY:
            parcel.record = record
        elif parcel is not None and kind is DRAIN:
            self.pe_ipcq.free(parcel.to, parcel.number, record)

    def landed(self, transaction: Transaction) -> None:
        """A write is in memory. With the last of its command, the command commits."""
        context = transaction.tag.token.context
        context.unwritten_bytes -= transaction.size_bytes
        if context.unwritten_bytes == 0:
            self.commit(context)

    def _packets(self, pieces: tuple[Piece, ...], access: Access) -> Iterator[Piece]:
        """Packets in the order of the pieces; a request of a gather, with its addresses, is one chunk."""
        noc = self.site.noc
        limit_bytes = min(noc.packet_bytes, self.params.max_inflight_bytes)
        for piece in pieces:
            most_bytes = limit_bytes
            if access.addresses is not None:
                n_runs = 1 + noc.chunk_bytes // ADDRESS_BYTES
                most_bytes = min(limit_bytes, n_runs * piece.run_bytes)
            yield from packets(piece, most_bytes)

    def _read(self, descriptor: Transfer, transaction: Transaction) -> None:
        """Ask for a packet; only the runs of a gather need an address each."""
        access, packet = descriptor.stage.access, transaction.piece
        is_gather = access is not None and access.addresses is not None
        address_bytes = ADDRESS_BYTES * (packet.n_runs - 1) if is_gather else 0
        (request,) = self.fabric.packet(READ_REQUEST, transaction, address_bytes)
        self._post(request, transaction, self.engine.now_ps, 0)

    def _write(self, descriptor: Transfer, transaction: Transaction) -> None:
        """Send a packet, each chunk as TCM reads it; data known to the kernel are there at once."""
        now_ps = self.engine.now_ps
        is_known = descriptor.stage.tcm_bytes == 0
        for chunk in self.fabric.packet(WRITE_REQUEST, transaction, transaction.size_bytes):
            if is_known:
                self._post(chunk, transaction, now_ps, 0)
                continue
            tail_ps, serial_ps = self.read_out(chunk.payload_bytes)
            self._post(chunk, transaction, tail_ps, serial_ps)

    def _fill(self, descriptor: Transfer) -> None:
        """Write what a load repeats or fills in beside the data that move."""
        stage = descriptor.stage
        if stage.kind is DMA_READ and stage.tcm_bytes > stage.size_bytes:
            now_ps = self.engine.now_ps
            end_ps = self.pe_tcm.write(stage.tcm_bytes - stage.size_bytes, now_ps, now_ps)
            descriptor.end_ps = max(descriptor.end_ps, end_ps)

    def _post(self, chunk: Chunk, transaction: Transaction, tail_ps: int, serial_ps: int) -> None:
        self.fabric.post(chunk, transaction.requester, transaction.memory, REQ, tail_ps, serial_ps)


COMPONENTS.register("pe_dma_v1")(PeDma)


def stages_here(token: TileToken) -> list[Stage]:
    """The stages a channel does one after the other before the token moves on."""
    kind, ahead = token.stage.kind, token.plan.stages[token.at :]
    return list(takewhile(lambda stage: stage.kind is kind, ahead))


_: type[DmaPort] = PeDma  # mypy: it has the face that its neighbours see
