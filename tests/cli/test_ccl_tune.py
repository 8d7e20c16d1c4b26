"""``kernbench ccl --tune`` finds the fastest algorithm of each size; ``kernbench ccl`` says if one is faster."""

import json
import shlex
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.bench.collectives import measurement
from kernbench.bench.collectives.bench import CclBench
from kernbench.bench.collectives.case import Case
from kernbench.bench.collectives.measurement import time_of
from kernbench.bench.collectives.ranks import Ranks
from kernbench.bench.collectives.request import Request, algorithms_of
from kernbench.bench.collectives.tune import NEARLY, Fastest, Tuned, Tuner, selection_of, serves_any
from kernbench.cli.ccl_tune import levels, table_lines
from kernbench.config.ccl import size_ranges
from kernbench.config.load import load_config
from kernbench.dist.selection import select
from kernbench.theory.group import COLLECTIVES

TINY = ("--topology", "tiny")
TUNED = [name for name in COLLECTIVES if name != "send_recv"]


def tuner_of(*, n_ranks=4, sizes=(64, 1024), overrides=(), **request):
    config = load_config("tiny", overrides)
    asked = Request(collective="all_reduce", n_ranks=n_ranks, mode="timing", **request)
    return Tuner(config, asked, sizes, by_theory=False, tell=lambda _: None)


def times_of(collective, size, names, *, n_ranks=4):
    """How long each algorithm takes, none being stopped."""
    request = Request(collective=collective, n_ranks=n_ranks, mode="timing")
    ranks = Ranks(load_config("tiny"), request)
    return {name: time_of(Case(request, ranks, name, size), None).time_ps for name in names}


# -- what is found --------------------------------------------------------------------------------------------


def test_who_is_stopped_early_changes_nothing(monkeypatch):
    found = tuner_of(sizes=(64, 4096)).tuned("reduce")
    monkeypatch.setattr(measurement, "SLACK", Fraction(1000))
    assert tuner_of(sizes=(64, 4096)).tuned("reduce") == found


def test_a_run_that_takes_longer_than_another_is_stopped():
    request = Request(collective="all_reduce", n_ranks=4, mode="timing")
    ranks = Ranks(load_config("tiny"), request)
    fast = time_of(Case(request, ranks, "ring_sliced_allreduce", 4096), None)
    assert time_of(Case(request, ranks, "mesh_allreduce", 4096), fast) is None
    slow = time_of(Case(request, ranks, "mesh_allreduce", 4096), None)
    assert time_of(Case(request, ranks, "ring_sliced_allreduce", 4096), slow) == fast
    assert slow.time_ps > 2 * fast.time_ps


def test_an_algorithm_stays_at_the_next_size_if_it_is_nearly_as_fast(monkeypatch):
    times = {
        64: {"a": 100, "b": 110},
        256: {"a": 102, "b": 100},
        1024: {"a": 103, "b": 100},
        4096: {"a": 1, "b": 9},
    }

    def timed(tuner, request, size, names, left_out):
        return {name: Fraction(time) for name, time in times[size].items()}

    monkeypatch.setattr(Tuner, "_times", timed)
    monkeypatch.setattr("kernbench.bench.collectives.tune.serves_any", lambda name: name == "b")
    tuned = tuner_of(sizes=tuple(times)).tuned("reduce")
    assert selection_of(tuned.sizes) == "a:0-256;b:257-1024;a:1025-max"
    assert selection_of(tuned.otherwise) == "b:0-max"
    assert not tuned.is_for_any_group


@given(
    st.lists(
        st.tuples(st.integers(1, 1 << 30), st.sampled_from("abc")),
        min_size=1,
        max_size=9,
        unique_by=lambda x: x[0],
    )
)
def test_a_selection_gives_each_size_the_algorithm_that_was_found_and_those_between_that_of_the_next(found):
    sizes = [Fastest(size, name, Fraction(1)) for size, name in sorted(found)]
    ranges = size_ranges(selection_of(sizes))
    assert all(one.algorithm != other.algorithm for one, other in zip(ranges, ranges[1:], strict=False))

    def at(size):
        return next(x.algorithm for x in ranges if x.last_bytes is None or size <= x.last_bytes)

    for before, each in zip([None, *sizes], sizes, strict=False):
        assert at(each.size_bytes) == at((before.size_bytes if before else -1) + 1) == each.algorithm
    assert at(1 << 40) == sizes[-1].algorithm


