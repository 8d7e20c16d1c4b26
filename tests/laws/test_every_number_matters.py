"""Every number of the presets moves a time, or says why not (law 9): nothing is read and then ignored unsaid.

Each numeric leaf of ``topology.yaml``, ``components.yaml`` and ``ccl.yaml`` stands in exactly one table: MOVES (a
workload whose time it moves), CHECKED (it moves no time, but decides what is accepted), FIXED (one value is
understood) or INERT (why it moves none).
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import pytest

from kernbench.bench import load_bench
from kernbench.ccl import QueuePair, install_queues
from kernbench.ccl.communicator import Communicator
from kernbench.config.load import load_config, preset_names
from kernbench.config.plain import yaml_values
from kernbench.device.placement import DPPolicy
from kernbench.errors import CapacityError, ConfigError
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.simulation import Simulation

# -- workloads ---------------------------------------------------------------------------------------------------


@jit
def copy_kernel(x_ptr, y_ptr, at, BLOCK: tl.constexpr):
    """Loads one block of bytes at ``at`` and stores it where it was."""
    x = tl.load(x_ptr + at, shape=(BLOCK,))
    tl.store(y_ptr + at + tl.arange(0, BLOCK), x)


@jit
def narrow_kernel(x_ptr):
    """Loads a column of 8-byte runs."""
    tl.load(x_ptr + tl.arange(0, 32)[:, None] * 512 + tl.arange(0, 8)[None, :])


@jit
def math_kernel(x_ptr, y_ptr, BLOCK: tl.constexpr):
    """A chain with every class of operation in it."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    y = tl.exp(x.to(tl.float32) + 1.0)
    y = tl.rsqrt(tl.maximum(y * 2.0, 3.0))
    y = tl.where(y > 0.5, tl.fma(y, y, y), 1.0 / y)
    tl.store(y_ptr + at, y.to(tl.float16))


@jit
def half_kernel(x_ptr, y_ptr, BLOCK: tl.constexpr):
    """Halves only."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    tl.store(y_ptr + at, x + x)


@jit
def forcing_kernel(n_ptr, y_ptr):
    """A loop bound from memory."""
    for i in range(tl.load(n_ptr)):
        tl.store(y_ptr + i, 1)


@jit
def many_loads_kernel(x_ptr, y_ptr, BLOCK: tl.constexpr):
    """Loads well ahead of what it computes."""
    for i in range(12):
        x = tl.load(x_ptr + i * BLOCK + tl.arange(0, BLOCK))
        tl.store(y_ptr + i * BLOCK + tl.arange(0, BLOCK), tl.exp(tl.exp(tl.exp(x))))


@jit
def load_kernel(x_ptr, at):
    """Loads 64 bytes at ``at``."""
    tl.load(x_ptr + at, shape=(64,))


@jit
def empty_kernel(*_):
    """Does nothing."""


@jit
def stores_kernel(x_ptr, at, BLOCK: tl.constexpr):
    """Stores one block of known bytes."""
    tl.store(x_ptr + at, tl.full((BLOCK,), 1, tl.int8))


@jit
def queue_kernel(BLOCK: tl.constexpr):
    """Rank 0 sends blocks to the last one, which works on each before it frees its slots."""
    x = tl.zeros((BLOCK,), tl.float32)
    for _ in range(6):
        if tl.neighbor("to") is not None:
            tl.send("to", x)
        if tl.neighbor("from") is not None:
            y = tl.recv("from", (BLOCK,), tl.float32)
            x = x + tl.exp(y) * y
            del y


def collective(name, n_elem=2048):
    """An algorithm on all PEs, a tensor on each."""

    def run(simulation):
        torch = simulation.torch
        tensors = [torch.zeros(n_elem, policy=DPPolicy(only=pe)) for pe in range(simulation.graph.n_pes)]
        Communicator(torch.ahbm, range(simulation.graph.n_pes)).run(name, tensors, tensors, n_elem=n_elem)

    return run


def copies(simulation):
    """64 KiB from the host to the device and back."""
    x = simulation.torch.zeros(1 << 16, dtype="int8")
    x.fetch()


def gemm(simulation, dtype="fp16"):
    bench = load_bench("gemm")
    shape = {"m": 64, "n": 48, "k": 96, "block_m": 32, "block_n": 16, "block_k": 32}
    bench.run(simulation.torch, **bench.params_on(simulation.graph, {**shape, "dtype": dtype}))


def spilling_gemm(simulation):
    """A product whose operands and accumulators pass through the register file in several parts."""
    bench = load_bench("gemm")
    shape = {"m": 64, "n": 128, "k": 128, "block_m": 64, "block_n": 64, "block_k": 64}
    bench.run(simulation.torch, **bench.params_on(simulation.graph, shape))


def elementwise(kernel, space="hbm"):
    """Every PE computes on its own part of 4096 halves."""
    policy = DPPolicy(space=space)

    def run(simulation):
        x, y = (simulation.torch.zeros(4096, dtype="fp16", policy=policy) for _ in "xy")
        kernel[(4,)](x, y, BLOCK=1024)

    return run


def move(n_bytes=16384, *, pes=(0,), at=None, space="hbm"):
    """PEs ``pes`` copy ``n_bytes`` each: those at ``at``, or at the end of the tensor, the last PE's memory."""

    def run(simulation):
        torch = simulation.torch
        n_pes = simulation.graph.n_pes
        policy = DPPolicy("row_wise", "row_wise", "row_wise", space)
        x, y = (torch.empty(n_pes * n_bytes, dtype="int8", policy=policy) for _ in "xy")
        where = (n_pes - 1) * n_bytes if at is None else at
        torch.launch(copy_kernel, (len(pes),), (x, y, where), {"BLOCK": n_bytes}, place=list(pes))

    return run


