"""Mapping and translation take their closed form: maps, page walks, and loads across pages, shards and cubes.

Every leg is summed from the graph and the data sheets alone (``IdleRoute``, ``IdleServer``), apart from the engine.
"""

from math import floor

import pytest

from kernbench.analysis.causes import DEVICE_CAUSES
from kernbench.device.placement import DPPolicy
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation
from kernbench.theory.idle_path import Arrival, IdleRoute, stages
from kernbench.theory.idle_transfer import EndPoint, IdleServer, idle_transfer_ps
from kernbench.topology.routes import Routes

HEADER, RANGE, ENTRY, POINTER = 32, 16, 32, 8
BURST = 32


class Legs:
    """Times on the idle machine ``graph``, one message at a time."""

    def __init__(self, graph):
        self.graph, self.routes = graph, Routes(graph)
        self.spec = graph.spec

    def node(self, name):
        return self.graph.node(name).index

    def arrival(self, src, dst, size_bytes):
        """Of a chunk that is at ``src`` as a whole at time 0; its header included."""
        return IdleRoute(stages(self.graph, self.routes.route(src, dst))).cross(size_bytes, Arrival(0, 0))

    def leg(self, src, dst, payload_bytes=0):
        return self.arrival(src, dst, payload_bytes + HEADER).tail_ps

    def serial_ps(self, src, dst, payload_bytes):
        """Time between two messages that leave ``src`` one right after the other."""
        first = stages(self.graph, self.routes.route(src, dst))[0]
        return first.serial_ps(payload_bytes + HEADER)

    def hbm(self):
        """The memory at rest."""
        hbm = self.spec.cube.hbm
        return IdleServer(hbm.pc_rate.scaled(hbm.pseudo_channels * hbm.flat_eff)), hbm.flat_latency_ps

    def write(self, src, memory, payload_bytes, moved_bytes):
        """One packet there, through the memory, and its acknowledgement back."""
        server, latency_ps = self.hbm()
        landed = server.pass_(moved_bytes, self.arrival(src, memory, payload_bytes + HEADER))
        return landed.tail_ps + latency_ps + self.leg(memory, src)

    def read(self, src, memory, payload_bytes, moved_bytes):
        """A request there, and one packet of one chunk back."""
        server, latency_ps = self.hbm()
        asked_ps = self.leg(src, memory)
        served = server.pass_(moved_bytes, Arrival(asked_ps, asked_ps))
        data = Arrival(served.head_ps + latency_ps, served.tail_ps + latency_ps)
        back = IdleRoute(stages(self.graph, self.routes.route(memory, src)))
        return back.cross(payload_bytes + HEADER, data).tail_ps


def mapped(topology, n_elem, overrides=()):
    """A simulation and the record of one map; a tensor of ``n_elem`` fp32."""
    simulation = Simulation.of(topology, mode="timing", overrides=overrides)
    x = simulation.torch.empty(n_elem, name="x")
    simulation.torch.synchronize()
    (record,) = (r for r in simulation.machine.log if r.op == OpCode.HOST_MAP)
    return simulation, x, record


def down_and_up_ps(legs, cube, message_bytes):
    """Host to the M_CPU that is told last, and back, with the commands on the way.

    The host sends to one SIP after the other, an IO_CPU to one cube after the other.
    """
    spec = legs.spec
    last = f"sip{spec.system.sips.count - 1}"
    host, io_cpu, m_cpu = map(legs.node, ("host", f"{last}.io_cpu", f"{last}.cube{cube}.m_cpu"))
    down = legs.leg(host, io_cpu, message_bytes) + legs.leg(io_cpu, m_cpu, message_bytes)
    turn = cube * legs.serial_ps(io_cpu, m_cpu, message_bytes)
    turn += (spec.system.sips.count - 1) * floor(legs.serial_ps(host, io_cpu, message_bytes))
    up = legs.leg(m_cpu, io_cpu) + legs.leg(io_cpu, host)
    return down + turn + up + 2 * (spec.sip.io_die.io_cpu.cmd_ps + spec.cube.m_cpu.cmd_ps)