@pytest.mark.parametrize("collective", TUNED)
def test_the_preset_of_tiny_selects_nearly_the_fastest(collective):
    """And of two collectives: what is found is the fastest of all, and of those for any group."""
    config = load_config("tiny")
    ranks = Ranks(config, Request(collective=collective, n_ranks=4))
    tuned = (
        tuner_of(sizes=(64, 1024)).tuned(collective)
        if collective in ("all_gather", "reduce_scatter")
        else None
    )
    for i, size in enumerate((64, 1024)):
        times = times_of(collective, size, algorithms_of(collective))
        if tuned is not None:
            best, general = tuned.sizes[i], tuned.otherwise[i]
            assert best.time_ps == times[best.algorithm] <= NEARLY * min(times.values())
            of_any = {name: time for name, time in times.items() if serves_any(name)}
            assert general.time_ps == of_any[general.algorithm] <= NEARLY * min(of_any.values())
        request = Request(collective=collective, n_ranks=4)
        smaller_bytes = Case(request, ranks, min(times), size).volume.smaller_bytes
        chosen = select(config.ccl, collective, ranks.group, smaller_bytes)
        assert times[chosen] <= NEARLY * min(times.values())


# -- the file -------------------------------------------------------------------------------------------------


def test_the_file_is_one_that_the_loader_takes_and_the_page_follows(kernbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = kernbench(
        "ccl", "all_reduce", "--tune", *TINY, "-b", "64", "-e", "2K", "-f", "32", "--output", "tuned.yaml"
    )
    assert ran == (0, "wrote tuned.yaml; use it with --set ccl=tuned.yaml, or as ccl: in a topology\n", "")
    assert Path("tuned.yaml").read_text() == (
        "# kernbench ccl all_reduce --tune --topology tiny -b 64 -e 2K -f 32\n"
        "# 1 SIP x 1 cube x 4 PEs = 4 PEs; float, sum, timed out of place at 2 sizes from\n"
        "# 64 B to 2 KiB. Each stands for those below it, down to the one before.\n"
        f"extends: {load_config('tiny').topology.ccl}\n"
        "selection:\n"
        "  all_reduce:\n"
        "    - ranks: max\n"
        "      sizes: recursive_doubling_allreduce:0-64;double_binary_tree_allreduce:65-max\n"
        "      otherwise: tree_allreduce:0-64;double_binary_tree_allreduce:65-max\n"
    )
    Path("mine.yaml").write_text("extends: tiny\nccl: tuned.yaml\n")
    for how in (("--topology", "mine.yaml"), (*TINY, "--set", "ccl=tuned.yaml")):
        out = kernbench("ccl", "all_reduce", *how, "-b", "64", "-e", "128", "-f", "2", "--ideal").out
        assert "  algo=recursive_doubling_allreduce, double_binary_tree_allreduce  " in out
    assert kernbench("check", "tuned.yaml").code == 0


def test_what_does_not_run_is_named_with_its_reason(kernbench):
    args = ("ccl", "--tune", *TINY, "--ranks", "3", "-b", "64", "-e", "64")
    out = kernbench(*args, "--set", "pe.ipcq.slot_size=6KiB").out
    left_out = [line for line in out.splitlines() if line.startswith("# Left out")]
    assert left_out[0] == ("# Left out on 3 ranks: mesh_allreduce: the ranks do not fill a rectangle")
    assert "# Left out on 3 ranks: recursive_doubling_allreduce: needs a power of two" in left_out
    (no_room,) = [line for line in left_out if "ring_sliced" in line]
    assert no_room.startswith(
        "# Left out on 3 ranks: ring_sliced_allreduce: sip0.cube0.pe0: its queues need "
    )
    assert "  all_to_all:\n    - ranks: max\n      sizes: pairwise_all_to_all:0-max\n" in out


TWO_CUBES = (
    "sip.cubes={count: 2, grid: [2, 1]}",
    "sip.io_die.ucie_ports.attach=[[0, 0], [1, 0]]",
    "cube.ucie_ports={E: edge, W: edge}",
)


def test_there_is_a_table_for_the_ranks_of_a_cube_of_a_sip_and_of_all():
    assert levels(load_config("default").topology) == [16, 64, 128]
    assert levels(load_config("tiny").topology) == [4]
    assert levels(load_config("tiny", TWO_CUBES).topology) == [4, 8]


def tuned_as(n_ranks, *names, otherwise=()):
    def found(names):
        return tuple(Fastest(64 << i, name, Fraction(1)) for i, name in enumerate(names))

    return Tuned(
        collective="all_reduce",
        n_ranks=n_ranks,
        sizes=found(names),
        otherwise=found(otherwise or names),
        left_out={},
    )


def test_equal_tables_that_follow_each_other_are_one_and_the_last_is_for_any_number():
    ring, tree, mesh = "ring_allreduce", "tree_allreduce", "mesh_allreduce"
    found = [
        tuned_as(4, tree, ring),
        tuned_as(8, tree, ring),
        tuned_as(16, tree),
        tuned_as(32, mesh, otherwise=(ring,)),
    ]
    assert list(table_lines(found)) == [
        "- ranks: 8",
        "  sizes: tree_allreduce:0-64;ring_allreduce:65-max",
        "- ranks: 16",
        "  sizes: tree_allreduce:0-max",
        "- ranks: max",
        "  sizes: mesh_allreduce:0-max",
        "  otherwise: ring_allreduce:0-max",
    ]


def test_the_command_that_finds_a_file_again_is_its_first_line(kernbench):
    more = [word for text in TWO_CUBES for word in ("--set", text)]
    given = [
        "barrier",
        "--tune",
        *TINY,
        *more,
        "--ranks",
        "8",
        "-d",
        "half",
        "-w",
        "0",
        "--buffer",
        "hbm",
        "-b",
        "64",
    ]
    out = kernbench("ccl", *given).out
    found = shlex.split(out.splitlines()[0])
    assert found == ["#", "kernbench", "ccl", *given, "-e", "256K", "-f", "4"]
    assert kernbench(*found[2:]).out == out
    assert "  barrier:\n    - ranks: max\n      sizes: dissemination_barrier:0-max\n" in out


def test_the_same_is_found_again(kernbench):
    args = ("ccl", "reduce", "--tune", *TINY, "-b", "64", "-e", "64")
    assert kernbench(*args).out == kernbench(*args).out


def test_a_file_lies_beside_what_it_extends(kernbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("deep").mkdir()
    Path("mine.yaml").write_text("extends: tiny\nccl: rings.yaml\n")
    Path("rings.yaml").write_text("extends: default\ndefaults.slots: 3\n")
    assert (
        kernbench("ccl", "barrier", "--tune", "--topology", "mine.yaml", "--output", "deep/tuned.yaml").code
        == 0
    )
    assert "extends: ../rings.yaml\n" in Path("deep/tuned.yaml").read_text()
    assert load_config("tiny", ["ccl=deep/tuned.yaml"]).ccl.defaults.slots == 3


def test_by_theory_nothing_is_simulated(kernbench, monkeypatch):
    monkeypatch.setattr("kernbench.bench.collectives.setup.Simulation", None)
    out = kernbench("ccl", "--tune", "--ideal", *TINY, "-b", "64", "-e", "64K", "-f", "32").out
    assert "float, sum, estimated by theory at 3 sizes from\n" in out
    assert ";ring_sliced_allreduce:" in out


ALL = "--tune compares all algorithms, without values; leave it or --tune out"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((), "no collective; name one, as in kernbench ccl all_reduce"),
        (("--tune", "--algo", "ring"), f"--algo ring: {ALL}"),
        (("--tune", "-c", "1"), f"--check 1: {ALL}"),
        (("--tune", "--json", "x.json"), f"--json x.json: {ALL}"),
        (("--tune", "send_recv"), "--tune: ccl.yaml selects nothing for send_recv; name another collective"),
        (("--tune", "all_reduc"), "unknown collective 'all_reduc'; did you mean 'all_reduce'? (known: "),
        (("--tune", "--output", "nowhere/x.yaml"), "nowhere/x.yaml: there is no folder 'nowhere'; make it first"),
        (("--tune", "--ranks", "5"), "--ranks 5: the machine has 4 PEs; give 1 to 4"),
        (("all_reduce", "--output", "x.txt"), "--output x.txt: is where --tune writes; for the rows, give --json FILE"),
        (
            ("all_gather", "--tune", "-b", "4", "-e", "8"),
            "--tune: no algorithm runs on these ranks at these sizes; give others",
        ),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_leaves_no_file(kernbench, tmp_path, monkeypatch, args, error):
    monkeypatch.chdir(tmp_path)
    ran = kernbench("ccl", *args, *TINY)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"kernbench: {error}")
    assert list(tmp_path.iterdir()) == []


def test_tuning_that_fails_leaves_what_was_there(kernbench, tmp_path, monkeypatch):
    path = tmp_path / "tuned.yaml"
    path.write_text("extends: default\n")
    monkeypatch.setattr(Tuner, "tuned", lambda *_: 1 / 0)
    assert kernbench("ccl", "--tune", *TINY, "--output", str(path)).code != 0
    assert path.read_text() == "extends: default\n"


# -- is another faster? ---------------------------------------------------------------------------------------

SIZE = ("-b", "4K", "-e", "4K")
COMPARED = (*SIZE, "--compare")


def test_the_last_line_names_a_faster_algorithm_and_how_to_take_it(kernbench, tmp_path):
    how = ("--algo", "ring_allreduce", "--mode", "timing", "--json", str(tmp_path / "rows.json"))
    ran = kernbench("ccl", "all_reduce", *TINY, *COMPARED, *how)
    ring, sliced = (
        times_of("all_reduce", 4096, [name])[name] for name in ("ring_allreduce", "ring_sliced_allreduce")
    )
    assert ran.out.splitlines()[-2] == (
        f"# ring_sliced_allreduce: {float(ring / sliced):.1f} times faster here, at 4096 B; "
        "--algo ring_sliced_allreduce"
    )
    assert json.loads((tmp_path / "rows.json").read_text())["faster"] == {
        "algorithm": "ring_sliced_allreduce",
        "size_bytes": 4096,
        "times": float(ring / sliced),
    }


@pytest.mark.parametrize(
    "how", [("--algo", "ring_sliced_allreduce"), ("--set", "ccl.selection.all_reduce=ring_sliced_allreduce")]
)
def test_of_the_fastest_nothing_is_said(kernbench, tmp_path, how):
    file = tmp_path / "rows.json"
    args = ("ccl", "all_reduce", *TINY, *COMPARED, *how, "--mode", "timing", "--json", str(file))
    assert kernbench(*args).out.splitlines()[-2] == "#"
    assert json.loads(file.read_text())["faster"] is None


def test_unasked_only_what_ccl_yaml_selects_is_named(kernbench, monkeypatch):
    """Nothing but the algorithm of the rows is run or recorded."""
    monkeypatch.setattr(CclBench, "faster", lambda *_: 1 / 0)
    args = ("ccl", "all_reduce", *TINY, *SIZE, "--mode", "timing", "-w", "0")
    selected = "# ccl.yaml selects ring_sliced_allreduce at 4096 B; --compare says whether it is faster"
    assert kernbench(*args, "--algo", "ring_allreduce").out.splitlines()[-2] == selected
    assert kernbench(*args).out.splitlines()[-2] == "#"


def test_theory_knows_one_where_the_table_does_not(kernbench):
    slow = ("--set", "ccl.selection.all_reduce=ring_allreduce", "--mode", "timing")
    last = kernbench("ccl", "all_reduce", *TINY, *COMPARED, *slow).out.splitlines()[-2]
    assert last.startswith("# ring_bidirectional_allreduce: 1.5 times faster here, at 4096 B; ")


def test_on_the_ideal_machine_theory_is_the_truth(kernbench):
    last = kernbench(
        "ccl", "broadcast", *TINY, *COMPARED, "--algo", "binomial_broadcast", "--ideal"
    ).out.splitlines()[-2]
    binomial, chain = (
        json.loads(kernbench("ccl", "broadcast", *TINY, *SIZE, "--algo", name, "--ideal", "--json", "-").out)[
            "rows"
        ][0]
        for name in ("binomial_broadcast", "chain_broadcast")
    )
    times = binomial["out_of_place"]["time_ps"] / chain["out_of_place"]["time_ps"]
    assert last == f"# chain_broadcast: {times:.1f} times faster here, at 4096 B; --algo chain_broadcast"


def test_what_theory_prefers_wrongly_is_not_named(kernbench, monkeypatch):
    monkeypatch.setattr(
        "kernbench.bench.collectives.theory.Theory.estimate_ps",
        property(lambda theory: Fraction(1 if theory.case.name == "mesh_allreduce" else 100)),
    )
    args = ("ccl", "all_reduce", *TINY, *COMPARED, "--algo", "ring_sliced_allreduce", "--mode", "timing")
    assert kernbench(*args).out.splitlines()[-2] == "#"
