"""``kernbench show`` writes the pictures it names, and prints peaks that follow from the specification."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from kernbench.config.load import load_config
from kernbench.config.plain import config_sha256


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_views_go_to_this_folder(kernbench, folder):
    files = ["tiny-system.svg", "tiny-sip.svg", "tiny-cube.svg", "tiny-pe.svg"]
    wrote = "".join(f"wrote {name}\n" for name in files)
    assert kernbench("show", "tiny") == (0, f"tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs\n{wrote}", "")
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    for name in files:
        assert ET.parse(name).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_one_view_goes_to_the_file_that_is_named(kernbench, folder):
    ran = kernbench("show", "tiny", "--view", "cube", "-o", "my.svg", "--json", "-")
    assert json.loads(ran.out) == {
        "schema": "kernbench.show/1",
        "topology": "tiny",
        "config_sha256": config_sha256(load_config("tiny")),
        "views": [{"view": "cube", "file": "my.svg"}],
        "peaks": None,
    }
    assert [path.name for path in folder.iterdir()] == ["my.svg"]


def test_a_folder_is_made_and_a_file_keeps_its_name(kernbench):
    Path("mine.yaml").write_text("extends: tiny\n")
    kernbench("show", "mine.yaml", "--view", "pe", "-o", "pictures/today")
    assert Path("pictures/today/mine-pe.svg").is_file()


def test_any_part_of_the_machine_can_be_shown(kernbench):
    slow = "overrides.sip1.cube2.pe3.pe_gemm.fill_cycles=999"
    kernbench("show", "default", "--set", slow, "--view", "pe", "--part", "sip1.cube2.pe3", "-o", "a.svg")
    kernbench("show", "default", "--set", slow, "--view", "pe", "-o", "b.svg")
    assert "sip1.cube2.pe3" in Path("a.svg").read_text()
    assert "sip1.cube2.pe3" not in Path("b.svg").read_text()


def test_peaks_alone_draw_nothing(kernbench, folder):
    ran = kernbench("show", "default", "--peaks")
    # 1024 MAC x 2 x 1 GHz x 16 PEs x 8 cubes; 2 x 25.6 GB/s x 16 channels x 0.92; 32.768 TFLOP/s over 819.2 GB/s
    assert "  fp16, all PEs             262.1 TFLOP/s\n" in ran.out
    assert "  HBM of a cube             819.2 GB/s, of which 753.66 GB/s can be reached\n" in ran.out
    assert "  ridge of a cube           40 FLOP per HBM byte\n" in ran.out
    assert list(folder.iterdir()) == []


def test_peaks_are_numbers_in_json(kernbench):
    peaks = json.loads(kernbench("show", "default", "--peaks", "--json", "-").out)["peaks"]
    assert (peaks["n_pes"], peaks["system_flops_per_ns"]) == (128, 262144)
    assert (peaks["cube_hbm_rate"], peaks["ridge"]) == (819.2, 40)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            ("defualt",),
            "unknown topology 'defualt'; did you mean 'default'? (presets: default, tiny, big; or a YAML file's path)",
        ),
        (
            ("tiny", "--view", "cub"),
            "unknown view 'cub'; did you mean 'cube'? (known: all, cube, pe, sip, system)",
        ),
        (
            ("tiny", "-o", "all.svg"),
            "-o all.svg: 4 views do not fit one file; name a folder, or one view with --view",
        ),
        (("tiny", "--part", "cube1"), "--part cube1: write it like sip0, sip0.cube1 or sip0.cube1.pe3"),
        (("tiny", "--part", "sip1"), "unknown PE 'sip1.cube0.pe0'; there are 1 SIPs of 1 cubes of 4 PEs"),
        (
            ("tiny", "--set", "cube.hbm.chanels=8"),
            "--set cube.hbm.chanels=8: unknown key; did you mean 'channels'?",
        ),
    ],
)
def test_wrong_input_is_one_line_and_leaves_no_file(kernbench, folder, args, error):
    assert kernbench("show", *args) == (2, "", f"kernbench: {error}\n")
    assert list(folder.iterdir()) == []
