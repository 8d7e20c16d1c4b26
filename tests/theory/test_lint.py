"""Lint tells what is allowed but probably not meant, with numbers and a cure; peaks are the bounds of a machine."""

from functools import lru_cache

import pytest

from kernbench.config.load import load_config
from kernbench.theory.lint import lint
from kernbench.theory.peaks import peaks
from kernbench.units import Rate

IO_NOC = "carries 248.32 GB/s but the IO NoC feeds only 128 GB/s; raise sip.io_die.noc.link_bw or lower sip.ucie.bw"


@pytest.fixture(scope="module")
def told(graph_of):
    """All that is told of a preset with overrides."""

    @lru_cache
    def of(preset="default", *overrides):
        graph = graph_of(preset, *overrides)
        return lint(graph, peaks(graph.spec))

    return of


@pytest.fixture
def warnings(told):
    """What is told beside what the preset itself is told."""
    return lambda *overrides, preset="default": [
        text for text in told(preset, *overrides) if text not in told(preset)
    ]


def test_default_is_told_that_its_io_noc_is_slower_than_its_ports(told):
    assert told("default") == (f"sip0.io_ucie0 and 3 more: {IO_NOC}",)


def test_tiny_has_only_two_routers_behind_its_port(told):
    assert told("tiny") == (
        f"sip0.io_ucie0: {IO_NOC}",
        "sip0.cube0.ucie_n: carries 248.32 GB/s but the 2 edge routers feed only 128 GB/s; raise cube.noc.link_bw or "
        "lower sip.ucie.bw",
    )


def test_a_fast_io_noc_is_told_nothing(told):
    assert told("default", "sip.io_die.noc.link_bw=249") == ()


def test_a_port_faster_than_its_routers(warnings):
    # 300 x 0.97 = 291 GB/s against 4 x 64
    assert warnings("sip.ucie.bw=300", "sip.io_die.noc.link_bw=300", "sip.ucie.buffer_per_vc=64 KiB") == [
        "sip0.cube0.ucie_n and 19 more: carries 291 GB/s but the 4 edge routers feed only 256 GB/s; raise "
        "cube.noc.link_bw or lower sip.ucie.bw"
    ]


# -- buffers, windows and queues ------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "n_told"), [(2079, 3), (2080, 0)])
def test_buffers_of_links_in_a_cube(warnings, size, n_told):
    # a chunk of 1056 B is under way, and the next of 1024: of mesh links, links to memories and ports, and to PEs
    assert len(warnings(f"cube.noc.buffer_per_vc={size}", preset="tiny")) == n_told


def test_the_warnings_about_buffers_name_the_link_that_needs_most(warnings):
    # 2 x (2 + 1), 2 x 2 and 2 x (2 + 3) ns at 64 B/ns
    said = (
        "{} of 64 GB/s needs 2080 B to run full: rate x round trip, {} B, in whole chunks, and the next chunk; "
        "cube.noc.buffer_per_vc is 2 KiB: write 2080 or more"
    ).format
    assert warnings("cube.noc.buffer_per_vc=2 KiB", preset="tiny") == [
        f"sip0.cube0.r0_0->sip0.cube0.r1_0 and 7 more: {said('a mesh link', 384)}",
        f"sip0.cube0.r0_0->sip0.cube0.ucie_n and 7 more: {said('the link of a router to a memory or port', 256)}",
        f"sip0.cube0.r0_0->sip0.cube0.pe0.niu and 7 more: {said('the link of a PE to its router', 640)}",
    ]


def test_virtual_channels_multiply_a_buffer(warnings):
    # 64 B/ns x 2 x 22 ns = 2816 B: three chunks, and the next: 4128 B in two
    changes = ("cube.noc.vcs={req: 2, resp: 2, comm: 2}", "cube.noc.link_ns=20")
    assert warnings(*changes, "cube.noc.buffer_per_vc=2064", preset="tiny") == []
    (told,) = warnings(*changes, "cube.noc.buffer_per_vc=2063", preset="tiny")
    assert told.endswith("cube.noc.buffer_per_vc is 2.015 KiB: write 2064 or more")


@pytest.mark.parametrize(("size", "n_told"), [(7231, 1), (7232, 0)])
def test_die_to_die_buffers_under_rate_times_round_trip(warnings, size, n_told):
    # 248.32 B/ns x 2 x 11 ns = 5463.04 B: six chunks, and the next: two of 1056 B, five of 1024
    assert len(warnings(f"sip.ucie.buffer_per_vc={size}", preset="tiny")) == n_told


@pytest.mark.parametrize(
    ("key", "enough"),
    [
        ("sip.io_die.noc.buffer_per_vc", 2080),  # 128 x 2 x 3 ns = 768 B
        ("sip.io_die.pcie_ep.buffer_per_vc", 36128),  # 57.33 x 2 x 300 ns = 34398 B
        ("system.sip_link.buffer_per_vc", 36128),
        ("pe.dma.max_inflight", 8192),
        ("host.max_inflight", 45056),
        ("cube.hbm.queue", 2),
    ],
)
def test_every_other_buffer_window_and_queue_that_is_too_small(warnings, key, enough):
    preset = "default" if key.startswith("system") else "tiny"  # which has one SIP
    assert warnings(f"{key}={enough}", preset=preset) == []
    (told,) = warnings(f"{key}={enough - 1}", preset=preset)
    assert told.endswith(f"write {enough} or more")


def test_the_warning_about_a_window(warnings):
    assert warnings("pe.dma.max_inflight=4 KiB", preset="tiny") == [
        "pe.dma.max_inflight: 4 KiB hold less than rate x round trip of a PE's stores to its own slice, 8192 B; write "
        "8192 or more"
    ]


