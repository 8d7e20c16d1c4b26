"""Laws of transfers: closed form, bottleneck, order of distances, aggregate bandwidth, fairness, scaling."""

import statistics

import numpy as np
import pytest

from kernbench.bench.probe import CASES, run_probe
from kernbench.config.load import load_config
from kernbench.config.plain import yaml_values
from kernbench.device.placement import DPPolicy
from kernbench.errors import UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation
from kernbench.theory.idle_transfer import EndPoint, IdleServer, idle_transfer_ps
from kernbench.topology.routes import Routes

SIZES = (1, 32, 100, 1024, 4096, 5000, 65536)


@pytest.mark.parametrize("topology", ["tiny", "default"])
def test_an_idle_transfer_takes_its_closed_form_to_the_picosecond_at_every_size(topology):
    rows = run_probe(CASES, SIZES, topology=topology)
    assert len(rows) == len(SIZES) * (6 if topology == "default" else 4)
    assert [(row.case, row.size_bytes, row.error_ps) for row in rows if row.error_ps] == []


SMALL_TCM = ("pe.tcm.size=32 KiB", "pe.ipcq={slots: 1, slot_size: 512}")


def test_a_load_of_more_than_tcm_goes_in_blocks_of_a_quarter_and_takes_its_closed_form():
    rows = run_probe(CASES, (32769, 50_000, 65536), topology="default", overrides=SMALL_TCM)
    assert [(row.case, row.size_bytes, row.error_ps) for row in rows if row.error_ps != 0] == []
    (whole,) = run_probe(("pe-to-other-sip",), (65536,), topology="default")
    assert rows[-1].simulated_ps >= whole.simulated_ps  # each block is set up, which the window may hide


def test_blocks_in_flight_that_tcm_does_not_hold_have_no_closed_form():
    tight = ("pe.tcm.size=8 KiB", *SMALL_TCM[1:])  # as much as the window
    (row,) = run_probe(("pe-to-local",), (8193,), topology="default", overrides=tight)
    assert (row.closed_form_ps, row.error_ps) == (None, None)


def test_pages_that_the_tlb_does_not_hold_have_no_closed_form():
    held, more = run_probe(("pe-to-local",), (64 * 4096, 65 * 4096), topology="tiny")  # 64 entries of 4 KiB
    assert held.error_ps == 0
    assert (more.closed_form_ps, more.error_ps) == (None, None)


@pytest.mark.parametrize(
    ("case", "size", "text"),
    [
        # a directory of 4 KiB, and 32 B for each page of 4 KiB and one more
        ("pe-to-local", 16 << 20, "16 MiB do not fit sip0.cube0.pe0's slice"),
        ("host-to-device", 1 << 40, "1024 GiB do not fit sip0.cube0.pe0's slice"),
        ("pe-to-same-cube", 16_643_041, "15.87 MiB do not fit sip0.cube0.pe3's slice"),
    ],
)
def test_what_memory_does_not_hold_is_refused_with_the_largest_size(case, size, text):
    with pytest.raises(UsageError) as caught:
        run_probe((case,), (size,), topology="tiny")
    assert str(caught.value) == (
        f"probe {case}: {text} of HBM beside the page table; the largest size is 16643040 B"
    )


@pytest.mark.parametrize("topology", ["tiny", "default"])
def test_no_transfer_beats_the_rate_of_its_bottleneck(topology):
    for row in run_probe(CASES, SIZES, topology=topology):
        assert row.size_bytes * 1000 <= row.simulated_ps * row.bottleneck_bytes_per_ns


@jit
def store_kernel(ptr, offset, BYTES: tl.constexpr):
    """Stores one block of ones."""
    tl.store(ptr + offset, tl.full((BYTES,), 1, tl.int8))


@jit
def load_kernel(ptr, BYTES: tl.constexpr):
    """Every program loads its own PE's part."""
    tl.load(ptr + tl.program_id(0) * BYTES, shape=(BYTES,))


@jit
def load_at(ptr, offsets_of, BYTES: tl.constexpr):
    """Program p loads the part of the PE that ``offsets_of`` names for it."""
    tl.load(ptr + offsets_of[int(tl.program_id(0))] * BYTES, shape=(BYTES,))


def dma_records(simulation, op=OpCode.DMA_READ):
    return [r for r in simulation.machine.log if r.op == op]


