"""A bank of the cube's shared SRAM."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Site
from kernbench.components.memory_controller import MemoryController
from kernbench.config.machine import SramSpec
from kernbench.engine import SteadyMemory
from kernbench.kinds import Kind


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
        spec: SramSpec = site.node.spec
        super().__init__(site, SteadyMemory(spec.latency_ps, spec.bank_rate), spec.queue)
