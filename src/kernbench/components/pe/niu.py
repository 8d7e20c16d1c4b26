"""NIU: where a PE meets its router."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component
from kernbench.engine.channel import Chunk
from kernbench.messages.fabric import LaunchMsg, PacketKind


@COMPONENTS.register("niu_v1")
class Niu(Component):
    """Sorts what arrives: answers to who asked, launches to PE_CPU, maps to PE_MMU. Never refuses: room was kept."""

    kind = "niu"
    always_sinks = True

    def receive(self, chunk: Chunk) -> bool:
        """Take a chunk whose last byte is here."""
        if chunk.kind is not PacketKind.CONTROL:
            chunk.body.owner.receive(chunk)
        elif chunk.is_last:
            unit = "pe_cpu" if isinstance(chunk.body, LaunchMsg) else "pe_mmu"
            self.ports[unit].inbox.put(chunk.body)
        return True
