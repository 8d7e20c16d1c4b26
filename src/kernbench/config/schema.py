"""What a configuration may say: frozen specs, one class per part of the machine.

YAML keys are short (``link_bw``, ``latency_ns``); a spec's fields carry their unit (``link_rate``,
``latency_ps``). There are no defaults here: every default lives in ``presets/``.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from kernbench.units import GIB, KIB, MIB, PS_PER_NS, Rate

_SIZE_UNITS = {"": 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def _number(value: Any) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError(f"{value!r} is not a number")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is not a finite number")
    return Fraction(value)


def parse_size(value: Any) -> int:
    """Bytes from ``4096``, ``"4 KiB"`` or ``"1.5 MiB"``."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", value)
        if not match or match[2] not in _SIZE_UNITS:
            raise ValueError(f"{value!r} is not a size; write bytes, or a number with KiB, MiB or GiB")
        value = Fraction(match[1]) * _SIZE_UNITS[match[2]]
    else:
        value = _number(value)
    if value.denominator != 1 or value < 0:
        raise ValueError(f"{value} is not a whole number of bytes")
    return int(value)


def parse_rate(value: Any) -> Rate:
    """A rate in GB/s (bytes per ns), above zero, read exactly."""
    fraction = _number(value)
    if fraction <= 0:
        raise ValueError("a rate must be above 0 GB/s")
    return Rate.of(fraction)


def parse_ns(value: Any) -> int:
    """Picoseconds from a time in ns, zero or more; at most three decimals."""
    ps = _number(value) * PS_PER_NS
    if ps < 0 or ps.denominator != 1:
        raise ValueError(f"{value} ns is not a whole number of picoseconds, zero or more")
    return int(ps)


def parse_mhz(value: Any) -> int:
    """MHz from GHz, above zero."""
    mhz = _number(value) * 1000
    if mhz <= 0 or mhz.denominator != 1:
        raise ValueError(f"{value} GHz is not a whole number of MHz above zero")
    return int(mhz)


def parse_share(value: Any) -> Fraction:
    """An exact fraction above 0 and at most 1."""
    share = _number(value)
    if not 0 < share <= 1:
        raise ValueError(f"{value} is not a share above 0 and at most 1")
    return share


def parse_factor(value: Any) -> Fraction:
    """An exact number above zero."""
    factor = _number(value)
    if factor <= 0:
        raise ValueError(f"{value} is not above 0")
    return factor


_NUMBER = {"type": "number"}
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema({"type": ["integer", "string"]})]
GBps = Annotated[Rate, BeforeValidator(parse_rate), WithJsonSchema({**_NUMBER, "exclusiveMinimum": 0})]
Ns = Annotated[int, BeforeValidator(parse_ns), WithJsonSchema({**_NUMBER, "minimum": 0})]
Ghz = Annotated[int, BeforeValidator(parse_mhz), WithJsonSchema({**_NUMBER, "exclusiveMinimum": 0})]
Share = Annotated[
    Fraction, BeforeValidator(parse_share), WithJsonSchema({**_NUMBER, "exclusiveMinimum": 0, "maximum": 1})
]
Factor = Annotated[Fraction, BeforeValidator(parse_factor), WithJsonSchema({**_NUMBER, "exclusiveMinimum": 0})]
Mm = Annotated[Fraction, BeforeValidator(parse_factor), WithJsonSchema({**_NUMBER, "exclusiveMinimum": 0})]
Count = Annotated[int, Field(ge=1, strict=True)]
Cycles = Annotated[int, Field(ge=0, strict=True)]
Grid = tuple[Count, Count]
At = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
Side = Literal["N", "S", "E", "W"]


