"""A bank of the cube's shared SRAM."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Site
from kernbench.components.memory_controller import MemoryController
from kernbench.config.machine import SramSpec
from kernbench.engine import Server
from kernbench.kinds import Kind
from kernbench.messages.fabric import Transaction


class _Bank:
    """``latency_ns`` and ``bank_bw``."""

    def __init__(self, spec: SramSpec) -> None:
        self.latency_ps = spec.latency_ps
        self.server = Server(spec.bank_rate)

    def serve(self, transaction: Transaction, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """See :class:`~kernbench.engine.api.MemoryModel`."""
        return self.server.stream(head_ps, tail_ps, size_bytes)


@COMPONENTS.register("sram_v1")
class Sram(MemoryController):
    """One bank: latency and rate."""

    kind = Kind(
        "sram",
        SramSpec,
        shared=("size", "banks", "at"),
        role="store",
        place=(0.60, 0.28),
        size=(0.22, 0.1),
        title="SRAM bank",
    ).declare()

    def __init__(self, site: Site) -> None:
        super().__init__(site, _Bank(site.node.spec), site.node.spec.queue)
