"""An algorithm is selected by tables of ``ccl.yaml``: by the number of ranks, by bytes, and if it can serve."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernbench as kb
from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
from kernbench.ccl.communicator import Communicator
from kernbench.cli.main import execute
from kernbench.config.ccl import size_ranges
from kernbench.config.load import config_sha256, load_config, preset_names
from kernbench.config.plain import yaml_values
from kernbench.dist.selection import select, selected
from kernbench.errors import ConfigError, UsageError
from kernbench.simulation import simulate
from kernbench.theory.group import group_of
from kernbench.topology.builder import build_graph

SPEC = load_config("default").topology
PES = build_graph(SPEC).pes
load_algorithms()
TABLES = (
    "[{ranks: 2, sizes: tree_allreduce},"
    " {ranks: 16, sizes: 'recursive_doubling_allreduce:0-99;ring_allreduce:100-max', otherwise: mesh_allreduce},"
    " {ranks: max, sizes: ring_sliced_allreduce}]"
)


def group(n):
    return group_of(SPEC, PES, range(n))


def ccl_of(tables):
    return load_config("default", {"ccl.selection.all_reduce": tables}).ccl


# -- which table, which range ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_ranks", "size_bytes", "name"),
    [
        (1, 0, "tree_allreduce"),
        (2, 10_000, "tree_allreduce"),
        (4, 99, "recursive_doubling_allreduce"),
        (4, 100, "ring_allreduce"),
        (16, 1 << 40, "ring_allreduce"),
        (12, 99, "mesh_allreduce"),  # no power of two, but three rows of four
        (12, 100, "ring_allreduce"),
        (17, 0, "ring_sliced_allreduce"),
        (128, 99, "ring_sliced_allreduce"),
    ],
)
def test_a_group_has_the_first_table_for_so_many_ranks_and_a_size_its_range(n_ranks, size_bytes, name):
    assert select(ccl_of(TABLES), "all_reduce", group(n_ranks), size_bytes) == name


def test_what_none_of_a_table_can_serve_says_so_and_who_can():
    with pytest.raises(UsageError) as caught:
        select(ccl_of(TABLES), "all_reduce", group(7), 8)
    assert str(caught.value).startswith(
        "recursive_doubling_allreduce cannot serve 7 ranks: needs a power of two; of all_reduce, "
        "double_binary_tree_allreduce, halving_doubling_allreduce, "
    )


def test_all_that_a_group_may_need_are_those_of_its_table():
    ccl = ccl_of(TABLES)
    assert selected(ccl, "all_reduce", group(8)) == ["recursive_doubling_allreduce", "ring_allreduce"]
    assert selected(ccl, "all_reduce", group(12)) == ["mesh_allreduce", "ring_allreduce"]
    assert selected(ccl, "all_reduce", group(128)) == ["ring_sliced_allreduce"]


def test_a_selection_alone_is_a_table_for_any_number():
    plain, table = ccl_of("tree_allreduce:0-max"), ccl_of("[{ranks: max, sizes: 'tree_allreduce:0-max'}]")
    assert plain == table
    assert select(plain, "all_reduce", group(100), 5) == "tree_allreduce"


@given(
    n_ranks=st.integers(1, 128),
    size_bytes=st.integers(0, 1 << 24),
    preset=st.sampled_from(preset_names("ccl")),
)
def test_the_presets_select_something_that_serves_every_group_at_every_size(n_ranks, size_bytes, preset):
    ccl, ranks = load_config(ccl=preset).ccl, group(n_ranks)
    for collective in ccl.selection.fields():
        name = select(ccl, collective, ranks, size_bytes)
        assert (ALGORITHMS[name].collective, ALGORITHMS[name].refuses(ranks)) == (collective, None)


def test_a_group_of_some_ranks_runs_what_the_table_for_so_many_says(monkeypatch):
    ran, run = [], Communicator.run

    def noted(communicator, name, *args, **named):
        ran.append((communicator.group.n_ranks, name))
        run(communicator, name, *args, **named)

    def worker(rank):
        dist.init_process_group(world_size=4, rank=rank)
        pair = dist.new_group([0, 1])
        x = torch.ones(4, policy=kb.DPPolicy(only=rank))
        dist.all_reduce(x)
        if rank < 2:
            dist.all_reduce(x, group=pair)
        assert x.numpy().tolist() == [8 if rank < 2 else 4] * 4

    monkeypatch.setattr(Communicator, "run", noted)
    torch = simulate("tiny", mode="data", overrides={"ccl.selection.all_reduce": TABLES}).torch
    dist = torch.distributed
    torch.multiprocessing.spawn(worker, nprocs=4)
    assert ran == [(4, "recursive_doubling_allreduce"), (2, "tree_allreduce")]


# -- tables that say nothing clear ----------------------------------------------------------------------------

RING = "sizes: ring_allreduce"


@pytest.mark.parametrize(
    ("tables", "path", "text"),
    [
        ("[]", "", "the last table must say ranks: max, so that each number of ranks has one"),
        (f"[{{ranks: 4, {RING}}}]", "", "the last table must say ranks: max, so that each number of ranks has one"),
        (
            f"[{{ranks: 4, {RING}}}, {{ranks: 4, {RING}}}, {{ranks: max, {RING}}}]",
            "",
            "ranks: 4 follows 4; write the tables by ascending ranks",
        ),
        (
            f"[{{ranks: max, {RING}}}, {{ranks: 8, {RING}}}]",
            "",
            "a table follows that of ranks: max; no group is larger, so leave it out",
        ),
        (f"[{{ranks: 0, {RING}}}]", ".0.ranks", "0 is no number of ranks; write 1 or more, or max for any"),
        (f"[{{ranks: many, {RING}}}]", ".0.ranks", "'many' is no number of ranks; write 1 or more, or max for any"),
        ("[{ranks: max}]", ".0.sizes", "this key is missing"),
        (f"[{{ranks: max, {RING}, els: tree}}]", ".0.els", "unknown key; known: ranks, sizes, otherwise"),
        (
            f"[{{ranks: max, {RING}, otherwise: 'a:5-max'}}]",
            ".0.otherwise",
            "'a:5-max' must begin at 0, so that each size has one algorithm",
        ),
        ("[ring_allreduce]", ".0", "'ring_allreduce' is not a mapping of keys"),
        (
            "{ranks: max}",
            "",
            "{'ranks': 'max'} is not a selection; write algorithm:first-last, as in 'ring_allreduce:0-max'",
        ),
    ],
)  # fmt: skip
def test_tables_that_say_nothing_clear_are_refused_where_they_are(tmp_path, tables, path, text):
    file = tmp_path / "ccl.yaml"
    file.write_text(f"extends: default\nselection:\n  reduce: chain_reduce\n  all_reduce: {tables}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(ccl=file)
    assert str(caught.value) == f"{file}:4: selection.all_reduce{path}: {text}"


# -- whose ccl.yaml -------------------------------------------------------------------------------------------


def all_reduce(config):
    return [name for table in config.ccl.selection.all_reduce for name, *_ in size_ranges(table.sizes)]


def test_a_topology_names_the_ccl_file_that_goes_with_it(tmp_path, monkeypatch):
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines" / "mine.yaml").write_text("extends: tiny\nccl: tuned.yaml\n")
    (tmp_path / "machines" / "tuned.yaml").write_text(
        "extends: default\nselection.all_reduce: tree_allreduce\n"
    )
    (tmp_path / "theirs.yaml").write_text("extends: machines/mine.yaml\npe.clock_ghz: 2\n")
    assert all_reduce(load_config(tmp_path / "machines" / "mine.yaml")) == ["tree_allreduce"]
    assert all_reduce(load_config(tmp_path / "theirs.yaml")) == ["tree_allreduce"]
    monkeypatch.chdir(tmp_path / "machines")
    for overrides in (["ccl=tuned.yaml"], {"ccl": "tuned.yaml"}):
        assert all_reduce(load_config("default", overrides)) == ["tree_allreduce"]
    assert load_config("default", {"ccl": {"defaults": {"slots": 3}}}).ccl.defaults.slots == 3
    assert load_config("default", ["ccl=tuned.yaml", "ccl.defaults.slots=3"]).ccl.defaults.slots == 3


def test_the_hash_is_that_of_what_a_file_says_not_of_its_name(tmp_path):
    same = tmp_path / "same.yaml"
    same.write_text("extends: tiny\n")
    assert config_sha256(load_config("tiny", {"ccl": str(same)})) == config_sha256(load_config("tiny"))
    same.write_text("extends: tiny\ndefaults.slots: 3\n")
    assert config_sha256(load_config("tiny", {"ccl": str(same)})) != config_sha256(load_config("tiny"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "ccl: defalt",
            ":2: ccl: unknown ccl '{folder}/defalt'; did you mean 'default'? "
            f"(presets: {', '.join(preset_names('ccl'))}; or a YAML file's path)",
        ),
        (
            "ccl.defaults.slots: 4",
            ":2: ccl: names a preset or a file of ccl.yaml's; what differs from a preset goes into such a file",
        ),
    ],
)  # fmt: skip
def test_a_ccl_file_that_is_not_there_is_named_where_it_is_asked_for(tmp_path, text, error):
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: tiny\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == f"{file}{error.format(folder=tmp_path)}"


def test_a_file_of_tables_alone_is_known_as_ccl_yaml(tmp_path, capsys):
    file = tmp_path / "tuned.yaml"
    file.write_text("extends: default\nselection:\n  all_reduce: tree_allreduce\n")
    assert execute(["check", str(file), "--json", "-"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert (found["document"], Path(found["file"])) == ("ccl", file)


def test_tables_are_written_back_as_they_are_read():
    ccl = ccl_of(TABLES)
    assert type(ccl).model_validate(yaml_values(ccl)) == ccl