def test_one_overridden_controller_is_told_by_name(warnings):
    assert warnings("overrides.sip1.cube2.hbm3.queue=1") == [
        "sip1.cube2.hbm3: cube.hbm.queue is 1; below 2 a stream of loads of 4 KiB waits for entries; write 2 or more"
    ]


# -- what can be reached --------------------------------------------------------------------------------------


def test_channels_faster_than_their_router_links(warnings):
    # 8 x 102.4 behind 8 x 64; the windows that 64 GB/s take are another matter
    eight = ("cube.pes={count: 8, grid: [4, 2]}", "cube.sram={banks: 1, at: [[0, 0]]}", "cube.hbm.channels=8")
    assert warnings(*eight, "cube.hbm.pc_bw=51.2", "pe.dma.max_inflight=16 KiB")[1:] == [
        "sip0.cube0.hbm0 and 63 more: channel 102.4 GB/s, of which the model sustains 94.208 GB/s, its router link "
        "64 GB/s: raise cube.noc.link_bw, or lower cube.hbm.pc_bw"
    ]


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ("cube.sram.bank_bw=80",),
            "sip0.cube0.sram0 and 31 more: bank 80 GB/s, its router link 64 GB/s: raise cube.noc.link_bw, or lower "
            "cube.sram.bank_bw",
        ),
        (
            ("overrides={sip0.cube1.hbm3->sip0.cube1.r3_0: {bw: 20}}",),
            "sip0.cube1.hbm3: channel 51.2 GB/s, of which the model sustains 47.104 GB/s, its router link 20 GB/s: "
            "raise overrides.sip0.cube1.hbm3->sip0.cube1.r3_0.bw, or lower cube.hbm.pc_bw",
        ),
        (
            ("pe.dma.bw=32",),
            "HBM of a cube: gives 753.664 GB/s, of which 512 GB/s can be reached; raise pe.dma.bw",
        ),
        (
            ("pe.tcm.write_bw=50", "cube.hbm.pc_bw=32"),
            "HBM of a cube: gives 942.08 GB/s, of which 800 GB/s can be reached; raise pe.tcm.write_bw",
        ),
        (
            ("pe.tcm.read_bw=256",),
            "TCM of a PE, reading: gives 256 GB/s, of which 128 GB/s can be reached; raise pe.fetch_store.bw",
        ),
        (
            ("pe.dma.bw=70",),
            "network port of a PE: gives 70 GB/s, of which 64 GB/s can be reached; raise cube.noc.link_bw",
        ),
        (
            ("host.dram_bw=40",),
            "host link of a SIP: gives 57.33 GB/s, of which 40 GB/s can be reached; raise host.dram_bw",
        ),
        (
            ("system.sip_link.bw=200", "system.sip_link.buffer_per_vc=1 MiB"),
            "link to other SIPs: gives 182 GB/s, of which 128 GB/s can be reached; raise sip.io_die.noc.link_bw",
        ),
    ],
)
def test_a_level_that_something_else_holds_back(warnings, overrides, text):
    is_of_default = "hbm" in text.lower() or " and " in text or overrides[0].startswith("system")
    assert text in warnings(*overrides, preset="default" if is_of_default else "tiny")


def test_channels_no_pe_has_a_slice_of(warnings):
    assert warnings("cube.hbm.channels=32") == [
        "cube.hbm.channels: 32 channels for 16 PEs: what no PE has a slice of holds no tensors; write 16"
    ]


def test_hbm_that_does_not_divide_into_slices_of_whole_bursts(warnings):
    # 16 slices of 62,500,000 B; of 6 slices each of 5,555,552 B, 173,611 bursts
    assert warnings("cube.hbm.capacity=1000000001") == [
        "cube.hbm.capacity: 1000000001 B do not divide among 16 slices: 1 B of each cube stay idle; write 1000000000"
    ]
    six = ("cube.pes={count: 6, grid: [3, 2]}", "cube.hbm.channels=6", "cube.hbm.capacity=33333333")
    assert (
        "cube.hbm.capacity: 33333333 B do not divide among 6 slices: 21 B of each cube stay idle; write 33333312"
        in warnings(*six, preset="tiny")
    )


def test_the_peaks_of_default():
    bounds = peaks(load_config().topology)
    assert (bounds.n_pes, bounds.n_cubes) == (128, 8)
    assert bounds.pe_flops_per_ns == 2048  # 1024 MAC x 2 x 1 GHz
    assert bounds.cube_flops_per_ns == 32_768  # 32.8 TFLOP/s
    assert bounds.system_flops_per_ns == 262_144
    assert bounds.cube_hbm.rate == Rate.of("819.2")
    assert bounds.cube_hbm.reachable == Rate.of("753.664")  # x 0.92
    assert bounds.ridge == 32_768 / Rate.of("753.664").fraction
    assert bounds.bisection.rate == Rate.of(256)  # 4 x 64
    assert bounds.ucie_port.rate == bounds.ucie_port.reachable == Rate.of("248.32")
    assert bounds.host.rate == bounds.host.reachable == Rate.of("57.33")
    assert bounds.niu.rate == Rate.of(64)
    assert bounds.cube_sram.rate == Rate.of(256)


def test_a_port_of_tiny_is_fed_by_two_routers():
    bounds = peaks(load_config("tiny").topology)
    assert (bounds.ucie_port.rate, bounds.ucie_port.reachable) == (Rate.of("248.32"), Rate.of(128))
    assert bounds.sip_link is None


def test_the_ridge_of_big():
    assert peaks(load_config("big").topology).ridge == 64 * 2048 / Rate.of("1679.36").fraction  # 2048 x 0.82
