"""No collective exceeds the line of its busiest link, NIU or memory; a sliced ring comes close to it.

Floors are recomputed here from the YAML's numbers and from what each rank must read, write and send, not by
``ccl.lines``.
"""

from fractions import Fraction

import pytest

from kernbench.bench.collectives.bench import CclBench
from kernbench.bench.collectives.case import Case
from kernbench.bench.collectives.measurement import measure
from kernbench.bench.collectives.request import Request
from kernbench.bench.collectives.setup import Setup
from kernbench.bench.collectives.theory import Theory
from kernbench.bench.collectives.volume import bus_factor
from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
from kernbench.config.load import load_config
from kernbench.theory.ceilings import Line, lines_of
from kernbench.topology.builder import build_graph
from kernbench.units import Rate
from tests.ccl.collective_kit import serves

load_algorithms()
NAMES = [name for name in ALGORITHMS if ALGORITHMS[name].collective != "barrier"]
ONE_CUBE = (
    "system.sips={count: 1, grid: [1, 1]}",
    "sip.cubes={count: 1, grid: [1, 1]}",
    "sip.io_die.ucie_ports.attach=[[0, 0]]",
)
"""``default`` with 16 PEs: a quarter of the tensors' pages to map, and the same times."""

KIB, MIB = 1 << 10, 1 << 20


def bench_of(name, topology="default", overrides=ONE_CUBE, **how):
    request = Request(collective=ALGORITHMS[name].collective, algorithm=name, mode="timing", **how)
    return CclBench(load_config(topology, overrides), request)


def by_level(half):
    return {line.level: line for line in half.lines}


# -- by hand ----------------------------------------------------------------------------------------------------------


def edge_of(graph, src, dst):
    return graph.edge(graph.node(src).index, graph.node(dst).index).index


def test_each_level_has_the_line_of_its_busiest_way():
    """64 GB/s a link; of ``tiny``, a channel is 2 x 25.6 GB/s and a bank 64."""
    graph = build_graph(load_config("tiny").topology)
    cube = "sip0.cube0"
    links = {
        edge_of(graph, f"{cube}.r0_0", f"{cube}.r1_0"): 300,
        edge_of(graph, f"{cube}.r1_0", f"{cube}.r1_1"): 400,
        edge_of(graph, f"{cube}.r1_0", f"{cube}.pe1.niu"): 500,
    }
    memories = {graph.node(f"{cube}.{name}").index: moved for name, moved in (("hbm0", 600), ("sram0", 100))}
    lines = lines_of(graph, links, memories, Fraction(200))
    assert lines == (
        Line("link", Rate.of(64), Fraction(2)),
        Line("niu", Rate.of(64), Fraction(5, 2)),
        Line("hbm", Rate.of("51.2"), Fraction(3)),
        Line("sram", Rate.of(64), Fraction(1, 2)),
    )
    assert [line.busbw for line in lines] == [32, Fraction("25.6"), Fraction("51.2") / 3, 128]


def test_where_nothing_moves_there_is_no_line():
    graph = build_graph(load_config("tiny").topology)
    assert lines_of(graph, {}, {}, Fraction(8)) == lines_of(graph, {0: 5}, {}, Fraction(0)) == ()


def test_other_models_of_hbm_have_a_line_at_their_peak():
    topology = load_config("default").topology
    spec = topology.cube.hbm.model_copy(update={"model": "banks"})
    graph = build_graph(topology.model_copy(update={"cube": topology.cube.model_copy(update={"hbm": spec})}))
    channel = graph.node("sip0.cube0.hbm0").index
    assert lines_of(graph, {}, {channel: 1}, Fraction(1)) == (Line("hbm", Rate.of("51.2"), Fraction(1)),)


