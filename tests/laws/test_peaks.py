"""What ``check`` and ``show --peaks`` say can be reached is reached, and never exceeded, on any machine.

Measured between two sizes, so that what a transfer takes to begin and to end does not count. Rates count headers: 32 B
of each packet of 4 KiB, and as much of a request on the same wire; payload alone may stay that much below.
"""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.analysis.breakdown import column
from kernbench.bench.probe import run_probe
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import int8
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation
from kernbench.theory.peaks import peaks
from kernbench.units import KIB

LEAST = Fraction(4096, 4096 + 2 * 32) * Fraction(998, 1000)
AMPLE = (
    *("pe.dma.max_inflight=1 MiB", "host.max_inflight=4 MiB", "cube.hbm.queue=256", "cube.sram.queue=256"),
    *("pe.tcm.size=1 MiB", "cube.hbm.capacity=768 MiB", "cube.noc.buffer_per_vc=64 KiB", "pe.mmu.page=1 MiB"),
    *("sip.ucie.buffer_per_vc=64 KiB", "sip.io_die.noc.buffer_per_vc=64 KiB"),
)


@jit
def load_parts(ptr, first, STRIDE: tl.constexpr, BYTES: tl.constexpr):
    """Each program loads the beginning of a part: the first one part ``first``, and so on."""
    tl.load(ptr + (first + tl.program_id(0)) * STRIDE, shape=(BYTES,))


def loading_ps(simulation, tensor, first, place, size, stride):
    """How long the PEs of ``place`` take, at once, to load ``size`` bytes each."""
    simulation.torch.synchronize()
    simulation.begin_window()
    meta = {"STRIDE": stride, "BYTES": size}
    simulation.torch.launch(load_parts, (len(place),), (tensor, first), meta, place=place)
    simulation.torch.synchronize()
    table = simulation.machine.log.table()
    loads = column(table, "op") == OpCode.DMA_READ
    return int(column(table, "end_ps")[loads].max() - column(table, "start_ps")[loads].min())


def loaded_rates(simulation, *, space="hbm", first=0, place=None, sizes=(32 * KIB, 96 * KIB)):
    """Bytes per ns that the PEs of ``place`` (all) load at once: between two sizes, and the more of either alone."""
    few, many = sizes
    place = place or list(range(simulation.graph.n_pes))
    policy = DPPolicy(sip="row_wise", space=space)
    tensor = simulation.torch.empty(simulation.graph.n_pes * many, dtype=int8, policy=policy)
    loading_ps(simulation, tensor, first, place, many, many)  # the TLBs hold its pages from now on
    short_ps, long_ps = (loading_ps(simulation, tensor, first, place, size, many) for size in sizes)
    n_bytes = 1000 * len(place)
    steady = Fraction(n_bytes * (many - few), long_ps - short_ps)
    return steady, max(Fraction(n_bytes * few, short_ps), Fraction(n_bytes * many, long_ps))


def simulation_of(*overrides, preset="tiny"):
    return Simulation.of(preset, overrides=(*AMPLE, *overrides), mode="timing")


def cube(width, height, channels, attach="per_router"):
    return (
        f"cube.pes={{count: {width * height}, grid: [{width}, {height}]}}",
        f"cube.hbm={{channels: {channels}, pseudo_channels: 4, attach: {attach}}}",
    )


CUBES = st.sampled_from(
    [
        *((1, 1, 1), (2, 1, 2), (3, 1, 3), (2, 2, 4), (2, 2, 8), (3, 2, 6)),
        *((2, 1, 2, "per_2_routers"), (4, 2, 8, "per_2_routers"), (4, 1, 2, "per_2_routers")),
        *((2, 1, 1), (2, 2, 2), (3, 2, 2), (4, 1, 1)),  # several PEs share a channel
    ]
)
RATES = st.sampled_from([8, Fraction("13.7"), 32, Fraction("51.2"), 64, 100])


