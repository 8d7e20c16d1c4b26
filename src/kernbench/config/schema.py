"""What a configuration may say: frozen specs, one class per part of the machine.

YAML keys are short (``link_bw``, ``latency_ns``); a spec's fields carry their unit (``link_rate``,
``latency_ps``). There are no defaults here: every default lives in ``presets/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    WithJsonSchema,
    create_model,
)

from kernbench.config.tree import shown
from kernbench.kinds import Kind, kinds, load_kinds
from kernbench.registry import load_entry_points
from kernbench.units import PS_PER_NS, Rate, parse_bytes
from kernbench.wording import quoted

MOST_DECADES = 18  # of a number, up or down; machines have about six of either


RATE_CLASSES = ("add", "mul", "fma", "max", "cmp", "div", "exp", "rsqrt")
"""Classes of element visits that PE_MATH has a rate for; an op says how many it makes of each."""


def _number(value: Any, unit: str) -> Fraction:
    if value is None:
        raise ValueError(f"nothing is not a number; write {unit}")
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError(f"{shown(value)} is not a number; write {unit}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{value} is not a finite number")
    if value and abs(Decimal(value).adjusted()) > MOST_DECADES:
        raise ValueError(
            f"{value} is out of all proportion; write {unit}, from 1e-{MOST_DECADES} to 1e{MOST_DECADES}"
        )
    return Fraction(value)


def parse_size(value: Any) -> int:
    """Bytes from ``4096``, or a text that :func:`kernbench.units.parse_bytes` understands; zero or more."""
    if isinstance(value, str):
        return parse_bytes(value)
    size = _number(value, "bytes, or a number with KiB, MiB or GiB")
    if size.denominator != 1 or size < 0:
        raise ValueError(f"{value} is not a whole number of bytes, zero or more")
    return int(size)


def parse_extent(value: Any) -> int:
    """A size that holds something: one byte or more."""
    size = parse_size(value)
    if size == 0:
        raise ValueError("must hold at least one byte")
    return size


def parse_rate(value: Any) -> Rate:
    """A rate in GB/s (bytes per ns), above zero, read exactly."""
    fraction = _number(value, "GB/s without a unit")
    if fraction <= 0:
        raise ValueError(f"{value} is not a rate; it must be above 0 GB/s")
    return Rate.of(fraction)


def parse_ns(value: Any) -> int:
    """Picoseconds from a time in ns, zero or more; at most three decimals."""
    ps = _number(value, "ns without a unit") * PS_PER_NS
    if ps < 0 or ps.denominator != 1:
        raise ValueError(f"{value} ns is not a whole number of picoseconds, zero or more")
    return int(ps)


def parse_mhz(value: Any) -> int:
    """MHz from GHz, above zero."""
    mhz = _number(value, "GHz without a unit") * 1000
    if mhz <= 0 or mhz.denominator != 1:
        raise ValueError(f"{value} GHz is not a whole number of MHz above zero")
    return int(mhz)


def parse_share(value: Any) -> Fraction:
    """An exact fraction above 0 and at most 1."""
    share = _number(value, "a share above 0 and at most 1")
    if not 0 < share <= 1:
        raise ValueError(f"{value} is not a share above 0 and at most 1")
    return share


def parse_factor(value: Any) -> Fraction:
    """An exact number above zero."""
    factor = _number(value, "a number above 0")
    if factor <= 0:
        raise ValueError(f"{value} is not above 0")
    return factor


class SizeRange(NamedTuple):
    """For messages of ``first_bytes`` to ``last_bytes`` (None: any that are larger), this algorithm."""

    algorithm: str
    first_bytes: int
    last_bytes: int | None


def size_ranges(text: str) -> tuple[SizeRange, ...]:
    """The ranges that a selection in oneCCL's manner says, in order; ValueError where it says none or leaves some out.

    >>> size_ranges("doubling:0-8192;ring:8193-max")
    (SizeRange(algorithm='doubling', first_bytes=0, last_bytes=8192), SizeRange(algorithm='ring', first_bytes=8193, \
last_bytes=None))
    >>> size_ranges("ring")
    (SizeRange(algorithm='ring', first_bytes=0, last_bytes=None),)
    """
    found: list[SizeRange] = []
    for part in text.split(";"):
        match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(?::\s*(\d{1,18})\s*-\s*(\d{1,18}|max)\s*)?", part)
        if not match:
            raise ValueError(
                f"{quoted(part)} is not a range of message sizes in bytes; write algorithm:first-last, as in "
                "'ring_allreduce:0-max'"
            )
        first, last = int(match[2] or 0), None if match[3] in (None, "max") else int(match[3])
        wanted = 0 if not found else None if found[-1].last_bytes is None else found[-1].last_bytes + 1
        if wanted is None:
            raise ValueError(f"{quoted(part)} comes after a range to max; nothing is larger, so leave it out")
        if first != wanted:
            raise ValueError(f"{quoted(part)} must begin at {wanted}, so that each size has one algorithm")
        if last is not None and last < first:
            raise ValueError(f"{quoted(part)} ends before it begins; write algorithm:first-last")
        found.append(SizeRange(match[1], first, last))
    if found[-1].last_bytes is not None:
        raise ValueError(f"{quoted(part)} must end at max, so that each size has one algorithm")
    return tuple(found)


def parse_selection(value: Any) -> str:
    """A selection that :func:`size_ranges` understands."""
    if not isinstance(value, str):
        raise ValueError(
            f"{quoted(value)} is not a selection; write algorithm:first-last, as in 'ring_allreduce:0-max'"
        )
    size_ranges(value)
    return value


MAX = "max"


def parse_ranks(value: Any) -> Any:
    """Up to how many ranks a table is for, or ``max``: any number."""
    if value != MAX and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{quoted(value)} is no number of ranks; write 1 or more, or max for any")
    return value


def parse_tables(value: Any) -> Any:
    """The tables of a collective by number of ranks; a selection alone is one for any number."""
    return value if isinstance(value, (list, tuple)) else [{"ranks": MAX, "sizes": parse_selection(value)}]


def require_ascending(tables: tuple[CclTableSpec, ...]) -> tuple[CclTableSpec, ...]:
    """Tables of which each is for more ranks than the one before, and the last for any."""
    most: Any = 0
    for table in tables:
        if most == MAX:
            raise ValueError("a table follows that of ranks: max; no group is larger, so leave it out")
        if table.ranks != MAX and table.ranks <= most:
            raise ValueError(f"ranks: {table.ranks} follows {most}; write the tables by ascending ranks")
        most = table.ranks
    if most != MAX:
        raise ValueError("the last table must say ranks: max, so that each number of ranks has one")
    return tables


def parse_document(value: Any) -> str:
    """The name of a preset or a file."""
    if not isinstance(value, str):
        raise ValueError(
            "names a preset or a file of ccl.yaml's; what differs from a preset goes into such a file"
        )
    return value


def parse_mm(value: Any) -> Fraction:
    """A length in mm, above zero."""
    length = _number(value, "mm without a unit")
    if length <= 0:
        raise ValueError(f"{value} mm is not a length above 0")
    return length


def _json(unit: str, **bounds: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "description": unit, **bounds})


_SIZE_TEXT = WithJsonSchema(
    {
        "description": "bytes, or a number with KiB, MiB or GiB",
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KkMmGg]([Ii][Bb])?|[Bb])?\s*$"},
        ],
    }
)

Size = Annotated[int, BeforeValidator(parse_extent), _SIZE_TEXT]
SizeOrZero = Annotated[int, BeforeValidator(parse_size), _SIZE_TEXT]
GBps = Annotated[Rate, BeforeValidator(parse_rate), _json("GB/s", exclusiveMinimum=0)]
Ns = Annotated[int, BeforeValidator(parse_ns), _json("ns", minimum=0)]
Ghz = Annotated[int, BeforeValidator(parse_mhz), _json("GHz", exclusiveMinimum=0)]
Share = Annotated[Fraction, BeforeValidator(parse_share), _json("share", exclusiveMinimum=0, maximum=1)]
Factor = Annotated[Fraction, BeforeValidator(parse_factor), _json("relative rate", exclusiveMinimum=0)]
Mm = Annotated[Fraction, BeforeValidator(parse_mm), _json("mm", exclusiveMinimum=0)]
Count = Annotated[int, Field(ge=1, strict=True)]
Cycles = Annotated[int, Field(ge=0, strict=True)]
Grid = tuple[Count, Count]
At = tuple[Annotated[int, Field(ge=0, strict=True)], Annotated[int, Field(ge=0, strict=True)]]
Text = Annotated[str, Field(strict=True)]
DocumentName = Annotated[str, BeforeValidator(parse_document)]
Flag = Annotated[bool, Field(strict=True)]
_SELECTION_TEXT = {"type": "string", "pattern": r"^\s*[A-Za-z_]\w*\s*(:\s*\d+\s*-\s*(\d+|max)\s*)?(;.+)?$"}
Selection = Annotated[str, BeforeValidator(parse_selection), WithJsonSchema(_SELECTION_TEXT)]
SelectionOrNone = Annotated[
    str | None,
    BeforeValidator(lambda value: value if value is None else parse_selection(value)),
    WithJsonSchema({"anyOf": [_SELECTION_TEXT, {"type": "null"}]}),
]
MostRanks = Annotated[
    Any,  # int, or max
    BeforeValidator(parse_ranks),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": MAX}]}),
]
Side = Literal["N", "S", "E", "W"]
Fit = Literal["first", "best"]
Document = Literal["topology", "components", "ccl"]


class Spec(BaseModel):
    """Base of all specs: frozen, unknown keys are errors, filled by YAML key."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=False,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )


