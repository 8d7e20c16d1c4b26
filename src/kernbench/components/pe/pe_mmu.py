"""PE_MMU: what a PE's virtual addresses mean, and what it costs to know."""

from __future__ import annotations

from collections.abc import Iterator

from kernbench.components.base import COMPONENTS, Component, Site
from kernbench.components.meter import Meter
from kernbench.components.packets import packets, request_read
from kernbench.components.pipeline import Station
from kernbench.components.ports import MmuPort
from kernbench.config.pe import MmuSpec
from kernbench.engine.api import ProcessBody, Queue, Timed
from kernbench.kinds import Kind
from kernbench.messages.access import Access
from kernbench.messages.commands import Command
from kernbench.messages.fabric import Chunk, MmuMapMsg, MmuUnmapMsg, PagePieces, Piece
from kernbench.messages.oplog import CONTROL, OpCode
from kernbench.messages.source_line import SourceLine
from kernbench.units import format_bytes


class PeMmu(Component):
    """A TLB of ``tlb_entries`` pages, least recently used out first, and one page walker.

    A look-up takes ``hit``. A page that is not held is walked for: ``walk_reads`` reads of HBM, one after the other,
    the last of the page's entry, which may be several packets. One walk at a time; hits go on meanwhile. A map or
    unmap message takes ``update``, and as much again for each entry of the TLB that it fills or drops.
    """

    kind = Kind(
        "pe_mmu",
        MmuSpec,
        part="mmu",
        shared=("page", "miss", "walk_reads"),
        gives_to=("niu",),
        role="control",
        place=(0.10, 0.88),
        figures=lambda spec, pe: (
            f"pages of {format_bytes(spec.page_bytes)}",
            f"TLB of {spec.tlb_entries}",
            f"hit {spec.hit_ps / 1000:g} ns",
        ),
    ).declare()

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: MmuSpec = site.node.spec
        assert site.page_table is not None
        self.table = site.page_table
        self.station = Station(self.meter)
        self.walker = site.engine.credits(1, f"{site.node.name}.walker")
        self.answers: Queue[Chunk] = site.engine.queue(None, f"{site.node.name}.answers")  # of the one walk
        self.n_hits = self.n_misses = self.n_walks = 0
        self._held: dict[int, None] = {}  # by last use

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """What takes messages."""
        yield "messages", self.run()

    def meters(self) -> Iterator[tuple[str, Meter]]:
        """The walker's, brought up to the present instant where that is at rest."""
        if self.walker.free:
            self.station.settle(self.engine.now_ps)
        yield "walker", self.meter

    def translate(self, access: Access, line: SourceLine | None, *, is_write: bool) -> tuple[PagePieces, ...]:
        """The pieces of ``access``, page by page, at once; PageFaultError where it is not mapped, or not allowed."""
        return self.table.translate(self.pe, access, line, is_write=is_write)

    def look_up(self, page: int, command: Command) -> Timed[int]:
        """Spend the time it takes to know ``page`` of a translated access; of that, what was more than a hit, in ps."""
        yield self.params.hit_ps
        if self._use(page):
            self.n_hits += 1
            return 0
        self.n_misses += 1
        missed_ps = self.engine.now_ps
        yield self.walker.take(1)
        if not self._use(page):
            yield from self._walk(page, command)
        self.walker.give(1)
        return self.engine.now_ps - missed_ps

    def fill(self, page: int) -> None:
        """Hold ``page``; the one that was not used for longest leaves if there is no room."""
        if len(self._held) == self.params.tlb_entries:
            del self._held[next(iter(self._held))]
        self._held[page] = None

    def _use(self, page: int) -> bool:
        if page not in self._held:
            return False
        del self._held[page]
        self._held[page] = None
        return True

    def _walk(self, page: int, command: Command) -> ProcessBody:
        start_ps = self.engine.now_ps
        self.station.begin(start_ps)
        self.n_walks += 1
        size_bytes = 0
        for piece in self._entry_pieces(page):
            for packet in packets(piece, self.site.noc.packet_bytes):
                size_bytes += packet.size_bytes
                request_read(self.site, packet, self.answers.put)
                left_bytes = packet.size_bytes
                while left_bytes:
                    chunk: Chunk = yield self.answers.get()
                    left_bytes -= chunk.payload_bytes
        self.fill(page)
        now_ps = self.engine.now_ps
        self.meter.busy_ps += now_ps - start_ps
        record = self.note(
            OpCode.WALK,
            start_ps,
            command.program,
            command.seq,
            va=page * self.params.page_bytes,
            size_bytes=size_bytes,
        )
        self.station.free(now_ps, record)

    def _entry_pieces(self, page: int) -> Iterator[Piece]:
        cube, local_pe = divmod(self.pe, self.graph.levels[-1].count)
        return self.table.mapping_of(page).walk(page, cube, local_pe, self.params.walk_reads)

    def run(self) -> ProcessBody:
        """Take a message, keep the TLB true to it, report."""
        while True:
            message: MmuMapMsg = yield self.inbox.get()
            start_ps = self.engine.now_ps
            pages = message.mapping.pages
            changed = self._changed(message, pages)
            yield self.params.update_ps * (1 + len(changed))
            for page in changed:
                if isinstance(message, MmuUnmapMsg):
                    self._held.pop(page, None)
                else:
                    self.fill(page)
            self.note(CONTROL, start_ps, message.job)
            self.report_done(message.job, message.reply_to)

    def _changed(self, message: MmuMapMsg, pages: range) -> list[int]:
        """The entries that a message fills (in preloaded TLBs) or drops."""
        if isinstance(message, MmuUnmapMsg):
            return [page for page in self._held if page in pages]
        return list(pages) if self.params.miss == "preload" else []


COMPONENTS.register("pe_mmu_v1")(PeMmu)
_: type[MmuPort] = PeMmu  # mypy: it has the face that its neighbours see
