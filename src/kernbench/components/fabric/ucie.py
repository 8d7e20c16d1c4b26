"""Die-to-die ports. Their latency, rate and buffers lie on the edge that joins two of them."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component
from kernbench.config.machine import UcieSpec
from kernbench.kinds import Kind


@COMPONENTS.register("ucie_v1")
class Ucie(Component):
    """A cube's port: all routers of its side share it."""

    kind = Kind("ucie", UcieSpec, role="ucie", title="UCIe port").declare()


@COMPONENTS.register("io_ucie_v1")
class IoUcie(Component):
    """The IO die's port to one cube."""

    kind = Kind("io_ucie", UcieSpec, role="ucie").declare()
