"""What ``topology.yaml`` may say of a PE: a spec for each of the built-in units, and for the register file."""

from __future__ import annotations

from typing import Literal

from kernbench.config.quantities import Count, Cycles, Factor, GBps, Ghz, Ns, Side, Size, Spec, key

RATE_CLASSES = ("add", "mul", "fma", "max", "cmp", "div", "exp", "rsqrt")

"""Classes of element visits that PE_MATH has a rate for; an op says how many it makes of each."""


class PeCpuSpec(Spec):
    """PE_CPU: cost of starting a kernel, of issuing a command, of reading a value back."""

    start_ps: Ns = key("start_ns")
    issue_ps: Ns = key("issue_ns")
    readback_ps: Ns = key("readback_ns")


class SchedulerSpec(Spec):
    """PE_SCHEDULER: cost per command; commands that may wait per unit, and tiles queued before a unit."""

    dispatch_ps: Ns = key("dispatch_ns")
    tile_queue: Count
    feeders: Literal[1]


class DmaChannelsSpec(Spec):
    """How many descriptors of each kind PE_DMA works on at a time."""

    rd: Literal[1]
    wr: Literal[1]
    comm: Literal[1]


class DmaSpec(Spec):
    """PE_DMA: set-up per descriptor, its port's rate, and bytes in flight per channel."""

    setup_ps: Ns = key("setup_ns")
    channels: DmaChannelsSpec
    rate: GBps = key("bw")
    max_inflight_bytes: Size = key("max_inflight")


class MmuSpec(Spec):
    """PE_MMU: pages, the TLB, what a miss does, and what a map or unmap message costs."""

    page_bytes: Size = key("page")
    tlb_entries: Count
    hit_ps: Ns = key("hit_ns")
    miss: Literal["walk", "preload"]
    walk_reads: Count
    update_ps: Ns = key("update_ns")


class TcmSpec(Spec):
    """PE_TCM: the scratchpad; its read and write port serialise separately."""

    size_bytes: Size = key("size")
    read_rate: GBps = key("read_bw")
    write_rate: GBps = key("write_bw")
    latency_ps: Ns = key("latency_ns")
    banks: Count


class RegfileSpec(Spec):
    """The register file: operands and accumulators apart."""

    operands_bytes: Size = key("operands")
    accumulators_bytes: Size = key("accumulators")
    read_rate: GBps = key("read_bw")
    write_rate: GBps = key("write_bw")
    latency_ps: Ns = key("latency_ns")


class FetchStoreSpec(Spec):
    """PE_FETCH_STORE: TCM to register file and back."""

    rate: GBps = key("bw")
    setup_ps: Ns = key("setup_ns")


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
    slot_bytes: Size = key("slot_size")
    buffer: Literal["tcm", "sram", "hbm"]
    install_ps: Ns = key("install_ns")
    poll_ps: Ns = key("poll_ns")
    credit_return: Literal["bottleneck_bw"]
    credit_bytes: Size = key("credit_size")


class PeSpec(Spec):
    """A processing element."""

    clock_mhz: Ghz = key("clock_ghz")
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
