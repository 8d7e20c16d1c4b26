"""No GEMM beats its arithmetic at peak, nor its bytes at the rate of any level; one PE comes close; more never helps.

Floors are recomputed here from the YAML's numbers and the shape of the problem, not by ``analysis.bounds``.
"""

from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.bench import load_bench
from kernbench.benches.gemm import gemm_kernel
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import float16, float32
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.simulation import Simulation

SIZE = 2  # bytes of an fp16
ONE_PE = (
    "system.sips.count=1",
    "system.sips.grid=[1,1]",
    "sip.cubes.count=1",
    "sip.cubes.grid=[1,1]",
    "sip.io_die.ucie_ports.attach=[[0,0]]",
    "cube.pes.count=1",
    "cube.pes.grid=[1,1]",
    "cube.hbm.channels=1",
    "cube.sram.banks=1",
    "cube.sram.at=[[0,0]]",
)
"""``default`` with one PE and its channel of 2 x 25.6 GB/s."""

TWO_BY_TWO = Path(__file__).with_name("two_by_two.yaml")
N_PES = 16

A_BY_ROWS = DPPolicy("row_wise", "row_wise", "row_wise")
B_POLICIES = {
    "B on both SIPs": DPPolicy("row_wise", "row_wise", "row_wise"),
    "B per SIP": DPPolicy("replicate", "row_wise", "row_wise"),
    "B per cube": DPPolicy("replicate", "replicate", "row_wise"),
    "B per PE": DPPolicy("replicate", "replicate", "replicate"),
}


class Problem(NamedTuple):
    """C [m, n] = A [m, k] @ B [k, n] in fp16, in blocks."""

    m: int
    n: int
    k: int
    block_m: int = 32
    block_n: int = 32
    block_k: int = 32


def run_gemm(problem, b_policy):
    """The simulation and its report of one product on 2 x 2 cubes, A and C by rows over all PEs."""
    m, n, k, block_m, block_n, block_k = problem
    simulation = Simulation.of(TWO_BY_TWO, mode="timing")
    torch = simulation.torch
    a = torch.empty(m, k, dtype=float16, policy=A_BY_ROWS)
    b = torch.empty(k, n, dtype=float16, policy=b_policy)
    c = torch.empty(m, n, dtype=float16, policy=A_BY_ROWS)
    simulation.begin_window()
    grid = (ceil(m / block_m) * ceil(n / block_n),)
    meta = {"BLOCK_M": block_m, "BLOCK_N": block_n, "BLOCK_K": block_k, "ACC": float32}
    gemm_kernel[grid](a, b, c, m, n, k, **meta)
    torch.synchronize()
    return simulation, simulation.report(flops=2 * m * n * k, gemm=float16)