def narrow(simulation):
    x = simulation.torch.empty(1 << 16, dtype="int8")
    simulation.torch.launch(narrow_kernel, (1,), (x,), place=[0])


def pages(simulation):
    """Three pages in turn, twice."""
    x = simulation.torch.empty(3 * 4096, dtype="int8")
    for at in (0, 4096, 8192, 0, 4096, 8192):
        simulation.torch.launch(load_kernel, (1,), (x, at), place=[0])


def many_maps(simulation):
    """Forty tensors, mapped at once."""
    x = [simulation.torch.empty(1 << 16, dtype="int8") for _ in range(40)]
    simulation.torch.synchronize()
    del x[:]


def stores(simulation):
    x = simulation.torch.empty(1 << 16, dtype="int8")
    simulation.torch.launch(stores_kernel, (1,), (x, 49152), {"BLOCK": 16384}, place=[0])


def forcing(simulation):
    n = simulation.torch.full((1,), 3, dtype="int32")
    forcing_kernel[(1,)](n, simulation.torch.empty(8, dtype="int32"))


def many_loads(simulation):
    x, y = (simulation.torch.zeros(12 * 2048, dtype="fp32") for _ in "xy")
    many_loads_kernel[(1,)](x, y, BLOCK=2048)


def long_launch(simulation):
    """A launch message of more than one chunk to each PE."""
    simulation.torch.launch(empty_kernel, (4,), tuple(range(200)), place=[0, 1, 2, 3])


def queue(n_elem):
    """Blocks of ``n_elem`` through a queue from the first to the last PE."""

    def run(simulation):
        ends = QueuePair("to", "from", lambda rank, n_ranks: n_ranks - 1 if rank == 0 else None)
        wiring = install_queues(simulation.torch, (ends,))
        simulation.torch.launch(queue_kernel, (4,), meta={"BLOCK": n_elem}, queues=wiring)

    return run


class Workload(NamedTuple):
    run: Callable[[Simulation], None]
    machine: tuple[str, ...] = ()
    mode: str = "timing"


TWO_SIPS = ("system.sips.count=2", "system.sips.grid=[2,1]")
TWO_CUBES = (
    "sip.cubes.count=2",
    "sip.cubes.grid=[2,1]",
    "sip.io_die.ucie_ports.attach=[[0,0],[1,0]]",
    'cube.ucie_ports={"N": edge, "S": none, "E": edge, "W": edge}',
)
ONE_CHUNK = ("cube.noc.buffer_per_vc=1056",)
TWO_CHUNKS = ("cube.noc.buffer_per_vc=2112",)
PRELOADED = ("pe.mmu.miss=preload",)
ONE_SLOT = ("pe.ipcq.slots=1",)

