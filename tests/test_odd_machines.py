"""Any machine that the configuration allows runs: right results, no deadlock, every picosecond of its breakdown
accounted for; and on an idle one every transfer takes what its closed form says."""

import pytest

from kernbench.bench import run
from kernbench.bench.probe import run_probe
from kernbench.config.load import load_config
from kernbench.errors import CapacityError, ConfigError
from kernbench.theory.lint import lint
from kernbench.theory.peaks import peaks
from kernbench.topology.builder import build_graph

BENCHES = {
    "vector_add": {"n": 5000, "block": 512},
    "gemm": {"m": 70, "n": 50, "k": 90, "block_m": 16, "block_n": 16, "block_k": 32},
    "softmax": {"rows": 9, "columns": 100},
}
SIZES = (1, 33, 4096, 16384)

LATENCIES = (
    *("system.sip_link.latency_ns", "sip.io_die.pcie_ep.latency_ns", "sip.io_die.io_cpu.cmd_ns"),
    *("sip.io_die.noc.router_ns", "sip.ucie.latency_ns", "cube.m_cpu.cmd_ns", "cube.noc.router_ns"),
    *("cube.noc.link_ns", "cube.noc.niu_ns", "cube.sram.latency_ns", "cube.hbm.flat_latency_ns"),
    *("cube.hbm.ctrl_frontend_ns", "cube.hbm.ctrl_backend_ns", "pe.cpu.start_ns", "pe.cpu.issue_ns"),
    *(
        "pe.cpu.readback_ns",
        "pe.scheduler.dispatch_ns",
        "pe.dma.setup_ns",
        "pe.mmu.hit_ns",
        "pe.mmu.update_ns",
        "pe.tcm.latency_ns",
    ),
    *("pe.regfile.latency_ns", "pe.fetch_store.setup_ns", "host.dram_latency_ns"),
)


def pes(x, y, channels=None):
    """Cubes of ``x`` by ``y`` PEs."""
    return (
        f"cube.pes={{count: {x * y}, grid: [{x}, {y}]}}",
        f"cube.hbm.channels={channels or x * y}",
        f"cube.hbm.capacity={16 * x * y} MiB",
    )


def cubes(x, y):
    """SIPs of ``x`` by ``y`` cubes."""
    columns = ", ".join(f"[{column}, 0]" for column in range(x))
    return (
        f"sip.cubes={{count: {x * y}, grid: [{x}, {y}]}}",
        f"sip.io_die.ucie_ports.attach=[{columns}]",
        'cube.ucie_ports={"N": edge, "S": edge, "E": edge, "W": edge}',
    )


def sips(x, y=1):
    """A system of ``x`` by ``y`` SIPs."""
    return (f"system.sips={{count: {x * y}, grid: [{x}, {y}]}}",)


def buffers(size_bytes):
    """Every buffer per virtual channel."""
    places = ("cube.noc", "sip.ucie", "sip.io_die.noc", "sip.io_die.pcie_ep", "system.sip_link")
    return tuple(f"{place}.buffer_per_vc={size_bytes}" for place in places)


EVERY_LEVEL = (*pes(2, 2), *cubes(2, 2), *sips(2))

MACHINES = {
    "one PE": pes(1, 1),
    "a row of PEs": pes(16, 1),
    "a column of PEs": pes(1, 16),
    "3 x 5 PEs": pes(3, 5),
    "two PEs on one channel": pes(2, 1, channels=1),
    "eight PEs on four channels": pes(4, 2, channels=4),
    "more channels than PEs": pes(2, 2, channels=8),
    "HBM that does not divide": (*pes(3, 2)[:-1], "cube.hbm.capacity=33333333"),
    "channels at every second router": ("cube.hbm.attach=per_2_routers", "cube.hbm.channels=2"),
    "a row of cubes": (*pes(2, 2), *cubes(3, 1)),
    "a column of cubes": (*pes(2, 2), *cubes(1, 3)),
    "3 x 2 cubes": (*pes(2, 1), *cubes(3, 2)),
    "three SIPs": (*pes(2, 2), *sips(3)),
    "2 x 2 SIPs of one PE": (*pes(1, 1), *sips(2, 2)),
    "every level": EVERY_LEVEL,
    "small chunks": ("cube.noc.chunk=256",),
    "chunks of a flit": ("cube.noc.chunk=32", "cube.noc.packet=32"),
    "packets of a chunk": ("cube.noc.packet=1024",),
    "no header": ("cube.noc.header=0",),
    "flits of a byte": ("cube.noc.flit=1", "cube.noc.header=1"),
    "one tile in a queue": ("pe.scheduler.tile_queue=1",),
    "a TCM of 16 KiB": ("pe.tcm.size=16 KiB",),
    "a small register file": ("pe.regfile.operands=256", "pe.regfile.accumulators=4 KiB"),
    "1.1 GHz": ("pe.clock_ghz=1.1",),
    "0.333 GHz": ("pe.clock_ghz=0.333",),
    "an array of 7 x 5 x 3": ("pe.gemm.m=7", "pe.gemm.n=5", "pe.gemm.k=3"),
    "an array of one MAC": ("pe.gemm.m=1", "pe.gemm.n=1", "pe.gemm.fill_cycles=0"),
    "odd rates": (
        *EVERY_LEVEL,
        *(
            "cube.noc.link_bw=57.33",
            "cube.hbm.pc_bw=13.7",
            "sip.ucie.bw=99.99",
            "pe.dma.bw=31.41",
            "pe.tcm.read_bw=77.7",
        ),
        *(
            "pe.tcm.write_bw=33.33",
            "pe.fetch_store.bw=45.67",
            "sip.io_die.pcie_ep.bw=11.1",
            "host.dram_bw=7.77",
        ),
    ),
    "a slow network": ("cube.noc.link_bw=0.1",),
    "a slow port": ("pe.dma.bw=0.5",),
    "no latency anywhere": (*EVERY_LEVEL, *(f"{path}=0" for path in LATENCIES)),
    "pages of a burst": ("pe.mmu.page=32", "pe.mmu.tlb_entries=512"),  # as many as the largest transfer has
    "pages of a GiB": ("pe.mmu.page=1 GiB",),
    "one place in the TLB": ("pe.mmu.page=2 MiB", "pe.mmu.tlb_entries=1"),
    "walks of one read": ("pe.mmu.walk_reads=1",),
    "walks of five reads": (*EVERY_LEVEL, "pe.mmu.walk_reads=5"),
    "preloaded TLBs": (*EVERY_LEVEL, "pe.mmu.miss=preload", "pe.mmu.tlb_entries=1024"),
    "the best fit": ("host.fit=best",),
    "bursts of a byte": ("cube.hbm.timing.burst=1",),
    "one slow PE": ("overrides.sip0.cube0.pe3.pe_gemm.fill_cycles=1000",),
    "one slow link": ("overrides.sip0.cube0.r0_0->sip0.cube0.r1_0.bw=1",),
}

