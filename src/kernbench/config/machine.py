"""What ``topology.yaml`` may say of all but the PEs: host, SIPs, IO dies, cubes and their memories, links."""

from __future__ import annotations

from typing import Literal

from kernbench.config.quantities import (
    At,
    Count,
    Fit,
    Flag,
    GBps,
    Grid,
    Mm,
    Ns,
    Share,
    Side,
    Size,
    SizeOrZero,
    Spec,
    Text,
    key,
)
from kernbench.units import Rate


class HostSpec(Spec):
    """The host: its software cost per launch, its memory, its copy engine's window, how it allocates."""

    sw_launch_ps: Ns = key("sw_launch_ns")
    dram_rate: GBps = key("dram_bw")
    dram_latency_ps: Ns = key("dram_latency_ns")
    max_inflight_bytes: Size = key("max_inflight")
    fit: Fit


class SipLinkSpec(Spec):
    """The links between SIPs: each SIP has one port to a switch; ``latency`` is port to port, one way."""

    kind: Text
    rate: GBps = key("bw")
    payload_eff: Share
    latency_ps: Ns = key("latency_ns")
    buffer_per_vc_bytes: Size = key("buffer_per_vc")


class SipsSpec(Spec):
    """How many SIPs, on which grid (x, y)."""

    count: Count
    grid: Grid


class SystemSpec(Spec):
    """SIPs and what joins them."""

    sips: SipsSpec
    sip_link: SipLinkSpec


class PcieSpec(Spec):
    """The PCIe end point of a SIP; one way, both directions alike."""

    rate: GBps = key("bw")
    payload_eff: Share
    latency_ps: Ns = key("latency_ns")
    buffer_per_vc_bytes: Size = key("buffer_per_vc")


class ControlCpuSpec(Spec):
    """A control processor (IO_CPU): time per command, and how many may wait."""

    cmd_ps: Ns = key("cmd_ns")
    queue_depth: Count


class MCpuSpec(ControlCpuSpec):
    """The control processor of a cube, and the router it sits at."""

    at: At


class IoNocSpec(Spec):
    """The crossbar of the IO die."""

    link_rate: GBps = key("link_bw")
    router_ps: Ns = key("router_ns")
    buffer_per_vc_bytes: Size = key("buffer_per_vc")


class IoUciePortsSpec(Spec):
    """Which cubes of one side the IO die is joined to; every column of that side."""

    attach: tuple[At, ...]
    side: Literal["N"]


class IoDieSpec(Spec):
    """PCIE_EP, IO_CPU, IO NoC and UCIe ports of a SIP."""

    pcie_ep: PcieSpec
    io_cpu: ControlCpuSpec
    noc: IoNocSpec
    ucie_ports: IoUciePortsSpec


class UcieSpec(Spec):
    """A die-to-die link, per direction; payload rate is ``rate * eff``."""

    rate: GBps = key("bw")
    latency_ps: Ns = key("latency_ns")
    modules: Count
    gtps: Count
    flit_bytes: Size = key("flit")
    eff: Share
    buffer_per_vc_bytes: Size = key("buffer_per_vc")


class CubesSpec(Spec):
    """How many cubes a SIP has, on which grid (x, y)."""

    count: Count
    grid: Grid


class SipSpec(Spec):
    """A package: an IO die and cubes joined by UCIe."""

    cubes: CubesSpec
    io_die: IoDieSpec
    ucie: UcieSpec


class PesSpec(Spec):
    """How many PEs (and routers) a cube has, on which grid (x, y)."""

    count: Count
    grid: Grid


class VcSpec(Spec):
    """Virtual channels per traffic class."""

    ctl: Count
    req: Count
    resp: Count
    comm: Count


class NocSpec(Spec):
    """The router mesh of a cube."""

    kind: Literal["mesh"]
    routing: Literal["xy"]
    link_rate: GBps = key("link_bw")
    router_ps: Ns = key("router_ns")
    link_ps: Ns = key("link_ns")
    niu_ps: Ns = key("niu_ns")
    vcs: VcSpec
    arbitration: Literal["rr"]
    chunk_bytes: Size = key("chunk")
    packet_bytes: Size = key("packet")
    buffer_per_vc_bytes: Size = key("buffer_per_vc")
    header_bytes: SizeOrZero = key("header")
    flit_bytes: Size = key("flit")


class SramSpec(Spec):
    """Shared SRAM of a cube: banks at routers."""

    size_bytes: Size = key("size")
    banks: Count
    bank_rate: GBps = key("bank_bw")
    latency_ps: Ns = key("latency_ns")
    queue: Count
    at: tuple[At, ...]


class HbmTimingSpec(Spec):
    """DRAM timing, for a bank-level model."""

    burst_bytes: Size = key("burst")
    tBL: Ns
    tCL: Ns
    tCWL: Ns
    tRCDrd: Ns
    tRCDwr: Ns
    tRP: Ns
    tRAS: Ns
    tRC: Ns
    tCCD_S: Ns
    tCCD_L: Ns
    tRRD_S: Ns
    tRRD_L: Ns
    tFAW: Ns
    tRTP: Ns
    tWR: Ns
    tWTR_S: Ns
    tWTR_L: Ns
    tRTW: Ns
    tRFC: Ns
    tREFI: Ns


class HbmOrgSpec(Spec):
    """DRAM organisation of a pseudo-channel."""

    stack_ids: Count
    bank_groups: Count
    banks_per_group: Count
    row_bytes: Size = key("row")


class HbmMapSpec(Spec):
    """Where a PE's slice lies, and the bit order of an address (least significant last)."""

    pe_slice: Literal["local_channel"]
    order: tuple[Literal["row", "sid", "bank", "col", "bg", "pc"], ...]


class HbmSpec(Spec):
    """The HBM stack of a cube: channel controllers beside the routers."""

    kind: Text
    capacity_bytes: Size = key("capacity")
    channels: Count
    pseudo_channels: Count
    pc_rate: GBps = key("pc_bw")
    attach: Literal["per_router", "per_2_routers"]
    model: Text
    flat_eff: Share
    flat_latency_ps: Ns = key("flat_latency_ns")
    queue: Count
    ctrl_frontend_ps: Ns = key("ctrl_frontend_ns")
    ctrl_backend_ps: Ns = key("ctrl_backend_ns")
    timing: HbmTimingSpec
    org: HbmOrgSpec
    refresh: Literal["all_bank", "per_bank", "none"]
    map: HbmMapSpec

    @property
    def channel_rate(self) -> Rate:
        """Peak of one channel: its pseudo channels together."""
        return self.pc_rate.scaled(self.pseudo_channels)

    @property
    def sustained_rate(self) -> Rate:
        """Rate that one channel keeps up: what ``flat`` serves at; of another model, the peak of its pins."""
        return self.channel_rate.scaled(self.flat_eff) if self.model == "flat" else self.channel_rate


class CubeSpec(Spec):
    """One HBM stack on a base die with its PEs."""

    pes: PesSpec
    m_cpu: MCpuSpec
    noc: NocSpec
    ucie_ports: dict[Side, Literal["edge", "none"]]
    sram: SramSpec
    hbm: HbmSpec


class NeighboursSpec(Spec):
    """The grid in which N, S, E and W are meant."""

    grid: Literal["global"]
    wrap: Flag


class GeometrySpec(Spec):
    """Sizes for the drawings: distance of routers, gap between dies, depth of the IO die, gap between SIPs; in mm."""

    router_pitch_mm: Mm
    die_gap_mm: Mm
    io_die_mm: Mm
    sip_gap_mm: Mm