WORKLOADS = {
    "copies": Workload(copies),
    "gemm": Workload(gemm),
    **{
        f"gemm {dtype}": Workload(lambda s, dtype=dtype: gemm(s, dtype))
        for dtype in ("bf16", "fp8", "int8", "fp32")
    },
    "spilling gemm": Workload(spilling_gemm),
    "math": Workload(elementwise(math_kernel)),
    "halves": Workload(elementwise(half_kernel)),
    "far copy": Workload(move()),
    "far copies": Workload(move(pes=(0, 1, 2, 3))),
    "far copy, one chunk a buffer": Workload(move(), ONE_CHUNK),
    "far copy, two chunks a buffer": Workload(move(), TWO_CHUNKS),
    "stores, one chunk a buffer": Workload(stores, ONE_CHUNK),
    "launch, one chunk a buffer": Workload(long_launch, ONE_CHUNK),
    "copy to the other SIP": Workload(move(), TWO_SIPS),
    "copy to the other cube": Workload(move(), TWO_CUBES),
    "SRAM copy": Workload(move(space="sram")),
    "contended SRAM copies": Workload(move(pes=(0, 1, 2, 3), space="sram"), PRELOADED),
    "SRAM copies": Workload(elementwise(half_kernel, "sram")),
    "column": Workload(narrow),
    "pages": Workload(pages),
    "forcing": Workload(forcing, mode="timed"),
    "many loads": Workload(many_loads),
    "maps, IO_CPU fast": Workload(many_maps, ("sip.io_die.io_cpu.cmd_ns=1",)),
    "maps, M_CPU slow": Workload(many_maps, ("cube.m_cpu.cmd_ns=250",)),
    "queue": Workload(queue(128)),
    "queue of one slot": Workload(queue(128), ONE_SLOT),
    "polled queue of one slot": Workload(queue(128), (*ONE_SLOT, "ccl.defaults.backpressure=poll")),
    "sliced ring": Workload(collective("ring_sliced_allreduce")),
    "all to all": Workload(collective("pairwise_all_to_all")),
    "queue, one chunk a buffer": Workload(queue(1024), (*ONE_CHUNK, "pe.ipcq.slot_size=2 KiB")),
}
"""Programs for ``tiny`` with ``machine`` changed."""


class Seen(NamedTuple):
    """What a workload takes: device time, host software time, and when everything in its op log began and ended."""

    device_ps: int
    host_ps: int
    times: tuple[tuple[int, int], ...]


@lru_cache
def seen(workload: str, overrides: tuple[str, ...] = ()) -> Seen:
    run, machine, mode = WORKLOADS[workload]
    simulation = Simulation.of("tiny", overrides=(*machine, *overrides), mode=mode)
    run(simulation)
    simulation.torch.synchronize()
    hardware = simulation.machine
    times = tuple((record.start_ps, record.end_ps) for record in hardware.log)
    return Seen(hardware.now_ps, hardware.host_time_ps, times)


# -- the tables --------------------------------------------------------------------------------------------------


class Change(NamedTuple):
    """``value`` for a leaf, and what has to change with it."""

    workload: str
    value: object
    along: tuple[str, ...] = ()


COLUMNS_OF_2 = ("sip.io_die.ucie_ports.attach=[[0,0],[1,0]]", TWO_CUBES[-1])