def problem_floors_ns(problem, where):
    """The least time by resource on 2 x 2 cubes, in exact ns, from the problem alone.

    The rows of A are dealt to the PEs in order, so every PE needs all of B, and there is no cache: what two PEs need
    travels twice. 1024 MAC a cycle and PE; 51.2 GB/s a channel, one for each PE; 64 GB/s between PE and router; UCIe
    256 GB/s x 0.97; SIP links 63 GB/s x 0.91.
    """
    m, n, k = problem[:3]
    b_bytes = k * n * SIZE
    floors = {
        "compute": Fraction(m * n * k, 1024 * N_PES),
        "hbm": Fraction((m * k + k * n + m * n) * SIZE * 10, 512 * N_PES),
        "niu": Fraction(m * k // N_PES * SIZE + b_bytes, 64),
    }
    if where == "B on both SIPs":  # half of B comes to each of the other SIP's 8 PEs
        floors["sip link"] = b_bytes * Fraction(1, 2) * 8 / (63 * Fraction("0.91"))
    if where in ("B on both SIPs", "B per SIP"):  # half of B comes through one port to each of a cube's 4 PEs
        floors["ucie"] = b_bytes * Fraction(1, 2) * 4 / (256 * Fraction("0.97"))
    return floors


PROBLEMS = [Problem(512, 32, 64), Problem(512, 64, 128), Problem(1024, 32, 96)]


@pytest.mark.parametrize("where", B_POLICIES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"{p.m}x{p.n}x{p.k}")
def test_no_gemm_beats_the_floors_of_its_problem(problem, where):
    _, report = run_gemm(problem, B_POLICIES[where])
    for resource, floor_ns in problem_floors_ns(problem, where).items():
        assert report.kernel_time_ps >= floor_ns * 1000, resource
    assert 0 < report.bound.share <= 1


def test_a_product_whose_b_lies_on_both_sips_is_bound_by_the_link_between_them():
    problem = Problem(512, 64, 512, block_k=64)
    _, report = run_gemm(problem, B_POLICIES["B on both SIPs"])
    floors = problem_floors_ns(problem, "B on both SIPs")
    assert max(floors, key=floors.get) == report.bound.limit == "sip link"


@pytest.mark.parametrize("where", B_POLICIES)
def test_no_link_and_no_memory_moves_more_than_its_rate_times_the_time(where):
    """One by one, not level by level: bytes of a launch over every link and channel."""
    simulation, _ = run_gemm(PROBLEMS[1], B_POLICIES[where])
    graph, (span,) = simulation.graph, simulation.machine.spans
    time_ps = span.done_ps - span.sent_ps
    assert {graph.edges[index].kind for index in span.moved.links} >= {"niu", "mesh", "port", "d2d", "io"}
    for index, moved in span.moved.links.items():
        edge = graph.edges[index]
        assert moved * 1000 <= time_ps * edge.rate.fraction, (graph.nodes[edge.src].name, edge.kind)
    for node, moved in span.moved.memories.items():
        assert moved * 1000 <= time_ps * Fraction("51.2"), graph.nodes[node].name


@pytest.mark.parametrize("topology", ["tiny", "default"])
def test_the_bench_does_not_beat_its_bound(topology):
    bench = load_bench("gemm")
    simulation = Simulation.of(topology, mode="timing")
    simulation.begin_window()
    shape = {"m": 256, "n": 128, "k": 128, "block_m": 32, "block_n": 64, "block_k": 64}
    outcome = bench.run(simulation.torch, **bench.params_on(simulation.graph, shape))
    simulation.torch.synchronize()
    report = simulation.report(flops=outcome.flops, gemm=outcome.gemm)
    assert 0 < report.bound.share <= 1
    n_pes = simulation.graph.n_pes
    assert report.kernel_time_ps >= 256 * 128 * 128 * 1000 / (1024 * min(n_pes, 16))


# -- one PE --------------------------------------------------------------------------------------------------------


@jit
def tile_kernel(a_ptr, b_ptr, c_ptr, K, N: tl.constexpr, BLOCK_K: tl.constexpr):
    """C [N, N] = A [N, K] @ B [K, N] in one program."""
    at = tl.arange(0, N)
    acc = tl.zeros((N, N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        ks = start + tl.arange(0, BLOCK_K)
        a = tl.load(a_ptr + at[:, None] * K + ks[None, :])
        b = tl.load(b_ptr + ks[:, None] * N + at[None, :])
        acc = tl.dot(a, b, acc)
    tl.store(c_ptr + at[:, None] * N + at[None, :], acc.to(tl.float16))


def one_tile(k, block_k, n=128, overrides=()):
    """The report of one tile on one PE, all data in its own channel."""
    simulation = Simulation.of("default", overrides=(*ONE_PE, *overrides), mode="timing")
    torch = simulation.torch
    a, b, c = (torch.empty(*shape, dtype=float16) for shape in ((n, k), (k, n), (n, n)))
    simulation.begin_window()
    tile_kernel[(1,)](a, b, c, k, N=n, BLOCK_K=block_k)
    torch.synchronize()
    return simulation.report(flops=2 * n * n * k, gemm=float16)


def test_one_pe_with_a_tile_of_128_by_128_and_local_data_reaches_85_percent_of_its_bound():
    """2 x 128 x 128 x 4096 flops at 2048 a ns are 65 536 ns; 2 MiB and C at 51.2 GB/s are less: 41 600 ns.

    It reaches 95.5 %. What is missing is the first loads, before there is anything to multiply, and the last cast
    and store; the array never runs dry in between.
    """
    report = one_tile(4096, 128)
    assert report.bound.floors_ps["compute"] == 65_536_000
    assert report.bound.bound_ps == 65_536_000
    assert report.kernel_time_ps * 85 <= 65_536_000 * 100
    assert report.breakdown["gemm"] == (4096 * 16 + 32) * 1000  # all k steps, and one fill


# -- monotone laws -------------------------------------------------------------------------------------------------
# They hold where nothing contends. Where two flows meet, a faster wire may let another one go first, and a kernel can
# end later: an anomaly of any list schedule (Graham, 1969), not of the model. And wires speed up together, up to the
# rate of TCM's ports: one faster than both its neighbours adds up to a chunk's difference in serialisation (ADR-0008;
# the last law here).

RATES = {
    "wires": {"cube.noc.link_bw": 64, "pe.dma.bw": 64},
    "memory": {"cube.hbm.pc_bw": 25.6},
    "port of the PE": {"pe.dma.bw": 64},
    "TCM's read port": {"pe.tcm.read_bw": 128},
    "TCM's write port": {"pe.tcm.write_bw": 128},
    "registers' read port": {"pe.regfile.read_bw": 512},
    "registers' write port": {"pe.regfile.write_bw": 256},
    "fetch and store": {"pe.fetch_store.bw": 128},
    "array": {"pe.gemm.macs_per_cycle.fp16": 1024},
    "lanes": {"pe.math.lanes.fp16": 128, "pe.math.lanes.fp32": 64},
    "clock": {"pe.clock_ghz": 1},
}


@jit
def chain_kernel(x_ptr, y_ptr, BLOCK: tl.constexpr):
    """A load, two operations, a store: each waits for the one before."""
    at = tl.arange(0, BLOCK)
    tl.store(y_ptr + at, tl.exp(tl.load(x_ptr + at).to(tl.float32)).to(tl.float16))


def chain_ps(overrides):
    simulation = Simulation.of("tiny", overrides=overrides, mode="timing")
    x, y = (simulation.torch.empty(4096, dtype=float16) for _ in "xy")
    for _ in range(2):  # the second time the TLB holds its pages
        simulation.begin_window()
        chain_kernel[(1,)](x, y, BLOCK=2048)
        simulation.torch.synchronize()
    return simulation.report().kernel_time_ps


FACTORS = ((0.25, 0.5), (0.25, 1), (0.5, 1), (0.5, 2), (1, 2))
"""Powers of two, so that all durations are whole; otherwise each hand-over may round up by a picosecond."""


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(RATES)), st.sampled_from(FACTORS))
def test_a_higher_rate_is_never_slower(which, factors):
    slow, fast = (
        tuple(f"{leaf}={whole_or_decimal(rate * factor)}" for leaf, rate in RATES[which].items())
        for factor in factors
    )
    assert chain_ps(fast) <= chain_ps(slow)
    fast_tile, slow_tile = (one_tile(128, 32, n=64, overrides=rates) for rates in (fast, slow))
    assert fast_tile.kernel_time_ps <= slow_tile.kernel_time_ps


def whole_or_decimal(value):
    """``value`` as YAML takes it: whole numbers without a point."""
    return int(value) if value == int(value) else value


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([16, 32, 64]))
def test_a_larger_k_is_never_faster(fewer, more, block_k):
    fewer, more = sorted((fewer, more))
    short, long = (one_tile(n * block_k, block_k, n=32).kernel_time_ps for n in (fewer, more))
    assert short <= long
    assert short < long or fewer == more


def test_a_wire_faster_than_both_its_neighbours_costs_a_chunk_more_at_most():
    """A chunk waits for the slow wire's tail, crosses in one go, and is serialised anew on the next slow wire.

    So a load and a store each lose what a chunk of 1024 B and its header gains on the fast wire: 1056 B at 64 and
    at 112 B/ns, rounded up where it enters and where it leaves.
    """
    usual, fast_in_between = chain_ps(()), chain_ps(("cube.noc.link_bw=112",))
    gained_ps = 1056 * 1000 * (Fraction(1, 64) - Fraction(1, 112))
    assert usual < fast_in_between <= usual + 2 * (ceil(gained_ps) + 1)
