"""Lint tells what is allowed but probably not meant, with numbers and a cure; peaks are the bounds of a machine."""

from fractions import Fraction

import pytest

from kernbench.config.load import load_config
from kernbench.topology.lint import lint, peaks
from kernbench.units import Rate

IO_NOC = "carries 248.32 GB/s but the IO NoC feeds only 128 GB/s; raise sip.io_die.noc.link_bw or lower sip.ucie.bw"


def warnings(graph_of, *overrides, preset="default"):
    """What is told beside what the preset itself is told."""
    return [text for text in lint(graph_of(preset, *overrides)) if text not in lint(graph_of(preset))]


def test_default_is_told_that_its_io_noc_is_slower_than_its_ports(graph_of):
    assert lint(graph_of("default")) == (f"sip0.io_ucie0 and 3 more: {IO_NOC}",)


def test_tiny_has_only_two_routers_behind_its_port(graph_of):
    assert lint(graph_of("tiny")) == (
        f"sip0.io_ucie0: {IO_NOC}",
        "sip0.cube0.ucie_n: carries 248.32 GB/s but the 2 edge routers feed only 128 GB/s; raise cube.noc.link_bw or "
        "lower sip.ucie.bw",
    )


def test_a_fast_io_noc_is_told_nothing(graph_of):
    assert lint(graph_of("default", "sip.io_die.noc.link_bw=249")) == ()


def test_a_port_faster_than_its_routers(graph_of):
    # 300 x 0.97 = 291 GB/s against 4 x 64
    assert warnings(
        graph_of, "sip.ucie.bw=300", "sip.io_die.noc.link_bw=300", "sip.ucie.buffer_per_vc=64 KiB"
    ) == [
        "sip0.cube0.ucie_n and 19 more: carries 291 GB/s but the 4 edge routers feed only 256 GB/s; raise "
        "cube.noc.link_bw or lower sip.ucie.bw"
    ]


@pytest.mark.parametrize(("size", "n_told"), [(4223, 1), (4224, 0)])
def test_mesh_buffers_under_four_chunks(graph_of, size, n_told):
    assert len(warnings(graph_of, f"cube.noc.buffer_per_vc={size}")) == n_told


def test_the_warning_about_mesh_buffers(graph_of):
    assert warnings(graph_of, "cube.noc.buffer_per_vc=2 KiB", preset="tiny") == [
        "sip0.cube0.r0_0->sip0.cube0.r1_0 and 31 more: cube.noc.buffer_per_vc is 2 KiB, less than 4 chunks with "
        "header = 4224 B: a single flow cannot fill the link; raise it"
    ]


@pytest.mark.parametrize(("size", "n_told"), [(6519, 1), (6520, 0)])
def test_die_to_die_buffers_under_rate_times_round_trip(graph_of, size, n_told):
    # 248.32 B/ns x 2 x 11 ns = 5463.04 B, rounded up, and a chunk of 1024 + 32
    assert len(warnings(graph_of, f"sip.ucie.buffer_per_vc={size}")) == n_told


@pytest.mark.parametrize(("queue", "n_told"), [(31, 1), (32, 0)])
def test_shallow_hbm_queues(graph_of, queue, n_told):
    told = warnings(graph_of, f"cube.hbm.queue={queue}")
    assert len(told) == n_told
    if told:
        assert told == [
            "sip0.cube0.hbm0 and 127 more: cube.hbm.queue is 31; below 32 a controller cannot keep its banks busy; "
            "raise it"
        ]


def test_channels_no_pe_has_a_slice_of(graph_of):
    assert warnings(graph_of, "cube.hbm.channels=32") == [
        "cube.hbm.channels: 32 channels for 16 PEs: what no PE has a slice of holds no tensors; write 16"
    ]


def test_one_overridden_controller_is_told_by_name(graph_of):
    assert warnings(graph_of, "overrides.sip1.cube2.hbm3.queue=8") == [
        "sip1.cube2.hbm3: cube.hbm.queue is 8; below 32 a controller cannot keep its banks busy; raise it"
    ]


def test_the_peaks_of_default():
    bounds = peaks(load_config().topology)
    assert (bounds.n_pes, bounds.n_cubes) == (128, 8)
    assert bounds.pe_flops_per_ns == 2048  # 1024 MAC x 2 x 1 GHz
    assert bounds.cube_flops_per_ns == 32_768  # 32.8 TFLOP/s
    assert bounds.system_flops_per_ns == 262_144
    assert bounds.cube_hbm_rate == Rate.of("819.2")
    assert bounds.cube_hbm_effective_rate == Rate.of("753.664")  # x 0.92
    assert bounds.ridge == 40  # 32768 / 819.2
    assert bounds.bisection_rate == Rate.of(256)  # 4 x 64
    assert bounds.ucie_port_rate == Rate.of("248.32")
    assert bounds.host_rate == Rate.of("57.33")
    assert bounds.niu_rate == Rate.of(64)
    assert bounds.cube_sram_rate == Rate.of(256)


def test_the_ridge_of_big():
    assert peaks(load_config("big").topology).ridge == Fraction(64 * 2048, 2048)