def test_a_ring_reads_and_writes_its_vector_and_nothing_else():
    """In and out, n bytes each, of HBM at 2 x 25.6 x 0.92 GB/s; a message of 4 KiB has a header of 32 B."""
    row = bench_of("ring_allreduce", n_ranks=4).row(64 * KIB)
    factor = bus_factor("all_reduce", 4)
    for half in row.halves:
        found = by_level(half)
        assert found["hbm"] == Line("hbm", Rate.of("47.104"), 2 / factor)
        payload, headers = 1 + Fraction(32, 4096), Fraction(1, 100)
        assert payload <= found["link"].bytes_per_bus_byte < payload + headers  # launch, requests, answers
        assert payload + 1 / factor <= found["niu"].bytes_per_bus_byte < payload * (1 + 1 / factor) + headers


# -- every algorithm --------------------------------------------------------------------------------------------------

MACHINES = {
    "tiny, tcm": (16 * KIB, {"topology": "tiny", "overrides": (), "buffer": "tcm"}),
    "tiny, hbm": (4 * KIB, {"topology": "tiny", "overrides": (), "buffer": "hbm"}),
    "tiny, sram": (4 * KIB, {"topology": "tiny", "overrides": (), "buffer": "sram"}),
    "a cube": (16 * KIB, {"n_ranks": 16}),
}


def memory_bytes(collective, p, size_bytes):
    """The least that the busiest rank reads and writes: what it gives and gets; its own block in place is left out."""
    shard = size_bytes // p
    return {
        "all_reduce": 2 * size_bytes,
        "reduce_scatter": size_bytes + shard,
        "all_gather": size_bytes,
        "all_to_all": 2 * (size_bytes - shard),
        "broadcast": size_bytes,
        "reduce": size_bytes,
        "send_recv": size_bytes,
    }[collective]


@pytest.mark.parametrize("where", MACHINES)
@pytest.mark.parametrize("name", NAMES)
def test_no_algorithm_exceeds_a_line(name, where):
    size_bytes, how = MACHINES[where]
    p, collective = how.get("n_ranks", 4), ALGORITHMS[name].collective
    if not serves(name, p):
        pytest.skip("cannot serve them")
    row = bench_of(name, n_warmup=0, **how).row(size_bytes)
    channel = Fraction("51.2") if "tiny" in where else Fraction("47.104")
    for half in row.halves:
        busbw = row.size_bytes * 1000 * bus_factor(collective, p) / half.time_ps
        assert half.busbw == float(busbw)
        assert set(by_level(half)) == {"link", "niu", "hbm"} | ({"sram"} if "sram" in where else set())
        assert all(busbw <= line.busbw for line in half.lines)
        assert half.bottleneck.busbw == min(line.busbw for line in half.lines)
        assert half.time_ps >= memory_bytes(collective, p, row.size_bytes) * 1000 / channel
        assert half.time_ps >= row.max_link_bytes * 1000 / Fraction(64)


@pytest.mark.parametrize(("n_ranks", "size_bytes"), [(4, MIB), (8, 2 * MIB)])
def test_a_ring_sliced_by_slot_reaches_nine_tenths_of_what_its_links_and_its_hbm_allow(n_ranks, size_bytes):
    """HBM moves 2 n, the busiest link 2 n (p-1)/p: 47.104 GB/s over p/(p-1) bytes a link byte.

    16 PEs reach it at 16 MiB, which takes a minute: ``perf/collectives.py``.
    """
    bench = bench_of("ring_sliced_allreduce", n_ranks=n_ranks, n_warmup=0)
    case = Case(bench.request, bench.ranks, "ring_sliced_allreduce", size_bytes)
    half = measure(Setup(case, has_values=False), Theory(case), is_in_place=False)
    hbm = Fraction("47.104") * (n_ranks - 1) / n_ranks
    link = Fraction(64) * 4096 / (4096 + 32)
    assert Fraction("0.999") * hbm < by_level(half)["hbm"].busbw <= hbm  # page walks and the launch are in it
    assert Fraction("0.999") * link < by_level(half)["link"].busbw <= link
    assert half.busbw >= Fraction(9, 10) * min(link, hbm)