def fan_out_ps(legs, cube, payload_bytes, update_ps):
    """M_CPU to the PE that is told last and is farthest, its update, and its completion back."""
    m_cpu, last = legs.node(f"sip0.cube{cube}.m_cpu"), legs.spec.cube.pes.count - 1
    niu = legs.node(f"sip0.cube{cube}.pe{last}.niu")
    turn = last * legs.serial_ps(m_cpu, niu, payload_bytes)
    return turn + legs.leg(m_cpu, niu, payload_bytes) + update_ps + legs.leg(niu, m_cpu)


def table_write_ps(legs, mapping, cube, n_entries):
    """M_CPU writes the entries, then the pointer to them, each acknowledged; a pointer moves a burst."""
    m_cpu, block = legs.node(f"sip0.cube{cube}.m_cpu"), mapping.blocks[cube]
    leaf = legs.write(m_cpu, block.owner, n_entries * ENTRY, n_entries * ENTRY)
    return leaf + legs.write(m_cpu, block.directory_owner, POINTER, BURST)


def test_mapping_a_tensor_on_tiny_takes_its_sum_by_hand():
    """1024 fp32 on 4 PEs: one page of 4 segments, told to one IO_CPU, one M_CPU and 4 PE_MMUs."""
    simulation, x, record = mapped("tiny", 1024)
    legs, mapping = Legs(simulation.graph), simulation.device.heap.mappings[x.data_ptr()]
    by_hand = (
        down_and_up_ps(legs, 0, RANGE + 4 * ENTRY)
        + table_write_ps(legs, mapping, 0, 4)
        + fan_out_ps(legs, 0, RANGE, 4_000)
    )
    assert record.end_ps - record.start_ps == by_hand == 1_287_293
    assert record.size_bytes == RANGE + 4 * ENTRY


def test_mapping_a_tensor_on_default_takes_its_sum_by_hand():
    """One fp32 on one PE: one segment. The last cube of the last SIP is told last, is farthest, and so ends last."""
    simulation, x, record = mapped("default", 1)
    legs, mapping = Legs(simulation.graph), simulation.device.heap.mappings[x.data_ptr()]
    by_hand = (
        down_and_up_ps(legs, 3, RANGE + ENTRY)
        + table_write_ps(legs, mapping, 3, 1)
        + fan_out_ps(legs, 3, RANGE, 4_000)
    )
    assert record.end_ps - record.start_ps == by_hand == 1_370_131
    assert record.size_bytes == 2 * (RANGE + ENTRY)


def test_filling_preloaded_tlbs_takes_its_sum_by_hand():
    """Three pages of 4 KiB over 4 PEs (768 fp32 each): 6 segments. No table: messages carry the entries to the TLBs."""
    simulation, _, record = mapped("tiny", 3 * 1024, overrides=("pe.mmu.miss=preload",))
    legs = Legs(simulation.graph)
    by_hand = down_and_up_ps(legs, 0, RANGE + 4 * ENTRY) + fan_out_ps(legs, 0, RANGE + 6 * ENTRY, 4 * 4_000)
    assert record.end_ps - record.start_ps == by_hand
    assert simulation.report().bytes["hbm"] == 0


def test_unmapping_clears_the_directory_and_then_the_tlbs():
    """4 PEs hold the page: each drops one entry."""
    simulation, x, _ = mapped("tiny", 64)
    torch = simulation.torch
    torch.launch(load_kernel, (4,), (x, 0), {"BYTES": 64}, place=[0, 1, 2, 3])
    torch.synchronize()
    legs, mapping = Legs(simulation.graph), torch.ahbm.heap.mappings[x.data_ptr()]
    x.free()
    torch.synchronize()
    (record,) = (r for r in simulation.machine.log if r.op == OpCode.HOST_UNMAP)
    m_cpu, block = legs.node("sip0.cube0.m_cpu"), mapping.blocks[0]
    by_hand = (
        down_and_up_ps(legs, 0, RANGE)
        + legs.write(m_cpu, block.directory_owner, POINTER, BURST)
        + fan_out_ps(legs, 0, RANGE, 2 * 4_000)
    )
    assert record.end_ps - record.start_ps == by_hand


# -- translation ---------------------------------------------------------------------------------------------------