MOVES = {
    "host.dram_bw": Change("copies", 20),
    "host.dram_latency_ns": Change("copies", 180),
    "host.max_inflight": Change("copies", 4096),
    "system.sips.count": Change("copies", 2, ("system.sips.grid=[2,1]",)),
    "system.sips.grid": Change("copies", "[2,1]", ("system.sips.count=2",)),
    "system.sip_link.bw": Change("copy to the other SIP", 31.5),
    "system.sip_link.payload_eff": Change("copy to the other SIP", 0.5),
    "system.sip_link.latency_ns": Change("copy to the other SIP", 1200),
    "system.sip_link.buffer_per_vc": Change("copy to the other SIP", 2112),
    "sip.cubes.count": Change("far copy", 2, ("sip.cubes.grid=[2,1]", *COLUMNS_OF_2)),
    "sip.cubes.grid": Change("far copy", "[2,1]", ("sip.cubes.count=2", *COLUMNS_OF_2)),
    "sip.io_die.pcie_ep.bw": Change("copies", 31.5),
    "sip.io_die.pcie_ep.payload_eff": Change("copies", 0.5),
    "sip.io_die.pcie_ep.latency_ns": Change("copies", 600),
    "sip.io_die.pcie_ep.buffer_per_vc": Change("copies", 2112),
    "sip.io_die.io_cpu.cmd_ns": Change("far copy", 400),
    "sip.io_die.noc.link_bw": Change("copies", 32),
    "sip.io_die.noc.router_ns": Change("copies", 6),
    "sip.io_die.noc.buffer_per_vc": Change("copies", 1056),
    "sip.io_die.ucie_ports.attach": Change(
        "far copy", "[[0,0],[1,0]]", ("sip.cubes.count=2", "sip.cubes.grid=[2,1]", TWO_CUBES[-1])
    ),
    "sip.ucie.bw": Change("copies", 32),
    "sip.ucie.latency_ns": Change("copies", 22),
    "sip.ucie.eff": Change("copies", 0.1),
    "sip.ucie.buffer_per_vc": Change("copy to the other cube", 1056),
    "cube.pes.count": Change(
        "far copy", 8, ("cube.pes.grid=[4,2]", "cube.hbm.channels=8", "cube.hbm.capacity=128 MiB")
    ),
    "cube.pes.grid": Change("far copy", "[4,1]", ("cube.m_cpu.at=[0,0]",)),
    "cube.m_cpu.cmd_ns": Change("far copy", 100),
    "cube.m_cpu.at": Change("far copy", "[1,1]"),
    "cube.noc.link_bw": Change("far copy", 32),
    "cube.noc.router_ns": Change("far copy", 4),
    "cube.noc.link_ns": Change("far copy", 2),
    "cube.noc.niu_ns": Change("far copy", 6),
    "cube.noc.vcs.ctl": Change("launch, one chunk a buffer", 2),
    "cube.noc.vcs.req": Change("stores, one chunk a buffer", 2),
    "cube.noc.vcs.resp": Change("far copy, one chunk a buffer", 2),
    "cube.noc.vcs.comm": Change("queue, one chunk a buffer", 2),
    "cube.noc.chunk": Change("copies", 512),
    "cube.noc.packet": Change("copies", 2048),
    "cube.noc.buffer_per_vc": Change("far copy", 1056),
    "cube.noc.header": Change("far copy", 64),
    "cube.noc.flit": Change("far copy, two chunks a buffer", 128),
    "cube.sram.banks": Change("SRAM copies", 2, ("cube.sram.at=[[0,0],[1,1]]",)),
    "cube.sram.bank_bw": Change("SRAM copies", 32),
    "cube.sram.latency_ns": Change("SRAM copies", 24),
    "cube.sram.queue": Change("contended SRAM copies", 1),
    "cube.sram.at": Change("SRAM copy", "[[1,1]]"),
    "cube.hbm.channels": Change("halves", 2),
    "cube.hbm.pseudo_channels": Change("far copy", 1),
    "cube.hbm.pc_bw": Change("far copy", 12.8),
    "cube.hbm.flat_eff": Change("far copy", 0.5),
    "cube.hbm.flat_latency_ns": Change("far copy", 100),
    "cube.hbm.queue": Change("far copies", 1),
    "cube.hbm.timing.burst": Change("column", 64),
    "pe.clock_ghz": Change("gemm", 0.5),
    "pe.cpu.start_ns": Change("gemm", 40),
    "pe.cpu.issue_ns": Change("gemm", 8),
    "pe.cpu.readback_ns": Change("forcing", 40),
    "pe.scheduler.dispatch_ns": Change("gemm", 4),
    "pe.scheduler.tile_queue": Change("gemm", 1),
    "pe.dma.setup_ns": Change("gemm", 32),
    "pe.dma.bw": Change("gemm", 32),
    "pe.dma.max_inflight": Change("far copy", 4096),
    "pe.mmu.page": Change("gemm", "64 KiB"),
    "pe.mmu.tlb_entries": Change("pages", 2),
    "pe.mmu.hit_ns": Change("gemm", 2),
    "pe.mmu.walk_reads": Change("gemm", 4),
    "pe.mmu.update_ns": Change("gemm", 8),
    "sip.io_die.io_cpu.queue_depth": Change("maps, M_CPU slow", 1),
    "cube.m_cpu.queue_depth": Change("maps, IO_CPU fast", 1),
    "pe.tcm.size": Change("many loads", "32 KiB"),
    "pe.tcm.read_bw": Change("gemm", 32),
    "pe.tcm.write_bw": Change("gemm", 32),
    "pe.tcm.latency_ns": Change("gemm", 12),
    "pe.regfile.operands": Change("spilling gemm", "16 KiB"),
    "pe.regfile.accumulators": Change("spilling gemm", "8 KiB"),
    "pe.regfile.read_bw": Change("math", 32),
    "pe.regfile.write_bw": Change("gemm", 64),
    "pe.regfile.latency_ns": Change("gemm", 2),
    "pe.fetch_store.bw": Change("gemm", 64),
    "pe.fetch_store.setup_ns": Change("gemm", 4),
    "pe.gemm.m": Change("gemm", 64),
    "pe.gemm.n": Change("gemm", 64),
    "pe.gemm.k": Change("gemm", 64),
    "pe.gemm.fill_cycles": Change("gemm", 64),
    "pe.gemm.macs_per_cycle.fp16": Change("gemm", 256),
    "pe.gemm.macs_per_cycle.bf16": Change("gemm bf16", 256),
    "pe.gemm.macs_per_cycle.fp8": Change("gemm fp8", 256),
    "pe.gemm.macs_per_cycle.int8": Change("gemm int8", 256),
    "pe.gemm.macs_per_cycle.fp32": Change("gemm fp32", 128),
    "pe.math.lanes.fp32": Change("math", 32),
    "pe.math.lanes.fp16": Change("halves", 32),
    "pe.math.latency_cycles": Change("math", 8),
    **{f"pe.math.rate.{name}": Change("math", 0.125) for name in ("add", "mul", "fma", "max", "cmp")},
    **{f"pe.math.rate.{name}": Change("math", 0.125) for name in ("div", "exp", "rsqrt")},
    "pe.ipcq.slots": Change("queue", 1),
    "pe.ipcq.slot_size": Change("queue", 256),
    "pe.ipcq.install_ns": Change("queue", 8),
    "pe.ipcq.poll_ns": Change("polled queue of one slot", 50),
    "pe.ipcq.credit_size": Change("queue of one slot", 64),
    "ccl.defaults.credit_batch": Change("queue", 2),
    "ccl.algorithms.pairwise_all_to_all.slots": Change("all to all", 4),
    "ccl.algorithms.ring_sliced_allreduce.slots": Change("sliced ring", 6),
}
"""The leaves that move the device time of a workload."""


