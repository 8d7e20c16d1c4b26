"""Theory of a machine's ranks goes by the routes between them: their latency, and their slowest link."""

from fractions import Fraction

import pytest

from kernbench.bench.collectives.bench import CclBench
from kernbench.bench.collectives.case import Case
from kernbench.bench.collectives.request import Request
from kernbench.bench.collectives.theory import Theory
from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
from kernbench.config.load import load_config
from kernbench.theory.bounds import machine_network

load_algorithms()
KIB = 1 << 10
ONE_PE_A_SIP = (
    "cube.pes={count: 1, grid: [1, 1]}",
    "cube.hbm.channels=1",
    "cube.sram={banks: 1, at: [[0, 0]]}",
    "sip.cubes={count: 1, grid: [1, 1]}",
    "sip.io_die.ucie_ports.attach=[[0, 0]]",
    "system.sip_link={bw: 8, payload_eff: 1}",
)
WAY_NS = 3 + 2 + 11 + 3 + 600 + 3 + 11 + (2 + 3)  # NIU, router, UCIe, IO NoC, SIP link, and the same again


def bench_of(name, overrides=ONE_PE_A_SIP, n_ranks=2, **how):
    request = Request(
        collective=ALGORITHMS[name].collective,
        algorithm=name,
        n_ranks=n_ranks,
        mode="timing",
        n_warmup=0,
        **how,
    )
    return CclBench(load_config("default", overrides), request)


def theory_of(bench, size_bytes):
    return Theory(Case(bench.request, bench.ranks, bench.able[0], size_bytes))


def test_ranks_on_two_sips_send_at_the_rate_of_the_link_between_them():
    row = bench_of("ring_allreduce").row(4 * KIB)
    # twice a part of 2 KiB at 8 GB/s, added once at 256 B a clock
    assert row.oracle.time == (2 * (WAY_NS + 256) + 8) * 1000
    assert row.bound_ps == WAY_NS * 1000  # longer than 4 KiB at 8 GB/s
    assert row.oracle.time < row.out_of_place.time_ps


@pytest.mark.parametrize("name", ["chain_broadcast", "binomial_reduce", "hello_send"])
def test_of_long_vectors_the_bound_is_nearly_reached(name):
    row = bench_of(name).row(128 * KIB)
    assert row.bound_ps == 128 * KIB * 1000 // 8
    assert 0.85 < row.bound_share < 1


@pytest.mark.parametrize(("pe_bw", "beta"), [(64, 64), (16, 16)])
def test_a_port_slower_than_the_mesh_is_the_slowest_link(pe_bw, beta):
    bench = bench_of("ring_allreduce", (f"pe.dma.bw={pe_bw}",), n_ranks=16)
    theory = theory_of(bench, 4 * KIB)
    assert (theory.model.beta, theory.model.ways) == (Fraction(1000, beta), {})
    assert theory.oracle.source == "closed form"


def test_where_ways_differ_the_schedule_is_worked_through_with_each_of_them():
    # 16 ranks of a cube: the tree's edges are one to four hops of 3 ns, and 8 ns of NIUs and a router
    theory = theory_of(bench_of("tree_allreduce", (), n_ranks=16), 4 * KIB)
    assert theory.oracle.source == "max-plus"
    assert {way.alpha for way in theory.model.ways.values()} == {11_000, 14_000, 17_000, 20_000}
    assert {way.beta for way in theory.model.ways.values()} == {Fraction(1000, 64)}


def test_the_ideal_machine_has_the_links_of_the_data_sheet_only():
    bench = CclBench(
        load_config("default", ONE_PE_A_SIP),
        Request(collective="all_reduce", algorithm="ring_allreduce", n_ranks=2, is_ideal=True),
    )
    assert theory_of(bench, 4 * KIB).model == bench.ranks.model_of("ring_allreduce")


def test_what_leaves_a_cube_or_a_sip_bounds_a_collective():
    # 128 ranks: of a SIP's 64 at 57.33 GB/s, of a cube's 16 through UCIe ports: three, or two
    bench = bench_of("pairwise_all_to_all", (), n_ranks=128)
    ranks = bench.ranks
    network = machine_network(ranks.group, ranks.pes, ranks.routes, Fraction(1))
    out = {cut.ranks: cut.out * 1000 for cut in network.cuts}
    assert out[frozenset((5,))] == 64
    assert out[frozenset(range(64))] == Fraction("57.33")
    assert out[frozenset(range(16))] == 3 * Fraction("248.32")
    assert out[frozenset(range(32, 48))] == 2 * Fraction("248.32")
    assert len(network.cuts) == 128 + 8 + 2


def test_ranks_that_fill_a_sip_are_cut_between_columns_and_rows_too():
    bench = bench_of("pairwise_all_to_all", (), n_ranks=64)
    ranks = bench.ranks
    network = machine_network(ranks.group, ranks.pes, ranks.routes, Fraction(1))
    halves = [cut.out * 1000 for cut in network.cuts if len(cut.ranks) == 32]
    assert halves == [2 * Fraction("248.32")] * 2  # either way between cubes, not 8 links of 64
    assert sum(len(cut.ranks) == 8 and cut.out * 1000 == 8 * 64 for cut in network.cuts) == 2


@pytest.mark.parametrize(
    "name", ["ring_allreduce", "pairwise_all_to_all", "ring_all_gather", "binomial_reduce"]
)
def test_no_bound_is_beaten_across_sips(name):
    overrides = ("cube.pes={count: 2, grid: [2, 1]}", "cube.hbm.channels=2", *ONE_PE_A_SIP[2:])
    row = bench_of(name, overrides, n_ranks=4).row(16 * KIB)
    assert 0 < row.bound_share <= 1