@jit
def load_kernel(ptr, offset, BYTES: tl.constexpr):
    """Loads one block of bytes."""
    tl.load(ptr.to(tl.pointer_type(tl.int8)) + offset, shape=(BYTES,))


@jit
def store_kernel(ptr, offset, BYTES: tl.constexpr):
    """Stores one block of ones."""
    tl.store(ptr + offset, tl.full((BYTES,), 1, tl.int8))


def moved(simulation, kernel, x, offset, size_bytes, op, *, times=2):
    """The records of ``times`` equal accesses by PE 0, one launch each; from the second on, the TLB holds the pages."""
    for _ in range(times):
        simulation.torch.launch(kernel, (1,), (x, offset), {"BYTES": size_bytes}, place=[0])
    simulation.torch.synchronize()
    return [r for r in simulation.machine.log if r.op == op][-times:]


def pe_requester(simulation, *, is_write):
    spec = simulation.machine.spec.pe
    return EndPoint(
        node=simulation.graph.niu_of(0),
        max_inflight_bytes=spec.dma.max_inflight_bytes,
        port=IdleServer(spec.tcm.read_rate if is_write else spec.tcm.write_rate, spec.tcm.latency_ps),
    )


def alone_ps(simulation, pe, size_bytes, *, is_write=False):
    """A transfer of a part that belongs to PE number ``pe``, without set-up and look-up."""
    graph = simulation.graph
    end, memory = pe_requester(simulation, is_write=is_write), simulation.machine.slice_of(pe).owner
    return idle_transfer_ps(graph, Routes(graph), end, memory, size_bytes, is_write=is_write)


@pytest.mark.parametrize("topology", ["tiny", "default"])
@pytest.mark.parametrize("reads", [1, 2, 3])
def test_a_first_touch_costs_a_walk_of_dependent_hbm_reads(topology, reads):
    """The directories lie with the cube's first PE, the entry with the PE whose turn it is."""
    simulation = Simulation.of(topology, mode="timing", overrides=(f"pe.mmu.walk_reads={reads}",))
    x = simulation.torch.empty(64, dtype="int8")
    cold, warm = moved(simulation, load_kernel, x, 0, 16, OpCode.DMA_READ)
    legs, mapping = Legs(simulation.graph), simulation.device.heap.mappings[x.data_ptr()]
    niu, block = simulation.graph.niu_of(0), mapping.blocks[0]
    n_entries = mapping.entries.segments(0)
    by_hand = (reads - 1) * legs.read(niu, block.directory_owner, POINTER, BURST)
    by_hand += legs.read(niu, block.owner, n_entries * ENTRY, n_entries * ENTRY)
    (walk,) = (r for r in simulation.machine.log if r.op == OpCode.WALK)
    assert walk.end_ps - walk.start_ps == by_hand
    assert (cold.end_ps - cold.start_ps) - (warm.end_ps - warm.start_ps) == by_hand


PAGES_OF_4_KIB = ("pe.mmu.page=4096",)
SLOW_LOOK_UPS = (*PAGES_OF_4_KIB, "pe.mmu.hit_ns=80")
"""So slow that the data of one page are through before those of the next come: the pieces do not meet."""


def across(simulation, kernel, size_bytes, op):
    """A warm access by PE 0 of ``size_bytes`` on both sides of the border between the shards of PEs 15 and 16."""
    x = simulation.torch.empty(128 * 4096, dtype="int8")
    _, record = moved(simulation, kernel, x, 16 * 4096 - size_bytes, 2 * size_bytes, op)
    return record.end_ps - record.start_ps


def test_a_load_across_a_page_a_shard_and_a_cube_costs_what_its_pieces_cost():
    """Shards of one page: the last of cube 0 and the first of cube 1; the second piece begins a look-up later."""
    simulation = Simulation.of("default", mode="timing", overrides=SLOW_LOOK_UPS)
    near, far = (alone_ps(simulation, pe, 4096) for pe in (15, 16))
    assert 80_000 + near <= 2 * 80_000 + alone_ps(simulation, 16, 32)
    time_ps = across(simulation, load_kernel, 4096, OpCode.DMA_READ)
    assert time_ps == 16_000 + max(80_000 + near, 2 * 80_000 + far)