class Limit(NamedTuple):
    """A ``value`` with which the machine, or then ``workload``, is refused with ``text``, after the place."""

    value: object
    text: str
    workload: str = "copies"


NO_ROOM = "free a tensor, make it smaller or shard it over more PEs"
CHECKED = {
    "cube.hbm.capacity": Limit(
        "32 KiB",
        "its slice of HBM: no room for 'tensor1': it needs 16 KiB, and of 8 KiB 4 KiB are free, 4 KiB in one piece; "
        f"allocated: page directory 4 KiB; {NO_ROOM}",
    ),
    "cube.sram.size": Limit(
        "8 KiB",
        "no room for 'tensor1': it needs 16 KiB, and of 8 KiB 8 KiB are free, 8 KiB in one piece; allocated: nothing; "
        f"{NO_ROOM}",
        "SRAM copy",
    ),
}
"""Capacities that move no time: too little is refused."""

FIXED = {
    "version": "2 is not 1",
    "components.version": "2 is not text",  # by --set, what follows `components.` is a kind of node
    "ccl.version": "2 is not 1",
    "pe.scheduler.feeders": "2 is not 1",
    "pe.dma.channels.rd": "2 is not 1",
    "pe.dma.channels.wr": "2 is not 1",
    "pe.dma.channels.comm": "2 is not 1",
}
"""Leaves of which only 1 is understood, and what a 2 is refused with."""


class Inert(NamedTuple):
    value: object
    reason: str


BANKS = (
    "read by a bank-level HBM model; `flat` has one latency and one rate (docs: what the model leaves out)"
)
IN_FLAT = "read by a bank-level HBM model; `flat_latency_ns` contains it"
RATE_IS_BW = "says where `sip.ucie.bw` comes from, which is what links use"
ONE_LAUNCH = (
    "a launch waits for the one before, and completions are counted at no time: never more than one waits"
)
DRAWINGS = "places of nodes, for drawings"

