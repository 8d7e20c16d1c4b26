"""NIU: where a PE meets its router."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component
from kernbench.engine.channel import Chunk
from kernbench.messages.fabric import PacketKind


@COMPONENTS.register("niu_v1")
class Niu(Component):
    """Sorts what arrives: answers to PE_DMA, control messages to PE_CPU. Never refuses: room was kept at issue."""

    kind = "niu"
    always_sinks = True

    def receive(self, chunk: Chunk) -> bool:
        """Take a chunk whose last byte is here."""
        if chunk.kind is not PacketKind.CONTROL:
            self.ports["pe_dma"].receive(chunk)
        elif chunk.is_last:
            self.ports["pe_cpu"].inbox.put(chunk.body)
        return True
