"""IO_CPU: hands a SIP's launches to its cubes."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS
from kernbench.components.control_cpu import ControlCpu


@COMPONENTS.register("io_cpu_v1")
class IoCpu(ControlCpu):
    """One per SIP, on the IO die."""

    kind = "io_cpu"

    def share_of(self, pe: int) -> int:
        """The M_CPU of the PE's cube."""
        at = self.fabric.graph.pes[pe]
        return self.fabric.graph.node(f"sip{at.sip}.cube{at.cube}.m_cpu").index
