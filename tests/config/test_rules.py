"""Keys that contradict each other are refused, with the numbers and the cure."""

import pytest

from kernbench.config.load import load_config
from kernbench.errors import ConfigError


def error_of(*overrides: str, preset: str = "default") -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(preset, overrides)
    return str(caught.value)


@pytest.mark.parametrize("name", ["tiny", "default", "big"])
def test_the_presets_break_no_rule(name):
    load_config(name)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sip.cubes.count=5", "5 do not fill the grid [2, 2]; write count: 4"),
        ("cube.pes.count=8", "8 do not fill the grid [4, 4]; write count: 16"),
        ("cube.noc.chunk=1000", "1000 B is not a multiple of the flit, 32 B"),
        ("cube.noc.packet=512", "1024 B is more than a packet of 512 B"),
        (
            "cube.noc.buffer_per_vc=1055",
            "1055 B cannot hold a chunk with its header; it would wait for ever; write 1056 or more, or a smaller "
            "cube.noc.chunk",
        ),
        (
            "sip.ucie.buffer_per_vc=1 KiB",
            "1024 B cannot hold a chunk with its header; it would wait for ever; write 1056 or more, or a smaller "
            "cube.noc.chunk",
        ),
        ("pe.dma.max_inflight=4095", "4095 B is less than a packet of 4096 B, which could never be sent"),
        ("host.max_inflight=1 KiB", "1024 B is less than a packet of 4096 B, which could never be sent"),
        ("cube.m_cpu.at=[4, 0]", "[4, 0] is outside of the cube's grid of routers, [4, 4]"),
        ("cube.sram.at=[[0, 0]]", "1 places for 4 banks; give one [x, y] per bank"),
        ("cube.sram.size=4097", "4097 B do not divide among 4 banks"),
        (
            "cube.hbm.channels=7",
            "7 channels do not spread evenly over 16 routers (attach: per_router); write 8",
        ),
        ("cube.hbm.channels=4", "4 channels of 2 pseudo-channels are less than one for each of 16 PEs"),
        ("cube.hbm.capacity=1000", "1000 B do not divide among 16 slices"),
        (
            "sip.io_die.ucie_ports.attach=[[0, 0]]",
            "every column of cubes must be attached once, or traffic to the IO die has to turn and full buffers can "
            "close a cycle; write [[0, 0], [1, 0]]",
        ),
        (
            "sip.io_die.ucie_ports.attach=[[0, 0], [1, 1]]",
            "[1, 1] is no cube of the y = 0 row, which has 2",
        ),
        ("pe.gemm.macs_per_cycle.fp61=3", "unknown dtype; did you mean 'fp64'?"),
        ("pe.gemm.macs_per_cycle.half=3", "is the same dtype as 'fp16'; keep one of them"),
        ("pe.math.rate.exq=1", "unknown key; did you mean 'exp'?"),
        (
            "pe.ipcq.slots=65",
            "4 rings of 65 x 4096 B are 1064960 B, more than the TCM's 1048576 B",
        ),
        (
            "pe.ipcq.slot_size=64 KiB",
            "4 rings of 8 x 65536 B are 2097152 B, more than the TCM's 1048576 B",
        ),
        ('pe.ipcq.directions=["N", "S", "N"]', "a direction is named twice"),
        ('pe.ipcq.directions=["N", "S", "E"]', "E is joined to W of the next PE; name both, or none"),
        (
            "pe.ipcq.poll_ns=0",
            "0 is no interval; write how often a sender looks, or let it sleep (ccl.yaml)",
        ),
        ("pe.ipcq.slot_size=0", "must hold at least one byte"),
        ("pe.mmu.page=3000", "3000 B is not a power of two"),
        ("pe.mmu.page=16", "16 B is smaller than a burst of 32 B; write 32 or more"),
        (
            "cube.hbm.capacity=64 KiB",  # 4096 for each of 16 PEs: all of the first one's is the directory
            "a PE's slice of 4096 B has no room beside 4096 B of page directories; write 66048 or more, lower "
            "pe.mmu.walk_reads, or write pe.mmu.miss: preload",
        ),
        (
            "pe.mmu.walk_reads=262145",
            "a PE's slice of 1073741824 B has no room beside 1073741824 B of page directories; write 17179869696 or "
            "more, lower pe.mmu.walk_reads, or write pe.mmu.miss: preload",
        ),
    ],
)
def test_a_broken_rule_is_told_where_it_was_broken(override, message):
    place, _, text = error_of(override).partition(": ")
    assert place == f"--set {override}" or place.startswith("presets/topology.yaml:")
    assert text == message or text.endswith(f": {message}")


def test_a_port_must_be_where_dies_touch():
    assert error_of("cube.ucie_ports.E=none") == (
        "--set cube.ucie_ports.E=none: there is no port E, but cubes have neighbours beside them "
        '(sip.cubes.grid: [2, 2]); write "E": edge'
    )
    assert error_of("cube.ucie_ports.N=none", preset="tiny") == (
        '--set cube.ucie_ports.N=none: there is no port N, but the IO die is joined to it; write "N": edge'
    )


def test_one_chunk_with_header_is_the_least_a_buffer_may_hold():
    assert (
        load_config("default", ["cube.noc.buffer_per_vc=1056"]).topology.cube.noc.buffer_per_vc_bytes == 1056
    )


def test_a_page_of_one_burst_is_allowed():
    assert load_config("default", ["pe.mmu.page=32"]).topology.pe.mmu.page_bytes == 32


def test_a_slice_holds_its_cubes_page_directories_and_a_burst_at_least():
    assert "a PE's slice of 4124 B" in error_of("cube.hbm.capacity=65984")  # 16 x (4096 + 28)
    load_config("default", ["cube.hbm.capacity=66048"])  # 16 x (4096 + 32)
    assert "8192 B of page directories" in error_of("cube.hbm.capacity=66048", "pe.mmu.walk_reads=3")


def test_one_read_a_walk_still_takes_a_directory_and_preloaded_tlbs_take_none():
    assert "4096 B of page directories" in error_of("cube.hbm.capacity=64 KiB", "pe.mmu.walk_reads=1")
    load_config("default", ["cube.hbm.capacity=64 KiB", "pe.mmu.miss=preload"])


def test_a_controller_at_every_second_router_needs_an_even_row():
    assert error_of("cube.pes.grid=[1, 4]", "cube.hbm.attach=per_2_routers", preset="tiny") == (
        "--set cube.hbm.attach=per_2_routers: per_2_routers needs an even number of routers in a row, not 1"
    )


def test_several_broken_rules_are_counted():
    assert error_of("cube.noc.packet=512", "cube.noc.chunk=1000").endswith(" (and 1 more)")


def test_every_kind_of_node_needs_a_component(tmp_path):
    path = tmp_path / "components.yaml"
    path.write_text("version: 1\ncomponents: {host: host_v1}\n")
    with pytest.raises(ConfigError) as caught:
        load_config("tiny", components=path)
    assert str(caught.value) == f"{path}:2: components.sip_switch: this key is missing (and 20 more)"
