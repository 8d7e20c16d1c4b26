"""Keys that contradict each other are refused where the user set one of them, with the numbers and the cure."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from kernbench.config.load import load_config, load_tree
from kernbench.config.overrides import documents_of
from kernbench.config.rules import COUNT_RULES, TOPOLOGY_RULES
from kernbench.config.rules.layout import the_pes_can_be_counted
from kernbench.config.schema import TopologySpec
from kernbench.errors import ConfigError


def error_of(*overrides: str, preset: str = "default") -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(preset, overrides)
    return str(caught.value)


@pytest.mark.parametrize("name", ["tiny", "default", "big"])
def test_the_presets_break_no_rule(name):
    load_config(name)


# -- one key alone --------------------------------------------------------------------------------------------


class Broken(NamedTuple):
    """A line of a user's file that extends ``preset``, what the error says to write, and which keys it names.

    ``at`` is the key in it that the error is told at. With ``base``, that is the file, and ``line`` comes by ``--set``.
    """

    preset: str
    line: str
    cure: str
    others: tuple[str, ...] = ()
    at: str = ""
    base: str = ""


BROKEN = {
    # counts and grids
    "sips": Broken("default", "system.sips.count: 3", "system.sips.count: 2", ("system.sips.grid",)),
    "grid of sips": Broken(
        "default", "system.sips.grid: [3, 1]", "system.sips: {count: 3, grid: [3, 1]}", ("system.sips.count",)
    ),
    "cubes": Broken("default", "sip.cubes.count: 5", "sip.cubes.count: 4", ("sip.cubes.grid",)),
    "grid of cubes": Broken(
        "default", "sip.cubes.grid: [2, 3]", "sip.cubes: {count: 6, grid: [2, 3]}", ("sip.cubes.count",)
    ),
    "pes": Broken("default", "cube.pes.count: 8", "cube.pes.count: 16", ("cube.pes.grid",)),
    "grid of pes": Broken(
        "default", "cube.pes.grid: [4, 8]", "cube.pes: {count: 32, grid: [4, 8]}", ("cube.pes.count",)
    ),
    "too many pes": Broken(
        "default",
        "cube.pes: {count: 32768, grid: [128, 256]}",
        "16384",
        ("sip.cubes.count", "system.sips.count"),
        at=".count",
    ),
    "too many cubes": Broken(
        "default",
        "sip.cubes: {count: 9000, grid: [2, 4500]}",
        "4096",
        ("cube.pes.count", "system.sips.count"),
        at=".count",
    ),
    "too many sips": Broken(
        "default",
        "system.sips: {count: 9000, grid: [9000, 1]}",
        "2048",
        ("cube.pes.count", "sip.cubes.count"),
        at=".count",
    ),
    # units at routers
    "a place of m_cpu": Broken(
        "default", "cube.m_cpu.at: [4, 0]", "cube.m_cpu.at: [3, 3]", ("cube.pes.grid",)
    ),
    "a place of a bank": Broken(
        "default",
        "cube.sram.at: [[0, 0], [3, 0], [0, 4], [3, 3]]",
        "[3, 3]",
        ("cube.pes.grid",),
        at=".2",
    ),
    "fewer pes than banks need": Broken(
        "default",
        "cube.pes: {count: 8, grid: [4, 2]}",
        "cube.sram: {banks: 2, at: [[0, 0], [3, 0]]}",
        ("cube.sram.at",),
        at=".grid",
    ),
    "fewer pes than m_cpu needs": Broken(
        "default",
        "cube.pes: {count: 8, grid: [4, 2]}",
        "cube.m_cpu.at: [0, 0]",
        ("cube.m_cpu.at",),
        at=".grid",
        base="cube: {m_cpu: {at: [3, 3]}, sram: {banks: 1, at: [[0, 0]]}}",
    ),
    "banks for their size": Broken(
        "default",
        "cube.sram: {banks: 3, at: [[0, 0], [3, 0], [0, 3]]}",
        "cube.sram.size: 16777218",
        ("cube.sram.size",),
        at=".banks",
    ),
    "places of banks": Broken(
        "default", "cube.sram.at: [[0, 0]]", "cube.sram.banks: 1", ("cube.sram.banks",)
    ),
    "banks": Broken("tiny", "cube.sram.banks: 2", "cube.sram.banks: 1", ("cube.sram.at",)),
    "sram": Broken("default", "cube.sram.size: 4097", "cube.sram.size: 4100", ("cube.sram.banks",)),
    # chunks
    "chunk over packet": Broken(
        "default", "cube.noc.chunk: 8 KiB", "cube.noc.chunk: 4096", ("cube.noc.packet",)
    ),
    "packet": Broken("default", "cube.noc.packet: 512", "cube.noc.packet: 1024", ("cube.noc.chunk",)),
    "chunk of no flits": Broken(
        "default", "cube.noc.chunk: 1000", "cube.noc.chunk: 1024", ("cube.noc.flit",)
    ),
    "flit": Broken("default", "cube.noc.flit: 48", "cube.noc.flit: 16", ("cube.noc.chunk",)),
    "buffer in a cube": Broken(
        "default", "cube.noc.buffer_per_vc: 1055", "cube.noc.buffer_per_vc: 1056", ("cube.noc.chunk",)
    ),
    "buffer of ucie": Broken(
        "default", "sip.ucie.buffer_per_vc: 1 KiB", "sip.ucie.buffer_per_vc: 1056", ("cube.noc.chunk",)
    ),
    "buffer of the io die": Broken(
        "default",
        "sip.io_die.noc.buffer_per_vc: 64",
        "sip.io_die.noc.buffer_per_vc: 1056",
        ("cube.noc.chunk",),
    ),
    "buffer of pcie": Broken(
        "default",
        "sip.io_die.pcie_ep.buffer_per_vc: 64",
        "sip.io_die.pcie_ep.buffer_per_vc: 1056",
        ("cube.noc.chunk",),
    ),
    "buffer between sips": Broken(
        "default",
        "system.sip_link.buffer_per_vc: 64",
        "system.sip_link.buffer_per_vc: 1056",
        ("cube.noc.chunk",),
    ),
    "chunk over buffer": Broken(
        "default", "cube.noc: {chunk: 4352, packet: 8 KiB, flit: 64}", "cube.noc.chunk: 4288", at=".chunk"
    ),
    "header": Broken(
        "default", "cube.noc.header: 4000", "cube.noc.header: 3328", ("cube.noc.buffer_per_vc",)
    ),
    "flit over buffer": Broken(
        "default",
        "cube.noc.flit: 1024",
        "cube.noc.flit: 32",
        ("cube.noc.buffer_per_vc",),
        base="cube.noc.buffer_per_vc: 1056",
    ),
    # windows
    "window of a pe": Broken(
        "default", "pe.dma.max_inflight: 4095", "pe.dma.max_inflight: 4096", ("cube.noc.packet",)
    ),
    "window of the host": Broken(
        "default", "host.max_inflight: 1 KiB", "host.max_inflight: 4096", ("cube.noc.packet",)
    ),
    "packet over windows": Broken(
        "default", "cube.noc.packet: 16 KiB", "cube.noc.packet: 8192", ("pe.dma.max_inflight",)
    ),
    # HBM
    "channels": Broken(
        "default", "cube.hbm.channels: 7", "cube.hbm.channels: 8", ("cube.pes.grid", "cube.hbm.attach")
    ),
    "grid for channels": Broken(
        "default",
        "cube.pes: {count: 20, grid: [4, 5]}",
        "cube.hbm.channels: 20",
        ("cube.hbm.channels",),
        at=".grid",
    ),
    "attach for channels": Broken(
        "default",
        "cube.hbm: {attach: per_2_routers, channels: 12}",
        "cube.hbm.channels: 8",
        ("cube.pes.grid",),
        at=".channels",
    ),
    "channels for pes": Broken(
        "default",
        "cube.hbm.channels: 4",
        "cube.hbm.channels: 8",
        ("cube.hbm.pseudo_channels", "cube.pes.count"),
    ),
    "pseudo-channels": Broken(
        "big",
        "cube.hbm.pseudo_channels: 1",
        "cube.hbm.pseudo_channels: 2",
        ("cube.hbm.channels", "cube.pes.count"),
    ),
    "pes for channels": Broken(
        "tiny",
        "cube.pes: {count: 16, grid: [4, 4]}",
        "cube.hbm.channels: 8",
        ("cube.hbm.channels", "cube.hbm.pseudo_channels"),
        at=".count",
    ),
    "burst": Broken(
        "default", "cube.hbm.timing.burst: 2 KiB", "cube.hbm.timing.burst: 1024", ("cube.hbm.org.row",)
    ),
    "row": Broken("default", "cube.hbm.org.row: 1000", "cube.hbm.org.row: 1024", ("cube.hbm.timing.burst",)),
    "page": Broken("default", "pe.mmu.page: 16", "pe.mmu.page: 32", ("cube.hbm.timing.burst",)),
    "burst over page": Broken(
        "default",
        "cube.hbm: {timing: {burst: 4 MiB}, org: {row: 4 MiB}}",
        "cube.hbm.timing.burst: 2097152",
        ("pe.mmu.page",),
        at=".timing.burst",
    ),
    "capacity": Broken("default", "cube.hbm.capacity: 64 KiB", "cube.hbm.capacity: 66048"),
    "walk_reads": Broken(
        "default", "pe.mmu.walk_reads: 262145", "pe.mmu.walk_reads: 262144", ("cube.hbm.capacity",)
    ),
    # ports
    "port S": Broken("default", "cube.ucie_ports.S: none", "cube.ucie_ports.S: edge", ("sip.cubes.grid",)),
    "port E": Broken("default", "cube.ucie_ports.E: none", "cube.ucie_ports.E: edge", ("sip.cubes.grid",)),
    "port W": Broken("default", "cube.ucie_ports.W: none", "cube.ucie_ports.W: edge", ("sip.cubes.grid",)),
    "cubes that touch": Broken(
        "tiny",
        "sip.cubes: {count: 2, grid: [1, 2]}",
        'cube.ucie_ports: {"S": edge}',
        ("cube.ucie_ports.S",),
        at=".grid",
    ),
    "columns": Broken(
        "default",
        "sip.io_die.ucie_ports.attach: [[0, 0]]",
        "sip.io_die.ucie_ports.attach: [[0, 0], [1, 0]]",
        ("sip.cubes.grid",),
    ),
    "no column": Broken(
        "default",
        "sip.io_die.ucie_ports.attach: [[0, 0], [1, 1]]",
        "sip.io_die.ucie_ports.attach: [[0, 0], [1, 0]]",
        ("sip.cubes.grid",),
    ),
    "cubes in a row": Broken(
        "default",
        "sip.cubes: {count: 3, grid: [3, 1]}",
        "sip.io_die.ucie_ports.attach: [[0, 0], [1, 0], [2, 0]]",
        ("sip.io_die.ucie_ports.attach",),
        at=".grid",
    ),
    # rings
    "slots": Broken("default", "pe.ipcq.slots: 65", "pe.ipcq.slots: 64", ("pe.tcm.size",)),
    "slot_size": Broken("default", "pe.ipcq.slot_size: 64 KiB", "pe.ipcq.slot_size: 32768", ("pe.tcm.size",)),
    "tcm": Broken(
        "default", "pe.tcm.size: 64 KiB", "pe.ipcq.slots: 4", ("pe.ipcq.slots", "pe.ipcq.slot_size")
    ),
    "tcm of a few bytes": Broken("default", "pe.tcm.size: 16", "pe.ipcq.buffer: hbm", ("pe.ipcq.slots",)),
    # what no preset lets be wrong alone: a file makes room for it
    "attach for routers": Broken(
        "tiny",
        "cube.hbm.attach: per_2_routers",
        "cube.hbm.channels: 1",
        ("cube.hbm.channels",),
        base="cube: {pes: {count: 6, grid: [2, 3]}, hbm: {channels: 2, pseudo_channels: 6}}",
    ),
    "attach for an odd row": Broken(
        "tiny",
        "cube.hbm.attach: per_2_routers",
        "cube.hbm.attach: per_router",
        ("cube.pes.grid",),
        base="cube.pes: {count: 3, grid: [3, 1]}\ncube.hbm.channels: 3",
    ),
    "an odd row for attach": Broken(
        "tiny",
        "cube.pes: {count: 4, grid: [1, 4]}",
        "cube.hbm.attach: per_router",
        ("cube.hbm.attach",),
        at=".grid",
        base="cube.hbm.attach: per_2_routers",
    ),
    "chunk over its buffer": Broken(
        "default",
        "cube.noc.chunk: 8 KiB",
        "cube.noc.chunk: 4320",
        ("cube.noc.buffer_per_vc",),
        base="cube.noc: {packet: 8 KiB}\npe.dma.max_inflight: 8 KiB",
    ),
    "burst over its page": Broken(
        "default",
        "cube.hbm.timing.burst: 64",
        "cube.hbm.timing.burst: 32",
        ("pe.mmu.page",),
        base="pe.mmu.page: 32",
    ),
    "channels of small slices": Broken(
        "default",
        "cube.hbm.channels: 32",
        "cube.hbm.capacity: 132096",
        ("cube.hbm.capacity",),
        base="cube.hbm.capacity: 66048",
    ),
    "pes of small slices": Broken(
        "tiny",
        "cube.pes: {count: 8, grid: [4, 2]}",
        "cube.hbm.capacity: 33024",
        ("cube.hbm.capacity",),
        at=".count",
        base="cube.hbm.capacity: 16512",
    ),
    "bursts of small slices": Broken(
        "default",
        "cube.hbm.timing.burst: 1024",
        "cube.hbm.capacity: 16384",
        ("cube.hbm.capacity",),
        base="cube.hbm.capacity: 8 KiB\npe.mmu.miss: preload",
    ),
    "misses": Broken(
        "default",
        "pe.mmu.miss: walk",
        "pe.mmu.miss: preload",
        ("cube.hbm.capacity",),
        base="cube.hbm.capacity: 64 KiB\npe.mmu.miss: preload",
    ),
    "buffer of rings": Broken(
        "default",
        "pe.ipcq.buffer: tcm",
        "pe.ipcq.buffer: hbm",
        ("pe.tcm.size",),
        base="pe.ipcq: {buffer: sram, slots: 1000}",
    ),
    "directions": Broken(
        "default",
        'pe.ipcq.directions: ["N", "S", "E", "W"]',
        "pe.ipcq.buffer: hbm",
        ("pe.tcm.size",),
        base='pe.ipcq: {directions: ["E", "W"], slots: 100}',
    ),
    "dtype": Broken("default", "pe.gemm.macs_per_cycle.half: 3", ""),
    "its other name": Broken(
        "default", "pe.gemm.macs_per_cycle.fp16: 3", "", base="pe.gemm.macs_per_cycle.half: 3"
    ),
}


SINGLE_KEYS = {
    "every_rate_class_has_a_rate",
    "a_poll_takes_time",
    "the_register_file_holds_elements",
    "pages_are_powers_of_two",
}
"""Rules that relate nothing."""


def key_of(line):
    return line.partition(": ")[0]


def assigned(line):
    """As ``--set`` has it."""
    key, _, value = line.partition(": ")
    return f"{key}={value}"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes the file of a case; gives what is left for ``--set``."""
    monkeypatch.chdir(tmp_path)

    def write(broken):
        Path("my.yaml").write_text(f"extends: {broken.preset}\n\n{broken.base or broken.line}\n")
        return (assigned(broken.line),) if broken.base else ()

    return write


