"""Five calculations by hand, from the numbers of the presets, that the simulator must equal to the picosecond.

Conventions: a chunk leaves the NIU over a 64 B/ns link (15.625 ps a byte) with 3 ns of latency, passes a router in
2 ns, goes from router to router in 1 ns more, and crosses to a memory without further latency; where a link is not
slower than the one before, it adds latency only (cut-through).
"""

from itertools import pairwise

import pytest

from kernbench.bench.probe import run_probe
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation
from kernbench.theory.idle_path import Arrival, IdleRoute, stages
from kernbench.topology.routes import Routes

DMA_SETUP, TRANSLATION = 16_000, 1_000
NIU, ROUTER, LINK = 3_000, 2_000, 1_000
HEADER = 500  # 32 B at 64 B/ns
TCM = 6_000  # the write port is faster than the link: latency only


def probed(topology, case, size):
    (row,) = run_probe([case], [size], topology=topology)
    return row.simulated_ps


def test_a_local_load_of_32_bytes():
    request = NIU + ROUTER + HEADER
    # tiny: 50 ns latency; 32 B at 51.2 B/ns = 0.625 ns, less than the 1 ns of 64 B (header and data) on the way back
    answer = 50_000 + 1_000 + ROUTER + NIU
    assert probed("tiny", "pe-to-local", 32) == DMA_SETUP + TRANSLATION + request + answer + TCM == 84_500
    # default: 53.125 ns; 32 B at 47.104 B/ns = 0.679 ns, still less than 1 ns
    answer = 53_125 + 1_000 + ROUTER + NIU
    assert probed("default", "pe-to-local", 32) == DMA_SETUP + TRANSLATION + request + answer + TCM == 87_625


def test_a_local_load_of_4_kib_is_held_by_the_channel():
    request = NIU + ROUTER + HEADER
    # the channel serves 4096 B at 51.2 B/ns = 80 ns; each chunk follows it at once, so its last byte passes the link as
    # soon as it is read
    answer = 80_000 + 50_000 + ROUTER + NIU
    assert probed("tiny", "pe-to-local", 4096) == DMA_SETUP + TRANSLATION + request + answer + TCM == 163_500
    # 4096 B at 47.104 B/ns = 86.956 ns, ends at the next picosecond, 86.957; the last chunk's 16 ns on the link end
    # with it, at a whole picosecond
    answer = 86_957 + 53_125 + ROUTER + NIU
    assert (
        probed("default", "pe-to-local", 4096) == DMA_SETUP + TRANSLATION + request + answer + TCM == 173_582
    )


def test_a_load_from_the_far_corner_of_the_own_cube_adds_six_hops_each_way():
    """On a 4 x 4 mesh: 3 in x and 3 in y, each a link and a router, for the request and for the data."""
    far = probed("default", "pe-to-same-cube", 32)
    assert far - probed("default", "pe-to-local", 32) == 2 * 6 * (LINK + ROUTER)


@jit
def dot_kernel(a_ptr, b_ptr, K: tl.constexpr):
    """One 32 x 32 x K product of local data."""
    a = tl.load(a_ptr, shape=(32, K))
    b = tl.load(b_ptr, shape=(K, 32))
    tl.dot(a, b)


def records(simulation, op):
    return [r for r in simulation.machine.log if r.op == op]


def test_a_gemm_tile_of_32_by_32_by_k_takes_fill_plus_k_cycles():
    """macs = 32 * 32 * K at 1024 a cycle = K cycles; 32 cycles of fill, once: the array does not run dry."""
    simulation = Simulation.of("default")
    torch = simulation.torch
    a = torch.zeros(32, 256, dtype="fp16")
    b = torch.zeros(256, 32, dtype="fp16")
    torch.launch(dot_kernel, (1,), (a, b), {"K": 256}, place=[0])
    torch.synchronize()
    gemms = records(simulation, OpCode.GEMM)
    assert gemms[-1].end_ps - gemms[0].start_ps == (32 + 256) * 1_000
    assert sum(r.work for r in gemms) == 32 * 32 * 256


def test_the_operands_of_that_tile_stream_from_tcm_at_the_ports_rate():
    """(32 + 32) * 256 * 2 B = 32 KiB at 128 B/ns = 256 ns: with 256 cycles of work, fetch and array are in balance."""
    simulation = Simulation.of("default")
    torch = simulation.torch
    a, b = torch.zeros(32, 256, dtype="fp16"), torch.zeros(256, 32, dtype="fp16")
    torch.launch(dot_kernel, (1,), (a, b), {"K": 256}, place=[0])
    torch.synchronize()
    fetches = records(simulation, OpCode.FETCH)
    moved = sum(r.size_bytes for r in fetches)
    assert moved == 32 << 10
    setup_and_latency = 2_000 + 6_000 + 1_000  # FETCH_STORE's set-up, TCM, register file
    assert (
        sum(r.end_ps - r.start_ps for r in fetches) == moved * 1000 // 128 + len(fetches) * setup_and_latency
    )


@jit
def empty_kernel():
    """Does nothing."""


@pytest.mark.parametrize("topology", ["tiny", "default"])
def test_an_empty_kernel_takes_the_way_down_and_up(topology):
    """Host, IO_CPU, M_CPU, PE_CPU and back: 32 B of header and 16 B of payload down, 32 B up; each route idle."""
    simulation = Simulation.of(topology)
    torch, graph = simulation.torch, simulation.graph
    torch.launch(empty_kernel, (1,), (), place=[0])
    torch.synchronize()
    (span,) = simulation.machine.spans
    routes = Routes(graph)
    stops = [graph.node(name).index for name in ("host", "sip0.io_cpu", "sip0.cube0.m_cpu")] + [
        graph.niu_of(0)
    ]
    down = [(stages(graph, routes.route(a, b)), 48) for a, b in pairwise(stops)]
    up = [(stages(graph, routes.route(a, b)), 32) for a, b in pairwise(reversed(stops))]
    travel = sum(IdleRoute(route).cross(size, Arrival(0, 0)).tail_ps for route, size in (*down, *up))
    assert span.done_ps - span.sent_ps == travel + 2 * (200_000 + 50_000) + 20_000
