"""The benchmarks still run; how fast they say KernBench is depends on the machine and is no test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kernbench as kb

SPEED = Path(__file__).parents[1] / "perf" / "speed.py"
HALO = SPEED.with_name("halo.py")
COLLECTIVES = SPEED.with_name("collectives.py")
PRESETS = SPEED.with_name("presets.py")
PAIRS = SPEED.with_name("pairs.py")
RACES = SPEED.with_name("races.py")


def ran(script: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script, *args], capture_output=True, text=True, check=False)


def speed(*args: str) -> subprocess.CompletedProcess[str]:
    return ran(SPEED, *args)


def test_engine_is_measured_beside_simpy_and_says_which_it_is(monkeypatch):
    """16 PEs, which have no bar; both sides end at the same picosecond, or there is no line."""
    monkeypatch.setenv("KERNBENCH_ENGINE", "reference")
    done = ran(SPEED.with_name("engine.py"), "--pes", "16", "--pairs", "1", "--json", "-")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert (line["engine"], line["pes"], line["bar_ratio"]) == ("reference", 16, None)
    assert line["ratio"] == line["simpy_cpu_s"] / line["kernbench_cpu_s"] > 1


def test_speed_measures_a_child_against_its_bar():
    (line,) = json.loads(speed("--only", "help", "--json", "-").stdout)
    assert (line["case"], line["bar_cpu_s"], line["events"]) == ("help", 0.1, 0)
    assert line["share_of_bar"] == line["cpu_s"] / 0.1 > 0
    assert line["shares"] is None


def test_speed_knows_its_cases():
    wrong = speed("--only", "gem")
    assert wrong.returncode == 2
    assert "invalid choice: 'gem'" in wrong.stderr


def test_speed_shares_out_the_cpu_time_of_a_run():
    """What the JSON splits is nearly all of the process: the rest is writing it, and the end."""
    (line,) = json.loads(speed("--only", "tiny", "--json", "-").stdout)
    shares = line["shares"]
    assert list(shares) == ["start", "configuration", "language", "machine", "values", "report", "rest"]
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 < share < 1 for share in shares.values())
    assert shares["rest"] < 0.25


def test_pairs_compares_two_commands_and_their_op_logs():
    command = f"{sys.executable} -m kernbench"
    sides = ("--first", f"env KERNBENCH_ENGINE=reference {command}", "--second", command)
    done = ran(PAIRS, "--only", "tiny", "--pairs", "1", *sides, "--json", "-")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert (line["case"], line["bar_ratio"]) == ("tiny", None)
    assert line["ratio"] == line["first_cpu_s"] / line["second_cpu_s"] > 0
    assert min(line["first_peak_mb"], line["second_peak_mb"]) > 0
    assert line["first_oplog"] == line["second_oplog"]
    assert re.fullmatch(r"[0-9a-f]{12}", line["first_oplog"])


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("--pairs", "0"), "--pairs: at least 1"),
        (("--first", "kernbench"), "give both --first and --second, or neither"),
    ],
)
def test_pairs_refuses_what_it_cannot_compare(args, error):
    wrong = ran(PAIRS, *args)
    assert wrong.returncode == 2
    assert wrong.stderr.endswith(f"pairs.py: error: {error}\n")


def test_the_layer_norm_that_is_measured_is_right():
    assert kb.run(
        SPEED.with_name("layer_norm.py"), topology="tiny", rows=9, columns=100, mode="data"
    ).check.ok


def test_layers_shares_out_all_samples():
    done = ran(SPEED.with_name("layers.py"), "--only", "tiny", "--json", "-")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert sum(line["shares"].values()) == pytest.approx(1)
    assert sum(line["files"].values()) == pytest.approx(1)
    assert line["shares"]["imports"] > 0
    assert line["samples"] > 10


def test_halo_measures_each_number_of_steps():
    done = ran(HALO, "--only", "stencil", "--steps", "2,1", "--json", "-")
    assert done.returncode == 0, done.stderr
    one, two = json.loads(done.stdout)
    assert one["case"] == two["case"] == "stencil"
    # 16 x 8 PEs have 15 x 8 + 16 x 7 = 232 pairs of neighbours, who send to each other
    assert (one["messages"], two["messages"]) == (464, 928)
    assert one["us_per_message"] == one["cpu_s"] / 464 * 1e6
    assert one["bar_cpu_s"] is None  # that is for 500 exchanges


def test_halo_says_how_memory_grows_and_holds_other_numbers_of_steps_to_no_bar():
    done = ran(HALO, "--only", "exchange", "--steps", "1,3")
    assert done.returncode == 0, done.stderr
    heads, one, three, _, growth, last = done.stdout.splitlines()
    assert heads.split()[:4] == ["case", "steps", "messages", "events"]
    assert [line.split()[:3] for line in (one, three)] == [
        ["exchange", "1", "464"],
        ["exchange", "3", "1,392"],
    ]
    assert re.fullmatch(r"exchange: peak memory at 3 steps is \d\.\d\d times that at 1\.", growth)
    assert last == "Bars missed: none."


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("--steps", "1,a"), "argument --steps: '1,a' is no list of numbers"),
        (("--steps", "0"), "argument --steps: at least 1"),
        (("--only", "halo"), "argument --only: invalid choice: 'halo' (choose from 'exchange', 'stencil')"),
    ],
)
def test_halo_refuses_what_it_cannot_run(args, error):
    wrong = ran(HALO, *args)
    assert wrong.returncode == 2
    assert wrong.stderr.endswith(f"halo.py: error: {error}\n")


def test_collectives_measures_a_ring_with_values_and_a_sliced_one_without():
    """2 (p - 1) messages a rank, each of a p-th of its vector; 4 ranks read and write 4 KiB for 6 KiB of bus bytes."""
    args = ("--only", "ring-64", "--only", "sliced-16", "--ranks", "4", "--size", "4096")
    done = ran(COLLECTIVES, *args, "--json", "-")
    assert done.returncode == 0, done.stderr
    timed, timing = json.loads(done.stdout)
    for line, name, mode in ((timed, "ring-64", "timed"), (timing, "sliced-16", "timing")):
        assert (line["case"], line["mode"], line["n_ranks"], line["messages"]) == (name, mode, 4, 24)
        assert line["us_per_message"] == line["cpu_s"] / 24 * 1e6
        assert line["share"] == line["busbw"] / min(line["link_line"], line["hbm_line"]) < 1
        assert line["bar_cpu_s"] is line["bar_share"] is None  # those are for the case's own size
        assert 0 < line["busbw"] < line["hbm_line"] < 47.104 * 6 / 8


def test_collectives_holds_no_other_size_to_a_bar():
    done = ran(COLLECTIVES, "--only", "ring-64", "--ranks", "2", "--size", "64")
    assert done.returncode == 0, done.stderr
    heads, line, _, last = done.stdout.splitlines()
    assert heads.split()[:4] == ["case", "KiB", "a", "rank"]
    assert line.split()[:3] == ["ring-64", "0.0625", "4"]
    assert last == "Bars missed: none."


def test_collectives_knows_its_cases():
    wrong = ran(COLLECTIVES, "--only", "ring")
    assert wrong.returncode == 2
    assert "invalid choice: 'ring'" in wrong.stderr


def test_presets_holds_a_bench_to_the_bar_of_its_preset():
    done = ran(PRESETS, "--preset", "tiny", "--only", "hello_send", "--json", "-")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert (line["bench"], line["preset"], line["bar_cpu_s"]) == ("hello_send", "tiny", 2)
    assert 0 < line["cpu_s"] < 2


def test_the_price_of_looking_for_races_is_measured_in_pairs():
    done = ran(RACES, "--only", "vector_add", "--mode", "data", "--pairs", "1", "--json", "-")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert (line["case"], line["mode"], line["bar"]) == ("vector_add", "data", 1.2)
    assert line["ratio"] == line["cpu_s"] / line["cpu_s_without"] > 0
