"""A configuration that was resolved before is found again, as long as all that it follows from is what it was."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import grimp
import pytest

import kernbench
from kernbench.config import kept
from kernbench.config.load import config_sha256, load_config, preset_names
from kernbench.errors import ConfigError
from kernbench.files import together
from kernbench.kinds import KINDS, Kind
from kernbench.simulation import load_plugin

SAMPLES = Path(__file__).parents[1] / "samples"
MINE = "extends: tiny\npe.tcm.size: 128 KiB\nccl: mine_ccl.yaml\n"
MINE_CCL = "extends: default\ndefaults.slots: 3\n"
ASKED = [
    *(((name,), {}) for name in preset_names()),
    (("tiny", ["pe.tcm.size=32 KiB", "overrides.sip0.cube0.pe1.pe_gemm.fill_cycles=64"]), {}),
    (("tiny", "cube.hbm.pc_bw=25.60"), {}),
    (("tiny", {"pe.clock_ghz": 0.5, "overrides.host->sip0.pcie_ep": {"bw": 1.5}}), {"below": "ccl.eager=[]"}),
    (("mine.yaml",), {}),
    ((Path("mine.yaml"), ("ccl.defaults.slots=5",)), {"ccl": "default"}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, beside a file that extends a preset and names one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(MINE)
    Path("mine_ccl.yaml").write_text(MINE_CCL)
    return tmp_path / "cache" / "kernbench"


@pytest.fixture
def reads(monkeypatch):
    """How often a configuration was resolved from its files."""
    count = []
    resolved = load_config.__globals__["_resolved"]

    def counted(*args):
        count.append(args)
        return resolved(*args)

    monkeypatch.setattr("kernbench.config.load._resolved", counted)
    return count


def all_of(config):
    """All that a configuration says, with the classes of its values, and where each was written."""
    places = [dict(part.places) for part in (config.topology, config.components, config.ccl)]
    return repr(config), places, config_sha256(config)


@pytest.mark.parametrize(("args", "given"), ASKED)
def test_the_kept_configuration_is_the_one_that_was_read(args, given, reads):
    first, second = load_config(*args, **given), load_config(*args, **given)
    assert len(reads) == 1
    assert second == first
    assert all_of(second) == all_of(first)
    assert second.sha256 == config_sha256(first.model_copy(update={}))  # which computes it


def test_each_question_has_an_answer_of_its_own(reads):
    for args, given in ASKED:
        load_config(*args, **given)
    assert len(reads) == len(ASKED)
    assert len({kept.place_of(*args, given) for args, given in ASKED}) == len(ASKED)


@pytest.mark.parametrize("name", ["mine.yaml", "mine_ccl.yaml"])
def test_a_changed_file_is_read_again_and_so_is_one_that_it_names(name, reads):
    before = load_config("mine.yaml")
    text = Path(name).read_text()
    Path(name).write_text(text.replace("128 KiB", "64 KiB").replace("slots: 3", "slots: 4"))
    after = load_config("mine.yaml")
    assert (len(reads), after == before) == (2, False)
    Path(name).unlink()
    with pytest.raises(ConfigError, match=name):
        load_config("mine.yaml")


def test_a_name_in_another_folder_is_another_file(reads, tmp_path, monkeypatch):
    mine = load_config("mine.yaml")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    Path("mine.yaml").write_text("extends: tiny\n")
    assert load_config("mine.yaml") != mine
    Path("mine.yaml").write_text(MINE)
    Path("mine_ccl.yaml").write_text(MINE_CCL)
    assert load_config("mine.yaml") == mine


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("65536", "65535", 1),
        lambda text: "\0" * len(text),
        lambda text: text.partition("\n")[2],
        lambda text: f"{kept._hash('[1]')}\n[1]",
        lambda text: f"{kept._hash('[{}, 0, 0]')}\n[{{}}, 0, 0]",
    ],
)
def test_a_damaged_file_is_made_anew(damage, reads, cache):
    load_config("tiny")
    (file,) = cache.iterdir()
    whole = file.read_text()
    assert damage(whole) != whole
    file.write_text(damage(whole))
    load_config("tiny")
    assert (len(reads), file.read_text()) == (2, whole)


def test_bytes_that_are_no_text_are_made_anew(reads, cache):
    load_config("tiny")
    (file,) = cache.iterdir()
    file.write_bytes(b"\xff\xfe")
    load_config("tiny")
    assert len(reads) == 2


@pytest.mark.parametrize("where", ["/dev/null", "/proc"])
def test_a_cache_that_cannot_be_written_is_no_error(where, reads, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", where)
    assert load_config("tiny") == load_config("tiny")
    assert len(reads) == 2


def test_neither_is_a_folder_that_refuses_a_file_nor_a_user_without_a_home(reads, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("kernbench.config.kept.os.utime", refuse)
    assert load_config("tiny") == load_config("tiny")
    assert len(reads) == 1
    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    assert load_config("big") == load_config("big")
    assert len(reads) == 3
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert load_config("tiny") == load_config("tiny")
    assert len(reads) == 5


def test_without_xdg_cache_home_it_is_the_homes(monkeypatch):
    monkeypatch.setenv("HOME", "/home/who")
    for given in ("", "relative/paths/do/not/count"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert kept.folder() == Path("/home/who/.cache/kernbench")


def test_processes_that_start_at_once_agree_and_leave_one_file(cache):
    code = "from kernbench.config.load import load_config as load; print(load('tiny').sha256)"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = {process.communicate()[0].strip() for process in started}
    assert said == {config_sha256(load_config("tiny"))}
    assert [path.suffix for path in cache.iterdir()] == [".json"]


def test_a_command_that_fails_keeps_what_it_resolved(reads):
    with suppress(ZeroDivisionError), together():
        load_config("tiny")
        raise ZeroDivisionError
    load_config("tiny")
    assert len(reads) == 1


def test_the_ones_used_last_stay(reads, cache, monkeypatch):
    monkeypatch.setattr("kernbench.config.kept.MOST_KEPT", 3)
    for n in range(5):
        load_config("tiny", [f"pe.tcm.banks={2**n}"])
        load_config("tiny", ["pe.tcm.banks=1"])
    assert len(reads) == 5
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("overrides", [{"pe.tcm.banks": {1: 2}}, iter(["pe.tcm.banks=4"]), {1: 2}, [b"x"]])
def test_what_json_has_no_words_for_is_not_kept(overrides):
    assert kept.place_of("tiny", "default", None, (), overrides) is None


def test_other_source_or_presets_are_another_question(monkeypatch):
    said, places = kept.text_of, {kept.place_of("tiny")}
    for name in (None, "pe.py", "topology.yaml", "units.py"):
        with monkeypatch.context() as patched:
            patched.setattr(kept, "text_of", lambda path, name=name: said(path) + " " * (path.name == name))
            kept._source.cache_clear()
            places.add(kept.place_of("tiny"))
    kept._source.cache_clear()
    assert len(places) == 4


def test_all_code_that_resolves_a_configuration_counts():
    graph = grimp.build_graph("kernbench")
    floors = {
        name.removeprefix("kernbench.") for name in graph.find_upstream_modules("kernbench.config.load")
    }
    files = {"files", "limits"} & floors  # what writes a file says nothing of what is in it
    assert {name for name in floors - files if not name.startswith("config")} == set(kept.BELOW)
    assert (Path(kernbench.__file__).parent / "config" / "presets" / "topology.yaml").is_file()


def test_a_kind_that_becomes_known_is_another_question(reads):
    load_config("tiny")
    KINDS.register("pe_mine")(Kind("pe_mine", part=""))
    with pytest.raises(ConfigError, match=r"components.pe_mine: this key is missing"):
        load_config("tiny")
    assert len(reads) == 2


def test_what_a_users_unit_describes_is_read_each_time(reads):
    load_plugin(SAMPLES / "pe_sfu.py")
    given = ["pe.sfu.lanes=4", "pe.sfu.latency_cycles=4", "components.pe_sfu=pe_sfu_v1"]
    assert load_config("tiny", given) == load_config("tiny", given)
    assert load_config("tiny").topology.pe.sfu is None
    assert load_config("tiny").topology.pe.sfu is None
    assert len(reads) == 4
