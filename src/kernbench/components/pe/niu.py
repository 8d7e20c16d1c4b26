"""NIU: where a PE meets its router."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component, Request
from kernbench.components.ports import CpuPort, DmaPort, IpcqPort, MmuPort, port
from kernbench.config.machine import NocSpec
from kernbench.kinds import Kind
from kernbench.messages.fabric import COMM, CONTROL, CREDIT, QUEUE, Chunk, LaunchMsg, Vc
from kernbench.messages.ipcq import QueuesMsg
from kernbench.units import gbps


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
    sinks = frozenset(Vc) - {COMM}
    pe_cpu = port(CpuPort)
    pe_dma = port(DmaPort)
    pe_ipcq = port(IpcqPort)
    pe_mmu = port(MmuPort)

    def receive(self, chunk: Chunk) -> bool:
        """Take a chunk whose last byte is here, if there is room."""
        kind = chunk.kind
        if kind is QUEUE:
            return self.pe_dma.land(chunk)
        if kind is CREDIT:
            self.pe_ipcq.credit(chunk.body)
        elif kind is not CONTROL:
            chunk.body.answered(chunk)
        elif chunk.is_last:
            self._hand_on(chunk.body)
        return True

    def _hand_on(self, message: Request) -> None:
        """Give a control message to who is to act on it."""
        if isinstance(message, LaunchMsg):
            self.pe_cpu.inbox.put(message)
        elif isinstance(message, QueuesMsg):
            self.pe_ipcq.inbox.put(message)
        else:
            self.pe_mmu.inbox.put(message)


COMPONENTS.register("niu_v1")(Niu)