class Places:
    """Where each dotted path was written (``topology.yaml:41``), for errors that are found later.

    Not part of what a specification *is*: any two are equal.
    """

    def __init__(self, places: dict[str, str]) -> None:
        self._places = places

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def of(self, path: str) -> str:
        """The place of ``path``, or of the nearest path above it; empty if none is known."""
        while path and path not in self._places:
            path = path.rpartition(".")[0]
        return self._places.get(path, "")


class HostSpec(Spec):
    """The host: its software cost per launch, its memory, its copy engine's window, how it allocates."""

    sw_launch_ps: Ns = Field(alias="sw_launch_ns")
    dram_rate: GBps = Field(alias="dram_bw")
    dram_latency_ps: Ns = Field(alias="dram_latency_ns")
    max_inflight_bytes: Size = Field(alias="max_inflight")
    fit: Fit


class SipLinkSpec(Spec):
    """The links between SIPs: each SIP has one port to a switch; ``latency`` is port to port, one way."""

    kind: Text
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
    buffer_per_vc_bytes: Size = Field(alias="buffer_per_vc")


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
    header_bytes: SizeOrZero = Field(alias="header")
    flit_bytes: Size = Field(alias="flit")


class SramSpec(Spec):
    """Shared SRAM of a cube: banks at routers."""

    size_bytes: Size = Field(alias="size")
    banks: Count
    bank_rate: GBps = Field(alias="bank_bw")
    latency_ps: Ns = Field(alias="latency_ns")
    queue: Count
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

    kind: Text
    capacity_bytes: Size = Field(alias="capacity")
    channels: Count
    pseudo_channels: Count
    pc_rate: GBps = Field(alias="pc_bw")
    attach: Literal["per_router", "per_2_routers"]
    model: Text
    flat_eff: Share
    flat_latency_ps: Ns = Field(alias="flat_latency_ns")
    queue: Count
    ctrl_frontend_ps: Ns = Field(alias="ctrl_frontend_ns")
    ctrl_backend_ps: Ns = Field(alias="ctrl_backend_ns")
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
    """PE_MMU: pages, the TLB, what a miss does, and what a map or unmap message costs."""

    page_bytes: Size = Field(alias="page")
    tlb_entries: Count
    hit_ps: Ns = Field(alias="hit_ns")
    miss: Literal["walk", "preload"]
    walk_reads: Count
    update_ps: Ns = Field(alias="update_ns")


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
    """PE_IPCQ: the queues to the neighbours, and the rings that queues have unless ``ccl.yaml`` says otherwise."""

    directions: tuple[Side, ...]
    slots: Count
    slot_bytes: Size = Field(alias="slot_size")
    buffer: Literal["tcm", "sram", "hbm"]
    install_ps: Ns = Field(alias="install_ns")
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
    wrap: Flag