def test_a_store_across_them_likewise():
    simulation = Simulation.of("default", mode="timing", overrides=SLOW_LOOK_UPS)
    near, far = (alone_ps(simulation, pe, 1024, is_write=True) for pe in (15, 16))
    time_ps = across(simulation, store_kernel, 1024, OpCode.DMA_WRITE)
    assert time_ps == 16_000 + max(80_000 + near, 2 * 80_000 + far)


def test_a_load_across_a_shard_within_a_split_page_looks_up_once():
    """Both requests leave at once, one behind the other on the PE's link; the far data come after all near data."""
    simulation = Simulation.of("default", mode="timing")
    graph = simulation.graph
    request_ps = Legs(graph).serial_ps(graph.niu_of(0), simulation.machine.slice_of(16).owner, 0)
    near, far = (alone_ps(simulation, pe, 128) for pe in (15, 16))
    assert near + 160 * 1000 // 64 <= far
    time_ps = across(simulation, load_kernel, 128, OpCode.DMA_READ)
    assert time_ps == 16_000 + 1_000 + request_ps + far


def test_a_page_border_within_a_shard_costs_nothing_behind_a_memory_that_is_busy():
    """Two pages of one channel: the second look-up hides behind the data of the first page."""
    small, large = (
        Simulation.of("default", mode="timing", overrides=overrides) for overrides in (PAGES_OF_4_KIB, ())
    )
    times = []
    for simulation in (small, large):
        x = simulation.torch.empty(128 * 8192, dtype="int8")
        _, record = moved(simulation, load_kernel, x, 0, 8192, OpCode.DMA_READ)
        times.append(record.end_ps - record.start_ps)
    assert times[0] == times[1] == 16_000 + 1_000 + alone_ps(large, 0, 8192)


def test_a_pe_that_holds_a_copy_walks_and_loads_at_home():
    """Replicated to each PE: the farthest PE's load takes as long as the first one's, to its own channel."""
    simulation = Simulation.of("tiny", mode="timing")
    x = simulation.torch.empty(1024, dtype="int8", policy=DPPolicy("replicate", "replicate", "replicate"))
    for pe in (0, 0, 3, 3):
        simulation.torch.launch(load_kernel, (1,), (x, 0), {"BYTES": 1024}, place=[pe])
    simulation.torch.synchronize()
    loads = [r.end_ps - r.start_ps for r in simulation.machine.log if r.op == OpCode.DMA_READ]
    assert loads[1] == loads[3]


# -- the order of things ---------------------------------------------------------------------------------------------


def test_a_launch_waits_for_the_maps_of_its_arguments_only():
    simulation = Simulation.of("tiny", mode="timing")
    torch = simulation.torch
    x, y = torch.empty(64, dtype="int8", name="x"), torch.empty(64, dtype="int8", name="y")
    torch.launch(load_kernel, (1,), (x, 0), {"BYTES": 16}, place=[0])
    torch.synchronize()
    launched = simulation.machine.spans[0].sent_ps
    maps = {r.va: r.end_ps for r in simulation.machine.log if r.op == OpCode.HOST_MAP}
    assert launched == maps[x.data_ptr()] < maps[y.data_ptr()]


def test_map_and_unmap_are_part_of_device_time_and_shown_by_themselves():
    simulation = Simulation.of("tiny", mode="timing")
    simulation.torch.empty(64)
    simulation.torch.synchronize()
    report = simulation.report()
    assert report.device_time_ps == sum(report.device_breakdown.values()) == simulation.machine.now_ps
    assert list(report.device_breakdown) == [c for c in DEVICE_CAUSES if c in ("map", "unmap")]


@pytest.mark.parametrize("topology", ["tiny", "default"])
def test_every_pe_can_reach_a_tensor_once_its_map_is_done_and_none_before_or_after(topology):
    simulation = Simulation.of(topology, mode="timing")
    x = simulation.torch.empty(64, name="x")
    tables = simulation.machine.page_tables.by_sip
    va = x.data_ptr()
    assert [table.resolve(va) for table in tables] == [None] * len(tables)
    simulation.torch.synchronize()
    assert [table.resolve(va).name for table in tables] == ["x"] * len(tables)
    x.free()
    simulation.torch.synchronize()
    assert [table.resolve(va) for table in tables] == [None] * len(tables)