def test_loads_from_farther_memories_take_longer_on_average():
    """Means over all destinations: local < same cube < other cube < other SIP. Single pairs may differ."""
    simulation = Simulation.of("default", mode="timing")
    machine, graph = simulation.machine, simulation.graph
    routes = Routes(graph)
    at = graph.pes[5]
    times = {"local": [], "same cube": [], "other cube": [], "other SIP": []}
    for pe, name in enumerate(graph.pes):
        far = "other SIP" if name.sip != at.sip else "other cube" if name.cube != at.cube else "same cube"
        spec = machine.spec.pe
        end = EndPoint(
            node=graph.niu_of(5),
            max_inflight_bytes=spec.dma.max_inflight_bytes,
            port=IdleServer(spec.tcm.write_rate, spec.tcm.latency_ps),
        )
        memory = machine.slice_of(pe).owner
        time_ps = idle_transfer_ps(graph, routes, end, memory, 1024, is_write=False)
        times["local" if pe == 5 else far].append(time_ps)
    means = [statistics.mean(of) for of in times.values()]
    assert means == sorted(means)
    assert len(set(means)) == 4


def local_loads(n_pes, overrides=()):
    """Times of a 64 KiB load by each of the first PEs from its own channel, when its TLB holds the page."""
    simulation = Simulation.of("default", mode="timing", overrides=overrides)
    torch = simulation.torch
    x = torch.empty(128 * 65536, dtype="int8")
    for _ in range(2):
        torch.launch(load_kernel, (n_pes,), (x,), {"BYTES": 65536}, place=list(range(n_pes)))
    torch.synchronize()
    records = dma_records(simulation)
    assert len(records) == 2 * n_pes
    return {r.end_ps - r.start_ps for r in records[n_pes:]}


def test_all_pes_on_their_own_channels_get_what_one_gets():
    """So the aggregate is N times one, and a cube reaches its 16 x 47.1 GB/s, a SIP four times that."""
    one = local_loads(1)
    assert local_loads(16) == one
    assert local_loads(128) == one


def test_two_loads_of_one_channel_share_it_equally():
    simulation = Simulation.of("tiny", mode="timing")
    torch = simulation.torch
    x = torch.empty(4 * 32768, dtype="int8")
    torch.launch(load_at, (2,), (x, (3, 3)), {"BYTES": 32768}, place=[1, 2])
    torch.synchronize()
    first, second = dma_records(simulation)
    begin_ps, end_ps = min(first.start_ps, second.start_ps), max(first.end_ps, second.end_ps)
    assert end_ps - begin_ps >= 2 * 32768 * 1000 / 51.2
    # neither is ever more than its window ahead of the other
    window_ps = simulation.machine.spec.pe.dma.max_inflight_bytes * 1000 / 51.2
    assert abs(first.end_ps - second.end_ps) <= window_ps + abs(first.start_ps - second.start_ps)


def test_a_load_that_meets_no_other_is_not_slowed_by_it():
    alone, beside = (Simulation.of("default", mode="timing") for _ in range(2))
    for simulation, offsets, place in ((alone, (0,), [0]), (beside, (0, 100), [0, 100])):
        x = simulation.torch.empty(128 * 8192, dtype="int8")
        simulation.torch.launch(load_at, (len(place),), (x, offsets), {"BYTES": 8192}, place=place)
        simulation.torch.synchronize()
    ((only,), (first, _)) = (dma_records(s) for s in (alone, beside))
    assert first.end_ps - first.start_ps == only.end_ps - only.start_ps


WHOLE = (
    "system.sip_link.payload_eff=1",
    "system.sip_link.bw=64",
    "sip.io_die.pcie_ep.payload_eff=1",
    "sip.io_die.pcie_ep.bw=64",
    "sip.ucie.eff=1",
    "cube.hbm.flat_eff=1",
)


def doubled():
    """Overrides that double every latency and cycle time and halve every rate of ``default``."""
    spec = yaml_values(load_config("default", WHOLE).topology)
    overrides = dict(text.split("=") for text in WHOLE)

    def walk(tree, path):
        for key, value in tree.items():
            name = ".".join((*path, key))
            if key.endswith("_ns"):
                overrides[name] = 2 * value
            elif key == "bw" or key.endswith("_bw"):
                overrides[name] = value / 2
            elif isinstance(value, dict):
                walk(value, (*path, key))

    walk({part: spec[part] for part in ("host", "system", "sip", "cube", "pe")}, ())
    return overrides | {"pe.clock_ghz": 0.5}


@jit
def add_kernel(x_ptr, y_ptr):
    """Loads, multiplies, stores 1024 elements. Two arguments make a launch message of 64 B: whole picoseconds."""
    at = tl.program_id(0) * 1024 + tl.arange(0, 1024)
    tl.store(y_ptr + at, tl.load(x_ptr + at) * 3.0)


