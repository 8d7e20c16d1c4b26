"""The benchmarks still run; how fast they say KernBench is depends on the machine and is no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed.py"
HALO = SPEED.with_name("halo.py")


def speed(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SPEED, *args], capture_output=True, text=True, check=False)


def test_speed_measures_a_child_against_its_bar():
    (line,) = json.loads(speed("--only", "help", "--json", "-").stdout)
    assert (line["case"], line["bar_cpu_s"], line["events"]) == ("help", 0.2, 0)
    assert line["share_of_bar"] == line["cpu_s"] / 0.2 > 0


def test_speed_knows_its_cases():
    wrong = speed("--only", "gem")
    assert wrong.returncode == 2
    assert "invalid choice: 'gem'" in wrong.stderr


def test_halo_measures_each_number_of_steps():
    done = subprocess.run(
        [sys.executable, HALO, "--steps", "1,2", "--json", "-"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    one, two = json.loads(done.stdout)
    # 16 x 8 PEs have 15 x 8 + 16 x 7 = 232 pairs of neighbours, who send to each other
    assert (one["messages"], two["messages"]) == (464, 928)
    assert one["us_per_message"] == one["cpu_s"] / 464 * 1e6