INERT = {
    "sip.ucie.modules": Inert(4, RATE_IS_BW),
    "sip.ucie.gtps": Inert(32, RATE_IS_BW),
    "sip.ucie.flit": Inert(64, "small packets pay their own bytes; `eff` is the framing of long ones"),
    "cube.hbm.ctrl_frontend_ns": Inert(24, IN_FLAT),
    "cube.hbm.ctrl_backend_ns": Inert(16, IN_FLAT),
    **{
        f"cube.hbm.timing.{name}": Inert(7, BANKS)
        for name in (
            *("tBL", "tCL", "tCWL", "tRCDrd", "tRCDwr", "tRP", "tRAS", "tRC", "tCCD_S", "tCCD_L", "tRRD_S"),
            *("tRRD_L", "tFAW", "tRTP", "tWR", "tWTR_S", "tWTR_L", "tRTW", "tRFC", "tREFI"),
        )
    },
    **{f"cube.hbm.org.{name}": Inert(8, BANKS) for name in ("stack_ids", "bank_groups", "banks_per_group")},
    "cube.hbm.org.row": Inert(2048, BANKS),
    "pe.tcm.banks": Inert(1, "a TCM port gives its rate for any pattern: bank conflicts are left out"),
    "geometry.router_pitch_mm": Inert(5, DRAWINGS),
    "geometry.die_gap_mm": Inert(5, DRAWINGS),
    "geometry.io_die_mm": Inert(5, DRAWINGS),
    "geometry.sip_gap_mm": Inert(5, DRAWINGS),
}
"""The leaves that move nothing yet."""

HOST_TIME = {"host.sw_launch_ns": Change("gemm", 8000)}
"""Leaves of the host's software time, which is reported apart."""

# -- the law -----------------------------------------------------------------------------------------------------


def numeric_leaves(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all numbers, and lists with numbers, below ``value``."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from numeric_leaves(child, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if any(not isinstance(child, (str, dict)) for child in value):
            yield path
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        yield path


def test_every_numeric_leaf_of_every_preset_is_in_exactly_one_table():
    leaves = set()
    for preset in preset_names():
        config = load_config(preset)
        leaves |= set(numeric_leaves(yaml_values(config.topology)))
        leaves |= set(numeric_leaves({"components": yaml_values(config.components)}))
        leaves |= set(numeric_leaves({"ccl": yaml_values(config.ccl)}))
    listed = [*MOVES, *HOST_TIME, *CHECKED, *FIXED, *INERT]
    assert sorted(listed) == sorted(leaves)


@pytest.mark.parametrize("leaf", MOVES)
def test_a_leaf_that_matters_moves_the_time_of_its_workload(leaf):
    workload, value, along = MOVES[leaf]
    assert seen(workload, (*along, f"{leaf}={value}")).device_ps != seen(workload).device_ps


@pytest.mark.parametrize(
    "leaf", ["system.sips.count", "sip.cubes.count", "cube.pes.count", "cube.sram.banks"]
)
def test_a_leaf_that_changes_with_others_is_refused_alone(leaf):
    """So it was this leaf, with what depends on it, that moved the time above."""
    _, value, _ = MOVES[leaf]
    with pytest.raises(ConfigError):
        load_config("tiny", (f"{leaf}={value}",))


@pytest.mark.parametrize("leaf", HOST_TIME)
def test_host_software_moves_the_host_time_and_never_the_device_time(leaf):
    workload, value, _ = HOST_TIME[leaf]
    changed, usual = seen(workload, (f"{leaf}={value}",)), seen(workload)
    assert changed.host_ps - usual.host_ps == 8_000_000
    assert (changed.device_ps, changed.times) == (usual.device_ps, usual.times)


@pytest.mark.parametrize("leaf", CHECKED)
def test_a_capacity_that_is_too_small_is_refused_and_a_larger_one_moves_no_time(leaf):
    value, text, workload = CHECKED[leaf]
    with pytest.raises((ConfigError, CapacityError)) as raised:
        seen(workload, (f"{leaf}={value}",))
    assert str(raised.value).partition(": ")[2] == text
    spec = load_config("tiny").topology
    enough = {"cube.hbm.capacity": spec.cube.hbm.capacity_bytes, "cube.sram.size": spec.cube.sram.size_bytes}
    larger = 2 * enough[leaf]
    assert seen(workload, (f"{leaf}={larger}",)) == seen(workload)


@pytest.mark.parametrize("leaf", FIXED)
def test_a_number_of_which_only_one_is_understood_refuses_others(leaf):
    with pytest.raises(ConfigError) as raised:
        load_config("tiny", (f"{leaf}=2",))
    assert str(raised.value) == f"--set {leaf}=2: {FIXED[leaf]}"


@pytest.mark.parametrize("leaf", INERT)
@pytest.mark.parametrize("workload", ["gemm", "copy to the other SIP", "queue"])
def test_a_leaf_that_is_said_to_move_nothing_moves_nothing(leaf, workload):
    value, _ = INERT[leaf]
    assert seen(workload, (f"{leaf}={value}",)) == seen(workload)
