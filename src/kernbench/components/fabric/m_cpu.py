"""M_CPU: hands a cube's launches to its PEs."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS
from kernbench.components.control_cpu import ControlCpu


@COMPONENTS.register("m_cpu_v1")
class MCpu(ControlCpu):
    """One per cube, at a router of its mesh."""

    kind = "m_cpu"

    def share_of(self, pe: int) -> int:
        """The PE's own network interface."""
        return self.fabric.graph.niu_of(pe)
