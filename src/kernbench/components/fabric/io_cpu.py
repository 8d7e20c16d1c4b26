"""IO_CPU: hands a SIP's launches and maps to its cubes."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Request
from kernbench.components.control_cpu import ControlCpu
from kernbench.config.machine import ControlCpuSpec
from kernbench.engine.api import ProcessBody
from kernbench.kinds import Kind
from kernbench.messages.fabric import MmuMapMsg, MmuUnmapMsg


@COMPONENTS.register("io_cpu_v1")
class IoCpu(ControlCpu):
    """One per SIP, on the IO die. A page is valid in its SIP when all cubes have it, and until one is to lose it."""

    kind = Kind("io_cpu", ControlCpuSpec, role="io", place=(0.3, 0.5)).declare()

    def share_of(self, pe: int) -> int:
        """The M_CPU of the PE's cube."""
        return self.graph.node_of(self.graph.pes[pe][:-1], "m_cpu").index

    def prepare(self, message: MmuMapMsg) -> ProcessBody:
        """Pages that are to go are invalid from now on."""
        assert self.site.page_table is not None
        if isinstance(message, MmuUnmapMsg):
            self.site.page_table.unmap(message.mapping)
        yield from ()

    def conclude(self, message: Request) -> None:
        """New pages are valid from now on."""
        assert self.site.page_table is not None
        if type(message) is MmuMapMsg:
            self.site.page_table.map(message.mapping)