@pytest.mark.parametrize("name", BROKEN)
def test_a_rule_is_told_at_the_users_key_and_names_the_others_with_their_places(name, written):
    broken = BROKEN[name]
    overrides = written(broken)
    error = error_of(*overrides, preset="my.yaml")
    key = f"{key_of(broken.line)}{broken.at}"
    if not overrides:
        assert error.startswith(f"my.yaml:3: {key}: ")
    else:
        assert error.startswith(f"--set {overrides[0]}: " + (f"{key}: " if broken.at else ""))
    for other in broken.others:
        assert re.search(rf"{re.escape(other)} \((presets/topology|my).yaml:\d+\)", error), error
    if broken.cure:
        said, value = error.partition("; write ")[2], broken.cure.partition(": ")[2] or broken.cure
        assert broken.cure in said or f"{value}" in said, error


@pytest.mark.parametrize("name", [name for name in BROKEN if ": " in BROKEN[name].cure])
def test_what_an_error_says_to_write_mends_it(name, written):
    broken = BROKEN[name]
    overrides = written(broken)
    cure = assigned(broken.cure)
    kept = [text for text in overrides if text.partition("=")[0] != cure.partition("=")[0]]
    load_config("my.yaml", [*kept, cure])


def kind_of(clash, rule):
    """What is told of the same keys: a rule, and the first of its keys without what there are several of."""
    first = re.sub(
        r".*(buffer_per_vc|max_inflight)$|(macs_per_cycle|ucie_ports)\..*", r"\1\2", next(iter(clash.texts))
    )
    return rule.__name__, "" if rule is the_pes_can_be_counted else first