def test_doubling_latencies_and_halving_rates_doubles_every_time_stamp_exactly():
    logs = []
    for overrides in (WHOLE, doubled()):
        simulation = Simulation.of("default", overrides=overrides)
        torch = simulation.torch
        x = torch.ones(128 * 1024, dtype="fp32", policy=DPPolicy(sip="row_wise"))
        y = torch.empty(128 * 1024, dtype="fp32", policy=DPPolicy(sip="row_wise"))
        torch.launch(add_kernel, (128,), (x, y))
        torch.synchronize()
        logs.append([(r.node, r.op, r.start_ps, r.end_ps) for r in simulation.machine.log])
    assert logs[1] == [(node, op, 2 * start, 2 * end) for node, op, start, end in logs[0]]


def test_an_idle_pe_added_last_changes_no_kernel_time():
    """A PE without program, shard or route: the same kernel on 1 x 1 cubes of one and of two SIPs' worth of PEs."""
    tables = []
    for overrides in (("system.sips.count=1", "system.sips.grid=[1,1]"), ()):
        simulation = Simulation.of("default", overrides=overrides, mode="timing")
        x = simulation.torch.empty(64 * 1024, dtype="int8", policy=DPPolicy(sip="replicate"))
        simulation.torch.launch(load_kernel, (64,), (x,), {"BYTES": 1024}, place=list(range(64)))
        simulation.torch.synchronize()
        tables.append([(r.end_ps - r.start_ps) for r in dma_records(simulation)])
    assert tables[0] == tables[1]


def test_bytes_are_conserved_on_links_memories_and_ports():
    simulation = Simulation.of("default")
    torch = simulation.torch
    x = torch.ones(128 * 1024, dtype="fp32")
    y = torch.empty(128 * 1024, dtype="fp32")
    torch.launch(add_kernel, (128,), (x, y))
    torch.synchronize()
    before = simulation.machine.moved()
    torch.launch(add_kernel, (128,), (x, y))  # the TLBs hold its pages
    torch.synchronize()
    moved = simulation.machine.moved() - before
    payload = 128 * 4096
    assert sum(moved.memories.values()) == 2 * payload
    # loads in, operand fetch, result store, store out
    assert moved.tcm_bytes == 4 * payload
    graph = simulation.graph
    into_nius = sum(size for i, size in moved.links.items() if graph.nodes[graph.edges[i].dst].kind == "niu")
    # 4 KiB of data with one 32 B header, one acknowledgement of 32 B, one launch message a PE
    launch = 32 + 8 * 2 + 16
    assert into_nius == 128 * (4096 + 32 + 32 + launch)


def test_busy_stalled_and_idle_of_each_unit_sum_to_the_makespan():
    simulation = Simulation.of("tiny")
    torch = simulation.torch
    x = torch.ones(8 * 1024, dtype="fp32")
    y = torch.empty(8 * 1024, dtype="fp32")
    torch.launch(add_kernel, (8,), (x, y))
    torch.synchronize()
    n_seen = 0
    for unit in simulation.machine.assembly.components.values():
        if unit.node.kind in {"pe_gemm", "pe_math", "pe_fetch_store", "pe_dma"}:
            for _, meter in unit.meters():
                total = meter.busy_ps + sum(meter.stalled_ps.values()) + meter.idle_ps
                assert total == simulation.machine.now_ps, unit.node.name
                n_seen += 1
    assert n_seen == 4 * 6  # PE_DMA has three channels


def test_writes_take_their_closed_form_too():
    for topology, pe in (("tiny", 0), ("tiny", 3), ("default", 0), ("default", 40), ("default", 127)):
        for size in (32, 4096, 20000):
            simulation = Simulation.of(topology, mode="timing")
            torch, machine, graph = simulation.torch, simulation.machine, simulation.graph
            x = torch.empty(graph.n_pes * size, dtype="int8", policy=DPPolicy("row_wise"))
            for _ in range(2):  # the second time the TLB holds its pages
                torch.launch(store_kernel, (1,), (x, pe * size), {"BYTES": size}, place=[0])
            torch.synchronize()
            _, record = dma_records(simulation, OpCode.DMA_WRITE)
            spec = machine.spec.pe
            end = EndPoint(
                node=graph.niu_of(0),
                max_inflight_bytes=spec.dma.max_inflight_bytes,
                port=IdleServer(spec.tcm.read_rate, spec.tcm.latency_ps),
                page_bytes=spec.mmu.page_bytes,
                page_offset=pe * size % spec.mmu.page_bytes,
                look_up_ps=spec.mmu.hit_ps,
            )
            memory = machine.slice_of(pe).owner
            closed = idle_transfer_ps(graph, Routes(graph), end, memory, size, is_write=True)
            assert record.end_ps - record.start_ps == spec.dma.setup_ps + closed, (topology, pe, size)


def test_a_load_of_nothing_moves_nothing():
    simulation = Simulation.of("tiny")
    x = simulation.torch.from_numpy(np.arange(4, dtype=np.float32)).to("ahbm")
    assert x[2:2].shape == (0,)