class Spec(BaseModel):
    """Base of all specs: frozen, unknown keys are errors, filled by YAML key."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=False, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


class HostSpec(Spec):
    """The host: its software cost per launch, its memory, and the window of its copy engine."""

    sw_launch_ps: Ns = Field(alias="sw_launch_ns")
    dram_rate: GBps = Field(alias="dram_bw")
    dram_latency_ps: Ns = Field(alias="dram_latency_ns")
    max_inflight_bytes: Size = Field(alias="max_inflight")


class SipLinkSpec(Spec):
    """The links between SIPs: each SIP has one port to a switch; ``latency`` is port to port, one way."""

    kind: str
    rate: GBps = Field(alias="bw")
    payload_eff: Share
    latency_ps: Ns = Field(alias="latency_ns")
    buffer_per_vc_bytes: Size = Field(alias="buffer_per_vc")


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

    rate: GBps = Field(alias="bw")
    payload_eff: Share
    latency_ps: Ns = Field(alias="latency_ns")
    buffer_per_vc_bytes: Size = Field(alias="buffer_per_vc")


class ControlCpuSpec(Spec):
    """A control processor (IO_CPU): time per command, and how many may wait."""

    cmd_ps: Ns = Field(alias="cmd_ns")
    queue_depth: Count


class MCpuSpec(ControlCpuSpec):
    """The control processor of a cube, and the router it sits at."""

    at: At


class IoNocSpec(Spec):
    """The crossbar of the IO die."""

    link_rate: GBps = Field(alias="link_bw")
    router_ps: Ns = Field(alias="router_ns")


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

    rate: GBps = Field(alias="bw")
    latency_ps: Ns = Field(alias="latency_ns")
    modules: Count
    gtps: Count
    flit_bytes: Size = Field(alias="flit")
    eff: Share
    buffer_per_vc_bytes: Size = Field(alias="buffer_per_vc")


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
    link_rate: GBps = Field(alias="link_bw")
    router_ps: Ns = Field(alias="router_ns")
    link_ps: Ns = Field(alias="link_ns")
    niu_ps: Ns = Field(alias="niu_ns")
    vcs: VcSpec
    arbitration: Literal["rr"]
    chunk_bytes: Size = Field(alias="chunk")
    packet_bytes: Size = Field(alias="packet")
    buffer_per_vc_bytes: Size = Field(alias="buffer_per_vc")
    header_bytes: Size = Field(alias="header")
    flit_bytes: Size = Field(alias="flit")


class SramSpec(Spec):
    """Shared SRAM of a cube: banks at routers."""

    size_bytes: Size = Field(alias="size")
    banks: Count
    bank_rate: GBps = Field(alias="bank_bw")
    latency_ps: Ns = Field(alias="latency_ns")
    at: tuple[At, ...]


class HbmTimingSpec(Spec):
    """DRAM timing, for a bank-level model."""

    burst_bytes: Size = Field(alias="burst")
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
    row_bytes: Size = Field(alias="row")


class HbmMapSpec(Spec):
    """Where a PE's slice lies, and the bit order of an address (least significant last)."""

    pe_slice: Literal["local_channel"]
    order: tuple[Literal["row", "sid", "bank", "col", "bg", "pc"], ...]


class HbmSpec(Spec):
    """The HBM stack of a cube: channel controllers beside the routers."""

    kind: str
    capacity_bytes: Size = Field(alias="capacity")
    channels: Count
    pseudo_channels: Count
    pc_rate: GBps = Field(alias="pc_bw")
    attach: Literal["per_router", "per_2_routers"]
    model: str
    flat_eff: Share
    flat_latency_ps: Ns = Field(alias="flat_latency_ns")
    queue: Count
    ctrl_frontend_ps: Ns = Field(alias="ctrl_frontend_ns")
    ctrl_backend_ps: Ns = Field(alias="ctrl_backend_ns")
    timing: HbmTimingSpec
    org: HbmOrgSpec
    refresh: Literal["all_bank", "per_bank", "none"]
    map: HbmMapSpec


class CubeSpec(Spec):
    """One HBM stack on a base die with its PEs."""

    pes: PesSpec
    m_cpu: MCpuSpec
    noc: NocSpec
    ucie_ports: dict[Side, Literal["edge", "none"]]
    sram: SramSpec
    hbm: HbmSpec


class PeCpuSpec(Spec):
    """PE_CPU: cost of starting a kernel, of issuing a command, of reading a value back."""

    start_ps: Ns = Field(alias="start_ns")
    issue_ps: Ns = Field(alias="issue_ns")
    readback_ps: Ns = Field(alias="readback_ns")


class SchedulerSpec(Spec):
    """PE_SCHEDULER: cost per command; commands that may wait per unit, and tiles queued before a unit."""

    dispatch_ps: Ns = Field(alias="dispatch_ns")
    tile_queue: Count
    feeders: Literal[1]


class DmaChannelsSpec(Spec):
    """How many descriptors of each kind PE_DMA works on at a time."""

    rd: Literal[1]
    wr: Literal[1]
    comm: Literal[1]


class DmaSpec(Spec):
    """PE_DMA: set-up per descriptor, its port's rate, and bytes in flight per channel."""

    setup_ps: Ns = Field(alias="setup_ns")
    channels: DmaChannelsSpec
    rate: GBps = Field(alias="bw")
    max_inflight_bytes: Size = Field(alias="max_inflight")