def test_every_key_of_every_clash_is_broken_above(written):
    named, told = set(), set()
    for broken in BROKEN.values():
        overrides = written(broken)
        tree = load_tree("topology", "my.yaml")
        for document in documents_of(overrides).values():
            tree = tree.merged(document)
        spec = TopologySpec.model_validate(tree.plain())
        rule, clash = next((rule, clash) for rule in (*COUNT_RULES, *TOPOLOGY_RULES) for clash in rule(spec))
        kind = kind_of(clash, rule)
        named |= {(kind, re.sub(r"(\.at)\.\d+", r"\1", key)) for key in clash.texts}
        told.add((kind, re.sub(r"(\.at)\.\d+", r"\1", ".".join(clash.told(tree)[1]))))
    assert {key for key in named - told if "buffer_per_vc" not in key[1]} == set()
    assert {kind[0] for kind, _ in told} == {
        rule.__name__ for rule in (*COUNT_RULES, *TOPOLOGY_RULES)
    } - SINGLE_KEYS


# -- single keys and messages ---------------------------------------------------------------------------------


def test_a_port_must_be_where_the_io_die_is():
    assert error_of("cube.ucie_ports.N=none", preset="tiny") == (
        "--set cube.ucie_ports.N=none: there is no port N, but the IO die is joined to it; write cube.ucie_ports.N: "
        "edge"
    )