TIGHT = {
    "one place in each memory's queue": (*EVERY_LEVEL, "cube.hbm.queue=1"),
    "one chunk in each buffer": (*EVERY_LEVEL, *buffers(1056)),
    "one of everything": (
        *(*EVERY_LEVEL, *buffers(1056), "cube.hbm.queue=1", "pe.dma.max_inflight=4096"),
        *("host.max_inflight=4096", "pe.scheduler.tile_queue=1"),
    ),
}

# TLBs that do not hold the pages of the largest transfer: when it comes again, the first of them are gone.
SHORT = {
    "a page less than needed in the TLB": ("pe.mmu.page=32", "pe.mmu.tlb_entries=511"),
    "one place in the TLB for pages of 4 KiB": (*EVERY_LEVEL, "pe.mmu.tlb_entries=1"),
}
EVERY = MACHINES | TIGHT | SHORT


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bench", BENCHES)
def test_a_bench_is_right_and_its_time_is_accounted_for(name, bench):
    overrides = ("cube.sram.banks=1", "cube.sram.at=[[0, 0]]", *EVERY[name])
    result = run(bench, topology="tiny", overrides=overrides, params=BENCHES[bench])
    assert result.check.ok
    assert sum(result.breakdown.values()) == result.kernel_time_ps > 0
    assert sum(result.device_breakdown.values()) == result.device_time_ps > result.kernel_time_ps
    assert min(*result.breakdown.values(), *result.device_breakdown.values()) >= 0


@pytest.mark.parametrize("name", MACHINES)
def test_an_idle_transfer_takes_what_its_closed_form_says(name):
    rows = run_probe(topology="tiny", overrides=MACHINES[name], sizes=SIZES)
    assert [(row.case, row.size_bytes) for row in rows if row.error_ps] == []


@pytest.mark.parametrize("name", TIGHT)
def test_where_too_little_room_holds_a_transfer_up_the_lint_says_so(name):
    rows = run_probe(topology="tiny", overrides=TIGHT[name], sizes=SIZES)
    assert max(row.error_ps for row in rows) > 0
    assert min(row.error_ps for row in rows) >= 0
    spec = load_config("tiny", TIGHT[name]).topology
    assert any("or more" in warning for warning in lint(build_graph(spec), peaks(spec)))


@pytest.mark.parametrize("name", SHORT)
def test_a_transfer_takes_longer_where_the_tlb_does_not_hold_its_pages_and_only_there(name):
    rows = run_probe(topology="tiny", overrides=SHORT[name], sizes=SIZES)
    assert [row.error_ps for row in rows if row.error_ps] == []
    longer = {(row.case, row.size_bytes): row.simulated_ps for row in rows if row.closed_form_ps is None}
    assert longer.keys() == {(row.case, SIZES[-1]) for row in rows if row.case.startswith("pe-")}
    held = (*SHORT[name][:-1], "pe.mmu.tlb_entries=512")
    for row in run_probe(topology="tiny", overrides=held, sizes=SIZES[-1:]):
        assert row.error_ps == 0
        assert row.simulated_ps < longer.get((row.case, row.size_bytes), row.simulated_ps + 1)


def test_a_page_of_less_than_a_burst_is_told():
    with pytest.raises(ConfigError) as error:
        load_config("tiny", ("pe.mmu.page=1",))
    assert str(error.value) == (
        "--set pe.mmu.page=1: 1 B is smaller than a burst, cube.hbm.timing.burst (presets/topology.yaml:82): 32 B; "
        "write 32 or more"
    )


def test_no_latency_anywhere_still_takes_the_time_of_the_bytes_and_the_cycles():
    result = run("gemm", topology="tiny", overrides=MACHINES["no latency anywhere"], params=BENCHES["gemm"])
    assert {"hbm", "gemm"} <= {cause for cause, spent_ps in result.breakdown.items() if spent_ps > 0}


def test_a_register_file_without_room_for_one_accumulator_is_told():
    overrides = ("pe.regfile.accumulators=3", "pe.gemm.m=1", "pe.gemm.n=1")
    with pytest.raises(CapacityError) as error:
        run("gemm", topology="tiny", overrides=overrides, params=BENCHES["gemm"])
    assert str(error.value) == (
        "gemm.py:61: the register file (pe.regfile: operands 65536 B, accumulators 3 B) cannot hold one tile of "
        "1 x 1 fp16; make it larger, or the array (pe.gemm.m, pe.gemm.n) smaller"
    )