class GeometrySpec(Spec):
    """Sizes for the drawings: distance of routers, gap between dies, depth of the IO die, gap between SIPs; in mm."""

    router_pitch_mm: Mm
    die_gap_mm: Mm
    io_die_mm: Mm
    sip_gap_mm: Mm


class UnitsSpec(Spec):
    """What numbers without a unit are in; the header says it, and nothing else is understood."""

    time: Literal["ns"]
    size: Literal["bytes"]
    bandwidth: Literal["GB/s"]


class TopologySpec(Spec):
    """``topology.yaml``: how many of each, how fast, and how they are joined; and whose ``ccl.yaml`` goes with it."""

    version: Literal[1]
    preset: Text
    units: UnitsSpec
    host: HostSpec
    system: SystemSpec
    sip: SipSpec
    cube: CubeSpec
    pe: PeSpec
    neighbours: NeighboursSpec
    geometry: GeometrySpec
    overrides: dict[str, dict[str, Any]]
    ccl: DocumentName
    _places: Places = PrivateAttr(default_factory=lambda: Places({}))

    def place_of(self, path: str) -> str:
        """The file and line that ``path`` was written at, for an error found while building."""
        return self._places.of(path)


def machine_spec(asked_parts: Iterable[str] = ()) -> type[TopologySpec]:
    """``TopologySpec`` with the parts of a PE that further units describe; a machine need not have them."""
    load_kinds()
    known = PeSpec.model_fields
    if not {field.alias or name for name, field in known.items()}.issuperset(asked_parts):
        load_entry_points()
    parts = {
        kind.part: kind.spec or _refusing(kind) for kind in kinds() if kind.part and kind.part not in known
    }
    return _with_parts(tuple(parts.items())) if parts else TopologySpec