@settings(max_examples=15, deadline=None)
@given(CUBES, RATES, RATES, RATES, RATES)
def test_loads_of_own_slices_reach_the_rate_of_a_cubes_hbm_and_no_more(shape, channel, link, port, tcm):
    n_pes, n_channels = shape[0] * shape[1], shape[2]
    if n_channels < n_pes:  # a packet for a slow port holds up those behind it, which are for other PEs
        port = tcm = 100
    rates = {
        "cube.hbm.pc_bw": channel / 4,
        "cube.noc.link_bw": link,
        "pe.dma.bw": port,
        "pe.tcm.write_bw": tcm,
    }
    simulation = simulation_of(*cube(*shape), *(f"{key}={float(rate):g}" for key, rate in rates.items()))
    reachable = peaks(simulation.config.topology).cube_hbm.reachable.fraction
    steady, most = loaded_rates(simulation)
    assert reachable * LEAST <= steady
    assert most <= reachable
    own = min(channel, link) * min(n_channels, n_pes)
    assert reachable == min(own, min(port, link, tcm) * n_pes)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([1, 2, 4]), RATES, RATES)
def test_loads_from_a_cubes_sram_reach_its_rate_and_no_more(banks, bank, link):
    at = [[0, 0], [1, 1], [1, 0], [0, 1]][:banks]
    simulation = simulation_of(
        f"cube.sram={{size: 4 MiB, banks: {banks}, bank_bw: {float(bank):g}, at: {at}}}",
        f"cube.noc.link_bw={float(link):g}",
        "pe.dma.bw=100",
    )
    reachable = peaks(simulation.config.topology).cube_sram.reachable.fraction
    steady, most = loaded_rates(simulation, space="sram")
    assert reachable == min(bank, link) * banks
    assert most <= reachable
    assert reachable * LEAST <= steady


TWO_CUBES = (
    "sip.cubes={count: 2, grid: [2, 1]}",
    "sip.io_die.ucie_ports.attach=[[0, 0], [1, 0]]",
    'cube.ucie_ports={"N": edge, "S": none, "E": edge, "W": edge}',
    "cube.hbm.pc_bw=100",
)


@pytest.mark.parametrize(
    ("ucie", "link", "reachable"), [(40, 64, 40), (100, 64, 100), (200, 64, 128), (200, 25, 50)]
)
def test_loads_from_the_next_cube_reach_the_rate_of_the_port_between_them(ucie, link, reachable):
    simulation = simulation_of(
        *TWO_CUBES, f"sip.ucie={{bw: {ucie}, eff: 1}}", f"cube.noc.link_bw={link}", "pe.dma.bw=100"
    )
    assert peaks(simulation.config.topology).ucie_port.reachable.fraction == reachable
    steady, most = loaded_rates(simulation, first=4, place=[0, 1, 2, 3])
    assert most <= reachable
    assert reachable * LEAST <= steady


@pytest.mark.parametrize(("sip_link", "io", "reachable"), [(40, 128, 40), (100, 60, 60)])
def test_loads_from_another_sip_reach_the_rate_of_the_link_between_them(sip_link, io, reachable):
    simulation = simulation_of(
        "system.sips={count: 2, grid: [2, 1]}",
        f"system.sip_link={{bw: {sip_link}, payload_eff: 1}}",
        f"sip.io_die.noc.link_bw={io}",
    )
    assert peaks(simulation.config.topology).sip_link.reachable.fraction == reachable
    steady, most = loaded_rates(simulation, first=4, place=[0, 1, 2, 3], sizes=(64 * KIB, 256 * KIB))
    assert most <= reachable
    assert reachable * LEAST <= steady


@pytest.mark.parametrize(
    ("rates", "reachable"),
    [
        (("sip.io_die.pcie_ep.bw=40",), 40),
        (("sip.io_die.pcie_ep.bw=100", "sip.io_die.noc.link_bw=50"), 50),
        (("host.dram_bw=30",), 30),
    ],
)
def test_copies_reach_the_rate_of_the_host_link(rates, reachable):
    overrides = (*AMPLE, "sip.io_die.pcie_ep.payload_eff=1", *rates)
    limits = peaks(simulation_of("sip.io_die.pcie_ep.payload_eff=1", *rates).config.topology)
    assert limits.host.reachable.fraction == reachable
    for case in ("host-to-device", "device-to-host"):
        short, long = run_probe((case,), (64 * KIB, 256 * KIB), topology="tiny", overrides=overrides)
        steady = Fraction((long.size_bytes - short.size_bytes) * 1000, long.simulated_ps - short.simulated_ps)
        assert Fraction(long.size_bytes * 1000, long.simulated_ps) <= reachable
        assert reachable * LEAST <= steady