class MmuSpec(Spec):
    """Address translation."""

    page_bytes: Size = Field(alias="page")
    tlb_entries: Count
    hit_ps: Ns = Field(alias="hit_ns")
    miss: Literal["walk", "preload"]
    walk_reads: Count


class TcmSpec(Spec):
    """PE_TCM: the scratchpad; its read and write port serialise separately."""

    size_bytes: Size = Field(alias="size")
    read_rate: GBps = Field(alias="read_bw")
    write_rate: GBps = Field(alias="write_bw")
    latency_ps: Ns = Field(alias="latency_ns")
    banks: Count


class RegfileSpec(Spec):
    """The register file: operands and accumulators apart."""

    operands_bytes: Size = Field(alias="operands")
    accumulators_bytes: Size = Field(alias="accumulators")
    read_rate: GBps = Field(alias="read_bw")
    write_rate: GBps = Field(alias="write_bw")
    latency_ps: Ns = Field(alias="latency_ns")


class FetchStoreSpec(Spec):
    """PE_FETCH_STORE: TCM to register file and back."""

    rate: GBps = Field(alias="bw")
    setup_ps: Ns = Field(alias="setup_ns")


class GemmSpec(Spec):
    """PE_GEMM: the array's size, its fill, and its MACs per cycle by dtype."""

    m: Count
    n: Count
    k: Count
    fill_cycles: Cycles
    fill: Literal["when_dry"]
    macs_per_cycle: dict[str, Count]


class MathSpec(Spec):
    """PE_MATH: lanes by dtype, pipeline latency, and relative rate by class of operation."""

    lanes: dict[str, Count]
    latency_cycles: Cycles
    rate: dict[str, Factor]


class IpcqSpec(Spec):
    """PE_IPCQ: the queues to the neighbours."""

    directions: tuple[Side, ...]
    slots: Count
    slot_bytes: Size = Field(alias="slot_size")
    buffer: Literal["tcm", "sram", "hbm"]
    poll_ps: Ns = Field(alias="poll_ns")
    credit_return: Literal["bottleneck_bw"]
    credit_bytes: Size = Field(alias="credit_size")


class PeSpec(Spec):
    """A processing element."""

    clock_mhz: Ghz = Field(alias="clock_ghz")
    cpu: PeCpuSpec
    scheduler: SchedulerSpec
    dma: DmaSpec
    mmu: MmuSpec
    tcm: TcmSpec
    regfile: RegfileSpec
    fetch_store: FetchStoreSpec
    gemm: GemmSpec
    math: MathSpec
    ipcq: IpcqSpec


class NeighboursSpec(Spec):
    """The grid in which N, S, E and W are meant."""

    grid: Literal["global"]
    wrap: bool


class GeometrySpec(Spec):
    """Sizes for the drawings: distance of routers, gap between dies, depth of the IO die; in mm."""

    router_pitch_mm: Mm
    die_gap_mm: Mm
    io_die_mm: Mm


class TopologySpec(Spec):
    """``topology.yaml``: how many of each, how fast, and how they are joined."""

    version: Literal[1]
    preset: str
    units: dict[str, str]
    host: HostSpec
    system: SystemSpec
    sip: SipSpec
    cube: CubeSpec
    pe: PeSpec
    neighbours: NeighboursSpec
    geometry: GeometrySpec
    overrides: dict[str, dict[str, Any]]


class ComponentsSpec(Spec):
    """``components.yaml``: which registered implementation each kind of node uses."""

    version: Literal[1]
    components: dict[str, str]


class CclAlgorithmSpec(Spec):
    """One algorithm's module and queue settings; what it leaves out comes from ``defaults``."""

    module: str
    buffer_kind: Literal["tcm", "sram", "hbm"] | None
    slots: Count | None
    slot_bytes: Size | None = Field(alias="slot_size")
    backpressure: Literal["poll", "sleep"] | None
    world_size: Count | None


class CclDefaultsSpec(Spec):
    """Queue settings every algorithm starts from."""

    buffer_kind: Literal["tcm", "sram", "hbm"]
    slots: Count
    slot_bytes: Size = Field(alias="slot_size")
    backpressure: Literal["poll", "sleep"]


class CclSpec(Spec):
    """``ccl.yaml``: collectives: defaults, and the settings of each algorithm."""

    version: Literal[1]
    defaults: CclDefaultsSpec
    algorithms: dict[str, CclAlgorithmSpec]


class Config(Spec):
    """All that was configured, resolved: what a run depends on and its hash covers."""

    topology: TopologySpec
    components: ComponentsSpec
    ccl: CclSpec