def test_one_chunk_with_header_is_the_least_a_buffer_may_hold():
    assert (
        load_config("default", ["cube.noc.buffer_per_vc=1056"]).topology.cube.noc.buffer_per_vc_bytes == 1056
    )


def test_a_page_of_one_burst_is_allowed():
    assert load_config("default", ["pe.mmu.page=32"]).topology.pe.mmu.page_bytes == 32


def test_a_slice_holds_its_cubes_page_directories_and_a_burst_at_least():
    assert "a slice of 4096 B" in error_of("cube.hbm.capacity=65984")  # 16 x (4096 + 28), in whole bursts
    load_config("default", ["cube.hbm.capacity=66048"])  # 16 x (4096 + 32)
    assert "8192 B of page directories" in error_of("cube.hbm.capacity=66048", "pe.mmu.walk_reads=3")


def test_one_read_a_walk_still_takes_a_directory_and_preloaded_tlbs_take_none():
    assert "4096 B of page directories" in error_of("cube.hbm.capacity=64 KiB", "pe.mmu.walk_reads=1")
    load_config("default", ["cube.hbm.capacity=64 KiB", "pe.mmu.miss=preload"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pe.gemm.macs_per_cycle.fp61=3", "unknown dtype; did you mean 'fp64'?"),
        ("pe.math.rate.exq=1", "unknown key; did you mean 'exp'?"),
        ('pe.ipcq.directions=["N", "S", "N"]', "a direction is named twice"),
        ('pe.ipcq.directions=["N", "S", "E"]', "E is joined to W of the next PE; name both, or none"),
        ("pe.ipcq.poll_ns=0", "0 is no interval; write how often a sender looks, or let it sleep (ccl.yaml)"),
        ("pe.ipcq.slot_size=0", "must hold at least one byte"),
        ("pe.mmu.page=3000", "3000 B is not a power of two; write 4096"),
        ("cube.hbm.timing.burst=48", "48 B is not a power of two; write 64"),
        (
            "pe.regfile.operands=7",
            "7 B cannot hold two elements, one in use and one on its way; write 16 or more",
        ),
    ],
)
def test_a_key_that_is_wrong_by_itself(override, message):
    assert error_of(override) == f"--set {override}: {message}"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "cube.pes: {count: 8, grid: [4, 2]}",
            "my.yaml:3: cube.pes.grid: [4, 2] has no router at [0, 3], [3, 3], where cube.sram.at "
            "(presets/topology.yaml:68) puts banks; write cube.sram: {banks: 2, at: [[0, 0], [3, 0]]}",
        ),
        (
            "pe.tcm.size: 16",
            "my.yaml:3: pe.tcm.size: 16 B do not hold the receive rings of the queues, 4 of pe.ipcq.slots "
            "(presets/topology.yaml:108): 8 x pe.ipcq.slot_size (presets/topology.yaml:108): 4096 B; write 131072 or "
            "more, or pe.ipcq.buffer: hbm",
        ),
        (
            "cube.pes: {count: 1000000, grid: [1000, 1000]}",
            "my.yaml:3: cube.pes.count: 1000000, with sip.cubes.count (presets/topology.yaml:28): 4 and "
            "system.sips.count (presets/topology.yaml:19): 2, makes 8000000 PEs in all; a machine has 131072 at most; "
            "write 16384 or less",
        ),
    ],
)
def test_the_whole_line(line, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(f"extends: default\n\n{line}\n")
    assert error_of(preset="my.yaml") == error


def test_an_override_is_blamed_before_a_file_and_a_file_before_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text("extends: default\npe.ipcq.slots: 32\n")
    assert error_of("pe.tcm.size=64 KiB", preset="my.yaml").startswith(
        "--set pe.tcm.size=64 KiB: 65536 B do not hold the receive rings of the queues, 4 of pe.ipcq.slots (my.yaml:2)"
    )
    assert error_of("pe.mmu.page=4 KiB", "pe.ipcq.slots=99", preset="my.yaml").startswith(
        "--set pe.ipcq.slots=99: "
    )


def test_several_broken_rules_are_counted():
    assert error_of("cube.noc.packet=512", "cube.noc.chunk=1000").endswith(" (and 1 more)")


def test_every_kind_of_node_needs_a_component(tmp_path):
    path = tmp_path / "components.yaml"
    path.write_text("version: 1\ncomponents: {host: host_v1}\n")
    with pytest.raises(ConfigError) as caught:
        load_config("tiny", components=path)
    assert str(caught.value) == f"{path}:2: components.hbm_ctrl: this key is missing (and 20 more)"
