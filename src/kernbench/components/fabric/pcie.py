"""PCIe: a SIP's end point towards the host, its port towards other SIPs, and the switch that joins those."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component
from kernbench.config.machine import PcieSpec, SipLinkSpec
from kernbench.kinds import Kind


@COMPONENTS.register("pcie_ep_v1")
class PcieEp(Component):
    """The end point; latency and payload rate lie on its edge to the host."""

    kind = Kind("pcie_ep", PcieSpec, role="io", place=(0.15, 0.0)).declare()


@COMPONENTS.register("sip_port_v1")
class SipPort(Component):
    """The port towards other SIPs."""

    kind = Kind("sip_port", SipLinkSpec, role="io", place=(0.85, 0.0)).declare()


@COMPONENTS.register("sip_switch_v1")
class SipSwitch(Component):
    """The switch between the ports of all SIPs."""

    kind = Kind("sip_switch", SipLinkSpec, role="host").declare()
