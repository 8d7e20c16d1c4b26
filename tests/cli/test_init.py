"""``kernbench init`` gives a folder that works as it is, and never overwrites by itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kernbench.config.load import load_config
from kernbench.config.plain import config_sha256


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_copies_a_topology_and_a_bench_and_says_what_is_next(kernbench):
    assert kernbench("init", "mine") == (
        0,
        "wrote mine/topology.yaml\nwrote mine/my_bench.py\n"
        "next: kernbench run mine/my_bench.py --topology mine/topology.yaml\n",
        "",
    )
    assert sorted(path.name for path in Path("mine").iterdir()) == ["my_bench.py", "topology.yaml"]


def test_the_topology_is_right(kernbench):
    kernbench("init")
    assert kernbench("check", "topology.yaml").code == 0


def test_the_bench_is_right_on_the_topology(kernbench):
    kernbench("init")
    # in a process of its own: a bench is registered once
    command = [sys.executable, "-m", "kernbench", "run", "my_bench.py", "--topology", "topology.yaml"]
    done = subprocess.run([*command, "-p", "n=5000", "-p", "a=0.1"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ncheck ok: " in done.stdout


def test_json_has_the_hash_of_the_copied_topology(kernbench):
    assert json.loads(kernbench("init", "--json", "-").out) == {
        "schema": "kernbench.init/1",
        "config_sha256": config_sha256(load_config("topology.yaml")),
        "files": ["topology.yaml", "my_bench.py"],
    }


def test_it_overwrites_only_when_told_to(kernbench):
    Path("my_bench.py").write_text("mine")
    text = "kernbench: my_bench.py: exists already; choose another folder, or overwrite with --force\n"
    assert kernbench("init") == (2, "", text)
    assert Path("my_bench.py").read_text() == "mine"
    assert not Path("topology.yaml").exists()
    assert kernbench("init", "--force").code == 0
    assert Path("my_bench.py").read_text() != "mine"


def test_a_folder_that_cannot_be_made_is_one_line(kernbench):
    Path("file").write_text("")
    assert kernbench("init", "file/mine") == (
        2,
        "",
        "kernbench: file/mine: cannot be made: Not a directory\n",
    )
