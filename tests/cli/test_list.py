"""``kernbench list`` shows what can be named, and only that."""

import json
from dataclasses import replace

import pytest

from kernbench.ccl.algorithm import load_algorithms
from kernbench.cli.list import SECTIONS
from kernbench.config.load import load_config, preset_names
from kernbench.config.plain import config_sha256
from kernbench.ops import OPS


def listed(kernbench, *args):
    return json.loads(kernbench("list", *args, "--json", "-").out)


def test_topologies_are_the_presets_with_their_hashes(kernbench):
    document = listed(kernbench, "topologies")
    assert document["schema"] == "kernbench.list/1"
    assert document["config_sha256"] == config_sha256(load_config())
    assert [row["name"] for row in document["topologies"]] == list(preset_names())
    assert document["topologies"][1] == {
        "name": "tiny",
        "doc": "1 SIP x 1 cube x 4 PEs = 4 PEs",
        "config_sha256": config_sha256(load_config("tiny")),
    }


def test_benches_come_with_their_parameters(kernbench):
    rows = {row["name"]: row for row in listed(kernbench, "benches")["benches"]}
    assert {"gemm", "vector_add", "softmax", "qkv_gemm"} <= set(rows)
    assert rows["gemm"]["parameters"] | {"m": None, "dtype": "fp16"} == rows["gemm"]["parameters"]
    page = kernbench("list", "benches").out
    assert "name=value; auto follows from the machine" in page
    assert "m=auto n=auto k=auto dtype=fp16" in page


def test_every_component_of_the_default_exists(kernbench):
    rows = listed(kernbench, "components")["components"]
    chosen = load_config().components.components
    assert {row["name"]: row["kind"] for row in rows if row["default"]} == {
        name: kind for kind, name in chosen.items()
    }
    assert all(row["doc"] for row in rows)


def test_a_plugin_adds_what_it_registers(kernbench, tmp_path):
    plugin = tmp_path / "my_gemm.py"
    plugin.write_text(
        "from kernbench.components.base import COMPONENTS, Component\n"
        '@COMPONENTS.register("test_list_gemm_v1")\n'
        'class MyGemm(Component):\n    """Mine."""\n    kind = "pe_gemm"\n'
    )
    rows = listed(kernbench, "components", "--plugin", str(plugin))["components"]
    assert {"name": "test_list_gemm_v1", "kind": "pe_gemm", "default": False, "doc": "Mine."} in rows


def test_ops_say_where_they_run(kernbench):
    rows = listed(kernbench, "ops")["ops"]
    assert [row["name"] for row in rows] == list(OPS)
    assert {"name": "dot", "unit": "pe_gemm"} in rows


def test_an_algorithm_that_ships_is_listed_with_its_module_which_ccl_yaml_may_name_too(kernbench):
    rows = listed(kernbench, "algorithms")["algorithms"]
    modules = {row["name"]: row["module"] for row in rows}
    assert modules == {name: load_algorithms()[name].kernel.__module__ for name in load_algorithms()}
    for name, spec in load_config().ccl.algorithms.items():
        assert modules[name] == spec.module


def test_what_is_empty_says_so(kernbench, monkeypatch):
    monkeypatch.setitem(SECTIONS, "algorithms", replace(SECTIONS["algorithms"], rows=list))
    assert kernbench("list", "algorithms").out == f"algorithms\n{SECTIONS['algorithms'].hint}\n  none\n"


def test_everything_is_listed_without_an_argument(kernbench):
    document = listed(kernbench)
    assert [key for key in document if key in SECTIONS] == list(SECTIONS)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_has_its_columns(kernbench, name):
    lines = kernbench("list", name).out.splitlines()
    assert lines[:2] == [name, SECTIONS[name].hint]


def test_what_cannot_be_listed_gets_the_nearest_name(kernbench):
    assert kernbench("list", "bench") == (
        2,
        "",
        "kernbench: cannot list 'bench'; did you mean 'benches'? "
        "(known: algorithms, benches, components, ops, topologies)\n",
    )