def _refusing(kind: Kind) -> Any:
    """What stands for the spec of a unit that describes none."""

    def refuse(value: object) -> None:
        raise ValueError(next(kind.mistakes()))

    return Annotated[Any, BeforeValidator(refuse)]


@lru_cache
def _with_parts(parts: tuple[tuple[str, Any], ...]) -> type[TopologySpec]:
    added: dict[str, Any] = {name: (spec | None, None) for name, spec in parts}
    pe = create_model("PeSpec", __base__=PeSpec, **added)
    return create_model("TopologySpec", __base__=TopologySpec, pe=(pe, ...))


class LinkOverrideSpec(Spec):
    """What ``overrides: {a->b: ...}`` may change of one directed link."""

    rate: GBps | None = Field(alias="bw", default=None)
    latency_ps: Ns | None = Field(alias="latency_ns", default=None)


class ComponentsSpec(Spec):
    """``components.yaml``: which registered implementation each kind of node uses."""

    version: Literal[1]
    components: dict[str, Text]
    _places: Places = PrivateAttr(default_factory=lambda: Places({}))

    def place_of(self, path: str) -> str:
        """The file and line that ``path`` was written at."""
        return self._places.of(path)


class CclAlgorithmSpec(Spec):
    """One algorithm's module and queue settings; what it leaves out comes from ``defaults``."""

    module: Text
    buffer_kind: Literal["tcm", "sram", "hbm"] | None = None
    slots: Count | None = None
    slot_bytes: Size | None = Field(alias="slot_size", default=None)
    backpressure: Literal["poll", "sleep"] | None = None
    credit_batch: Count | None = None
    world_size: Count | None = None


class CclDefaultsSpec(Spec):
    """Queue settings every algorithm starts from; rings that are not described are the machine's (``pe.ipcq``)."""

    buffer_kind: Literal["tcm", "sram", "hbm"] | None = None
    slots: Count | None = None
    slot_bytes: Size | None = Field(alias="slot_size", default=None)
    backpressure: Literal["poll", "sleep"]
    credit_batch: Count


class CclTableSpec(Spec):
    """What does a collective in groups of up to ``ranks`` (``max``: of any number), by the bytes of a rank's buffer.

    ``otherwise`` is for groups that the algorithm of ``sizes`` cannot serve.
    """

    ranks: MostRanks
    sizes: Selection
    otherwise: SelectionOrNone = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The table's selections: that of ``sizes``, and that of ``otherwise`` if there is one."""
        return (self.sizes,) if self.otherwise is None else (self.sizes, self.otherwise)


Tables = Annotated[
    tuple[CclTableSpec, ...],
    BeforeValidator(parse_tables),
    AfterValidator(require_ascending),
    WithJsonSchema(
        {
            "anyOf": [
                _SELECTION_TEXT,
                {"type": "array", "items": CclTableSpec.model_json_schema(by_alias=True)},
            ]
        }
    ),
]


class CclSelectionSpec(Spec):
    """Which algorithm does a collective, by number of ranks and by the bytes of the smaller buffer of a rank."""

    all_reduce: Tables
    reduce_scatter: Tables
    all_gather: Tables
    broadcast: Tables
    reduce: Tables
    all_to_all: Tables
    barrier: Tables


CollectiveName = Literal[
    "all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce", "all_to_all", "barrier"
]


class CclSpec(Spec):
    """``ccl.yaml``: collectives: defaults, which algorithm does which, and the settings of each algorithm.

    The queues of the algorithms of ``eager`` collectives are installed with a group, others at first use.
    """

    version: Literal[1]
    defaults: CclDefaultsSpec
    selection: CclSelectionSpec
    eager: tuple[CollectiveName, ...]
    algorithms: dict[str, CclAlgorithmSpec]
    _places: Places = PrivateAttr(default_factory=lambda: Places({}))

    def place_of(self, path: str) -> str:
        """The file and line that ``path`` was written at."""
        return self._places.of(path)


class Config(Spec):
    """All that was configured, resolved: what a run depends on and its hash covers."""

    topology: TopologySpec
    components: ComponentsSpec
    ccl: CclSpec


def models() -> dict[Document, type[Spec]]:
    """The spec of each document of a configuration, by its name."""
    return {"topology": machine_spec(), "components": ComponentsSpec, "ccl": CclSpec}
