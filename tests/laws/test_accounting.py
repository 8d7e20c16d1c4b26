"""Everything is counted once: breakdowns sum to their times, busy + stalled + idle to the window, bytes to the log."""

from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest

import kernbench as kb
from kernbench.analysis.causes import DEVICE_CAUSES, causes
from kernbench.bench import load_bench
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation

TWO_BY_TWO = Path(__file__).with_name("two_by_two.yaml")
on_tiny = pytest.mark.parametrize("topology", ["tiny", str(TWO_BY_TWO)], ids=["tiny", "two by two"])
on_all = pytest.mark.parametrize(
    "topology", ["tiny", str(TWO_BY_TWO), "default"], ids=["tiny", "two by two", "default"]
)
RATE_OF_KIND = {
    "niu": Fraction(64),
    "mesh": Fraction(64),
    "port": Fraction(64),
    "d2d": 256 * Fraction("0.97"),
    "io": Fraction(128),
    "pcie": 63 * Fraction("0.91"),
    "sip_link": 63 * Fraction("0.91"),
}
"""GB/s of a link, by the kind of edge."""
COUNTS_ITS_REST = {
    *("io_cpu", "m_cpu", "pe_cpu", "pe_scheduler", "pe_dma", "pe_mmu", "pe_fetch_store", "pe_gemm"),
    "pe_math",
}
"""Kinds of unit that count idle time themselves, as any but a memory does."""


@on_tiny
def test_a_second_iteration_takes_what_the_first_took_and_holds_nothing_of_it(small_bench, topology):
    bench, params = small_bench
    run, again = (kb.run(bench, topology=topology, params=params, iters=iters) for iters in (1, 2))
    assert again.opened_ps > run.device_time_ps
    assert (again.breakdown, again.device_breakdown) == (run.breakdown, run.device_breakdown)


@on_all
def test_the_breakdowns_sum_to_kernel_and_device_time_on_every_bench(small_bench, topology):
    bench, params = small_bench
    run = kb.run(bench, topology=topology, params=params)
    assert run.check.ok
    assert sum(run.breakdown.values()) == run.kernel_time_ps > 0
    assert sum(run.device_breakdown.values()) == run.device_time_ps > run.kernel_time_ps
    assert run.breakdown.keys() <= causes().keys() - {"not traced"}
    assert run.device_breakdown.keys() <= DEVICE_CAUSES.keys()
    assert min(*run.breakdown.values(), *run.device_breakdown.values()) > 0
    assert run.device_breakdown["kernel"] == run.kernel_time_ps


def ran(small_bench, topology, overrides=()):
    """The simulation after one run of a bench, its results read back."""
    bench, params = small_bench
    simulation = Simulation.of(topology, overrides=overrides)
    simulation.begin_window()
    values = bench.params_on(simulation.graph, params)
    for tensor in bench.run(simulation.torch, **values).outputs:
        tensor.numpy()
    return simulation


@on_all
def test_busy_stalled_and_idle_time_of_every_unit_sum_to_the_window(small_bench, topology):
    simulation = ran(small_bench, topology)
    window_ps, units = simulation.machine.now_ps, simulation.report().units
    reported = {unit.node: unit for unit in units}
    seen = set()
    for unit in simulation.machine.assembly.components.values():
        for name, meter in unit.meters():
            node = f"{unit.node.name}.{name}" if name else unit.node.name
            use = reported.pop(node)
            assert (use.busy_ps, use.stalled_ps) == (meter.busy_ps, sum(meter.stalled_ps.values())), node
            assert use.window_ps == window_ps
            if unit.node.kind != "hbm_ctrl":
                assert meter.busy_ps + sum(meter.stalled_ps.values()) + meter.idle_ps == window_ps, node
                assert use.idle_ps == meter.idle_ps, node
                seen.add(unit.node.kind)
    assert reported == {}
    assert seen >= COUNTS_ITS_REST - {"pe_gemm"}
    assert {unit.kind for unit in units} - seen == {"hbm_ctrl"}


@on_tiny
def test_a_memory_controller_is_busy_for_its_bursts_at_its_rate_and_no_longer_than_the_window(
    small_bench, topology
):
    """2 x 25.6 GB/s, all of it (``flat_eff`` is 1): 625 ps for a burst of 32 B. Part of a burst takes all of it."""
    units = [unit for unit in ran(small_bench, topology).report().units if unit.kind == "hbm_ctrl"]
    assert units
    for unit in units:
        assert unit.size_bytes * 1000 / Fraction("51.2") <= unit.busy_ps <= unit.window_ps, unit.node
        assert unit.busy_ps % 625 == 0


@on_tiny
def test_with_whole_bursts_it_is_busy_for_its_bytes_exactly(topology):
    """Without page tables, whose directories are read and written a pointer at a time."""
    whole = (load_bench("vector_add"), {"n": 4096, "block": 128})
    for unit in ran(whole, topology, ("pe.mmu.miss=preload",)).report().units:
        if unit.kind == "hbm_ctrl":
            assert unit.busy_ps == unit.size_bytes * 1000 / Fraction("51.2")
            assert unit.size_bytes > 0


@on_all
def test_a_link_is_busy_for_its_bytes_at_its_rate_and_no_longer_than_the_window(small_bench, topology):
    simulation = ran(small_bench, topology)
    graph, now_ps = simulation.graph, simulation.machine.now_ps
    reported = {use.node: use for use in simulation.report().links}
    for index, link in simulation.machine.fabric.links.items():
        edge = graph.edges[index]
        name = f"{graph.nodes[edge.src].name} -> {graph.nodes[edge.dst].name}"
        assert link.busy_ps == ceil(link.size_bytes * 1000 / RATE_OF_KIND[edge.kind]), name
        assert link.busy_ps <= now_ps
        if link.size_bytes:
            use = reported.pop(name)
            assert (use.busy_ps, use.size_bytes) == (link.busy_ps, link.size_bytes)
    assert reported == {}


@on_all
def test_hbm_moves_what_loads_stores_and_copies_of_the_op_log_ask_for(small_bench, topology):
    simulation = ran(small_bench, topology)
    sizes = dict.fromkeys(OpCode, 0)
    for record in simulation.machine.log:
        sizes[record.op] += record.size_bytes
    by_kernels = sizes[OpCode.DMA_READ] + sizes[OpCode.DMA_WRITE]
    by_mapping = sizes[OpCode.WALK] + sizes[OpCode.TABLE_WRITE]
    by_the_host = sizes[OpCode.HOST_WRITE] + sizes[OpCode.HOST_READ]
    assert min(by_kernels, by_mapping, by_the_host) > 0
    assert simulation.report().bytes["hbm"] == by_kernels + by_mapping + by_the_host


def test_host_software_time_is_never_added(small_bench):
    bench, params = small_bench
    free, costly = (
        kb.run(bench, topology="tiny", params=params, overrides=(f"host.sw_launch_ns={ns}",))
        for ns in (0, 4000)
    )
    assert (free.host_time_ps, costly.host_time_ps) == (0, 4_000_000)  # one launch
    assert (free.device_time_ps, free.kernel_time_ps) == (costly.device_time_ps, costly.kernel_time_ps)
    assert free.oplog_sha256 == costly.oplog_sha256
