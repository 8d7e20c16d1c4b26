"""NIU: where a PE meets its router."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component
from kernbench.config.schema import NocSpec
from kernbench.engine.api import Chunk
from kernbench.kinds import Kind
from kernbench.messages.fabric import LaunchMsg, PacketKind, Vc
from kernbench.messages.ipcq import QueuesMsg
from kernbench.units import gbps


@COMPONENTS.register("niu_v1")
class Niu(Component):
    """Sorts what arrives: answers to who asked, launches to PE_CPU, maps to PE_MMU, queues to PE_DMA and PE_IPCQ.

    Room was kept for all but a slot of a ring in memory, which PE_DMA may hold back.
    """

    kind = Kind(
        "niu",
        NocSpec,
        shared=("kind", "routing", "vcs", "arbitration", "chunk", "packet", "header", "flit"),
        part="",
        gives_to=("pe_dma", "pe_cpu", "pe_mmu", "pe_ipcq"),
        role="move",
        place=(0.10, 0.39),
        figures=lambda noc, pe: (
            f"{noc.niu_ps / 1000:g} ns",
            gbps(min(noc.link_rate, pe.dma.rate, key=float)),
        ),
    ).declare()
    sinks = frozenset(Vc) - {Vc.COMM}

    def receive(self, chunk: Chunk) -> bool:
        """Take a chunk whose last byte is here, if there is room."""
        kind = chunk.kind
        if kind is PacketKind.QUEUE:
            taken: bool = self.ports["pe_dma"].land(chunk)
            return taken
        if kind is PacketKind.CREDIT:
            self.ports["pe_ipcq"].credit(chunk.body)
        elif kind is not PacketKind.CONTROL:
            chunk.body.owner.receive(chunk)
        elif chunk.is_last:
            self._unit_for(chunk.body).inbox.put(chunk.body)
        return True

    def _unit_for(self, message: object) -> Component:
        """Who is to act on a control message."""
        unit = "pe_mmu"
        if isinstance(message, LaunchMsg):
            unit = "pe_cpu"
        elif isinstance(message, QueuesMsg):
            unit = "pe_ipcq"
        found: Component = self.ports[unit]
        return found
