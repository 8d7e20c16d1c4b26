"""PCIe: a SIP's end point towards the host, its port towards other SIPs, and the switch that joins those."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Component


@COMPONENTS.register("pcie_ep_v1")
class PcieEp(Component):
    """The end point; latency and payload rate lie on its edge to the host."""

    kind = "pcie_ep"


@COMPONENTS.register("sip_port_v1")
class SipPort(Component):
    """The port towards other SIPs."""

    kind = "sip_port"


@COMPONENTS.register("sip_switch_v1")
class SipSwitch(Component):
    """The switch between the ports of all SIPs."""

    kind = "sip_switch"
