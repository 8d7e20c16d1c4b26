"""A resolved configuration can be written, read again, and is known by one hash."""

import pytest

from kernbench.config.ccl import CclSpec
from kernbench.config.load import load_config, preset_names
from kernbench.config.plain import config_sha256, resolved, yaml_values
from kernbench.config.read import read_yaml
from kernbench.config.schema import ComponentsSpec, TopologySpec

PRESETS = preset_names()


@pytest.mark.parametrize("name", PRESETS)
def test_values_read_back_are_the_same_spec(name):
    topology = load_config(name).topology
    assert TopologySpec.model_validate(yaml_values(topology)) == topology


@pytest.mark.parametrize("name", PRESETS)
def test_the_resolved_text_is_a_file_that_loads_to_the_same_spec(name, tmp_path):
    config = load_config(name, ["overrides.sip0.cube0.pe1.pe_gemm.fill_cycles=64"])
    (tmp_path / "again.yaml").write_text(resolved(config.topology))
    assert load_config(tmp_path / "again.yaml").topology == config.topology


def test_components_and_ccl_read_back_too():
    config = load_config()
    for model, spec in ((ComponentsSpec, config.components), (CclSpec, config.ccl)):
        assert model.model_validate(read_yaml(resolved(spec), "again").plain()) == spec


def test_resolved_text_has_units_and_quotes_what_old_readers_misread():
    lines = resolved(load_config("tiny").topology).splitlines()
    assert "    link_bw: 64  # GB/s" in lines
    assert "    packet: 4 KiB" in lines
    assert "    flat_latency_ns: 50  # ns" in lines
    assert "  clock_ghz: 1  # GHz" in lines
    assert '  ucie_ports: {"N": edge, S: none, E: none, W: none}' in lines


def test_one_machine_has_one_hash_however_it_was_written():
    plain = config_sha256(load_config("tiny"))
    assert config_sha256(load_config("tiny", ["pe.tcm.size=65536"])) == plain
    assert config_sha256(load_config("tiny", ["pe.tcm.size=64 KiB", "cube.hbm.pc_bw=25.60"])) == plain


@pytest.mark.parametrize(
    "override",
    ["pe.tcm.size=32 KiB", "components.pe_gemm=pe_gemm_v2", "ccl.defaults.slots=4", "pe.tcm.banks=8"],
)
def test_another_machine_has_another_hash(override):
    assert config_sha256(load_config("tiny", [override])) != config_sha256(load_config("tiny"))


def test_the_hashes_of_the_presets_differ():
    assert len({config_sha256(load_config(name)) for name in PRESETS}) == len(PRESETS)
