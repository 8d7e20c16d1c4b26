"""M_CPU: hands a cube's launches and maps to its PEs, and keeps the cube's page table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from kernbench.components.base import COMPONENTS, Site
from kernbench.components.control_cpu import ControlCpu
from kernbench.components.packets import packets, transaction_for
from kernbench.config.machine import MCpuSpec
from kernbench.engine.api import ProcessBody, Queue
from kernbench.kinds import Kind
from kernbench.memory.mapping import RANGE_BYTES, TensorMapping
from kernbench.messages.fabric import REQ, WRITE_ACK, WRITE_REQUEST, Chunk, MmuMapMsg, MmuUnmapMsg, Piece
from kernbench.messages.oplog import OpCode
from kernbench.topology.levels import number_of


@COMPONENTS.register("m_cpu_v1")
class MCpu(ControlCpu):
    """One per cube, at a router of its mesh.

    Before it tells the PE_MMUs of a map, it writes the entries and then the directory that leads to them; before it
    tells them of an unmap, it clears the directory. It writes a packet at a time. Preloaded TLBs need no table.
    """

    kind = Kind(
        "m_cpu", MCpuSpec, shared=("at",), role="control", place=(0.86, 0.28), size=(0.22, 0.1), title="M_CPU"
    ).declare()

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.answers: Queue[Chunk] = site.engine.queue(None, f"{site.node.name}.answers")

    def share_of(self, pe: int) -> int:
        """The PE's own network interface."""
        return self.graph.niu_of(pe)

    def message_bytes(self, message: MmuMapMsg, pes: Sequence[int]) -> int:
        """A PE_MMU hears of the pages; one whose TLB is preloaded gets their entries too."""
        mapping: TensorMapping = message.mapping
        if isinstance(message, MmuUnmapMsg) or self._has_table:
            return RANGE_BYTES
        return RANGE_BYTES + mapping.entry_bytes

    @property
    def _has_table(self) -> bool:
        return self.site.pe_spec.mmu.miss == "walk"

    def prepare(self, message: MmuMapMsg) -> ProcessBody:
        """Write to the table of this cube."""
        if not self._has_table:
            return
        start_ps = self.engine.now_ps
        self.station.begin(start_ps)
        size_bytes = 0
        for packet in self._table_packets(message):
            size_bytes += packet.size_bytes
            transaction = transaction_for(self.site, packet, self.answers.put, is_write=True)
            for chunk in self.fabric.packet(WRITE_REQUEST, transaction, packet.size_bytes):
                self.fabric.post(chunk, self.address, packet.owner, REQ, self.engine.now_ps, 0)
            yield self.answers.get()
        now_ps = self.engine.now_ps
        self.meter.stall("table write", now_ps - start_ps)
        record = self.note(
            OpCode.TABLE_WRITE, start_ps, message.job, va=message.mapping.shards.va, size_bytes=size_bytes
        )
        self.station.free(now_ps, record)

    def _table_packets(self, message: MmuMapMsg) -> Iterator[Piece]:
        levels = self.graph.levels
        cube = number_of(levels, self.node.at)
        mapping = message.mapping
        pieces = [mapping.directory_piece(cube)]
        if not isinstance(message, MmuUnmapMsg):
            pieces.insert(0, mapping.leaf_piece(cube, levels[-1].count))
        packet_bytes = self.site.noc.packet_bytes
        return chain.from_iterable(packets(piece, packet_bytes) for piece in pieces)

    def receive(self, chunk: Chunk) -> bool:
        """Queue a message, if there is a place; an acknowledgement always has one."""
        if chunk.kind is WRITE_ACK:
            chunk.body.answered(chunk)
            return True
        return super().receive(chunk)
