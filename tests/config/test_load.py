"""A configuration is a preset or a file, with what it extends below it and --set on top; texts stay exact."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kernbench.config.load import config_sha256, load_config, preset_names
from kernbench.config.read import read_yaml
from kernbench.kinds import KINDS
from kernbench.units import GIB, KIB, MIB, Rate


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory to write files in, and to name them without a path."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def value(text: str) -> object:
    return read_yaml(f"key: {text}", "test.yaml").plain()["key"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("51.2", Decimal("51.2")),
        ("8", 8),
        ("-3", -3),
        ("0x10", 16),
        ("0o17", 15),
        ("012", 12),
        ("1e3", Decimal("1e3")),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("N", "N"),
        ("NO", "NO"),
        ("off", "off"),
        ("yes", "yes"),
        ("16 MiB", "16 MiB"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("'8'", "8"),
        ('"true"', "true"),
        ("[1, N, 2.50]", [1, "N", Decimal("2.50")]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_a_scalar_is_what_the_core_schema_of_yaml_1_2_says(text, expected):
    read = value(text)
    assert read == expected
    assert type(read) is type(expected)


def test_a_rate_is_exact_from_its_text():
    assert load_config("default", ["cube.hbm.pc_bw=25.6"]).topology.cube.hbm.pc_rate == Rate(128, 5)
    assert load_config("default", ["sip.ucie.eff=0.3"]).topology.sip.ucie.eff == Fraction(3, 10)


def test_keys_are_text_even_where_yaml_1_1_reads_false():
    assert read_yaml("{N: edge, 8: x}", "t").plain() == {"N": "edge", "8": "x"}


def test_the_presets_are_default_tiny_and_big():
    assert preset_names() == ("default", "tiny", "big")
    assert [load_config(name).topology.preset for name in preset_names()] == ["default", "tiny", "big"]


def test_default_is_2_sips_of_4_cubes_of_16_pes():
    spec = load_config().topology
    assert (spec.system.sips.count, spec.sip.cubes.count, spec.cube.pes.count) == (2, 4, 16)
    assert spec.cube.hbm.capacity_bytes == 16 * GIB
    assert spec.cube.noc.packet_bytes == 4 * KIB
    assert spec.host.max_inflight_bytes == 256 * KIB


def test_tiny_says_only_what_differs_from_default():
    default, tiny = load_config().topology, load_config("tiny").topology
    assert (tiny.cube.hbm.channels, tiny.cube.hbm.flat_latency_ps) == (4, 50_000)
    assert tiny.cube.hbm.pc_rate == default.cube.hbm.pc_rate
    assert tiny.pe.ipcq.directions == default.pe.ipcq.directions
    assert tiny.cube.ucie_ports == {"N": "edge", "S": "none", "E": "none", "W": "none"}
    assert tiny.cube.noc == default.cube.noc


def test_big_has_half_a_controller_of_hbm4_for_each_of_its_8192_pes():
    spec = load_config("big").topology
    n_pes = spec.system.sips.count * spec.sip.cubes.count * spec.cube.pes.count
    hbm = spec.cube.hbm
    assert n_pes == 8192
    assert hbm.pc_rate.scaled(hbm.channels * hbm.pseudo_channels) == Rate.of(2048)
    assert hbm.channels * 2 == spec.cube.pes.count


def test_every_kind_of_node_has_a_component():
    assert set(load_config().components.components) == set(KINDS)


def test_a_file_may_extend_a_preset_and_name_keys_nested_or_dotted(here):
    Path("mine.yaml").write_text(
        "extends: tiny\npreset: mine\ncube:\n  hbm: {channels: 2}\npe.tcm.size: 1 MiB\n"
    )
    spec = load_config("mine.yaml").topology
    assert (spec.preset, spec.cube.hbm.channels, spec.pe.tcm.size_bytes) == ("mine", 2, MIB)
    assert spec.cube.pes == load_config("tiny").topology.cube.pes


def test_a_file_extends_another_one_beside_it(here):
    (here / "sub").mkdir()
    Path("sub/base.yaml").write_text("extends: tiny\npe: {tcm: {size: 32 KiB}}\n")
    Path("sub/top.yaml").write_text("extends: base.yaml\npe: {tcm: {banks: 8}}\n")
    tcm = load_config("sub/top.yaml").topology.pe.tcm
    assert (tcm.size_bytes, tcm.banks) == (32 * KIB, 8)


def test_a_copy_of_the_preset_file_is_a_complete_file(here):
    import kernbench.config.load as load

    Path("copy.yaml").write_text((load.PRESETS / "topology.yaml").read_text())
    assert load_config("copy.yaml").topology == load_config().topology


def test_overrides_apply_over_everything_else(here):
    Path("mine.yaml").write_text("extends: tiny\ncube.hbm.queue: 16\n")
    assert load_config("mine.yaml", ["cube.hbm.queue=4"]).topology.cube.hbm.queue == 4
    assert load_config("mine.yaml", below=["cube.hbm.queue=4"]).topology.cube.hbm.queue == 4
    assert (
        load_config("mine.yaml", ["cube.hbm.queue=8"], below=["cube.hbm.queue=4"]).topology.cube.hbm.queue
        == 8
    )


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("pe.clock_ghz", 2, "2"),
        ("pe.clock_ghz", np.int64(2), "2"),
        ("cube.noc.link_bw", 51.2, "51.2"),
        ("cube.noc.link_bw", np.float32(0.1), "0.1"),
        ("cube.noc.link_bw", Decimal("0.1"), "0.1"),
        ("pe.tcm.size", "64 KiB", "64 KiB"),
        ("pe.tcm.size", "65536", "65536"),
        ("neighbours.wrap", True, "true"),
        ("cube.pes", {"count": 2, "grid": (2, 1)}, "{count: 2, grid: [2, 1]}"),
        ("overrides.sip0.cube0.pe1.pe_gemm.fill_cycles", 7, "7"),
        ("ccl.defaults.slots", 3, "3"),
        ("components.pe_gemm", "pe_gemm_v2", "pe_gemm_v2"),
    ],
)
def test_a_dict_of_python_is_what_the_texts_of_the_command_line_are(path, value, text):
    written, given = load_config("tiny", [f"{path}={text}"]), load_config("tiny", {path: value})
    assert (given, config_sha256(given)) == (written, config_sha256(written))


def test_a_dict_may_be_nested_as_a_file_is():
    assert load_config("tiny", {"pe": {"clock_ghz": 2}}) == load_config("tiny", ["pe.clock_ghz=2"])


def test_an_override_may_be_a_whole_mapping_which_is_merged():
    noc = load_config("default", ["cube.noc={link_bw: 32, router_ns: 1}"]).topology.cube.noc
    assert (noc.link_rate, noc.router_ps, noc.link_ps) == (Rate.of(32), 1000, 1000)


def test_overrides_reach_components_and_ccl():
    config = load_config("tiny", ["components.pe_gemm=pe_gemm_v2", "ccl.defaults.slots=3"])
    assert config.components.components["pe_gemm"] == "pe_gemm_v2"
    assert config.ccl.defaults.slots == 3


def test_the_name_of_an_overridden_node_is_one_key():
    overrides = load_config("tiny", ["overrides.sip0.cube0.pe1.pe_gemm.fill_cycles=64"]).topology.overrides
    assert overrides == {"sip0.cube0.pe1.pe_gemm": {"fill_cycles": 64}}


def test_channels_may_be_halved_from_the_command_line():
    assert load_config("default", ["cube.hbm.channels=8"]).topology.cube.hbm.channels == 8


def test_a_loaded_configuration_leaves_the_preset_as_it_was():
    load_config("tiny", ["cube.hbm.channels=2"])
    assert load_config("tiny").topology.cube.hbm.channels == 4
