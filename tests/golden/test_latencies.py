"""Golden latencies: every bench, small, on ``tiny`` and ``default``. A change must explain every number it moves.

They say what the model gave, not what is right: laws and hand calculations do that (ADR-0019). A change that is meant
is recorded with ``python tests/golden/test_latencies.py --write``, and its commit says why each number moved.
"""

import json
import sys
from pathlib import Path

import pytest

from kernbench.bench import load_benches, run

GOLDEN = Path(__file__).parent / "latencies.json"
WRITE = "`python tests/golden/test_latencies.py --write`"
REWRITE = f"if it is meant, run {WRITE} and say why in the commit"
TOPOLOGIES = ("tiny", "default")
TIMES = ("kernel_time_ps", "device_time_ps")


def measured(name, topology, params):
    """What a bench takes now."""
    found = run(name, topology=topology, params=params, mode="timing")
    return {
        "params": params,
        "kernel_time_ps": found.kernel_time_ps,
        "device_time_ps": found.device_time_ps,
        "oplog_sha256": found.oplog_sha256,
    }


def sizes(bench, table):
    """Those at which ``bench`` was measured before, or its small ones if it is new."""
    return table[bench.name]["params"] if bench.name in table else bench.small_params


def difference(golden, now):
    """What moved from ``golden`` to ``now``, and by how much; empty if nothing did."""
    moved = [
        f"{name} {golden[name]} -> {now[name]} ({now[name] - golden[name]:+}, {now[name] / golden[name] - 1:+.2%})"
        for name in TIMES
        if now[name] != golden[name]
    ]
    if now["oplog_sha256"] != golden["oplog_sha256"]:
        moved.append(f"oplog_sha256 {golden['oplog_sha256'][:12]} -> {now['oplog_sha256'][:12]}")
    return moved


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("name", list(load_benches()))
def test_no_latency_moves_unexplained(name, topology):
    golden = json.loads(GOLDEN.read_text())
    if name not in golden[topology]:
        pytest.skip(f"bench {name!r} is new and has no golden latency; record one with {WRITE}")
    before = golden[topology][name]
    moved = difference(before, measured(name, topology, before["params"]))
    assert not moved, f"{name} on {topology}: {'; '.join(moved)}: {REWRITE}"


def test_every_golden_latency_is_of_a_bench():
    golden = json.loads(GOLDEN.read_text())
    assert list(golden) == list(TOPOLOGIES)
    assert all(set(table) <= set(load_benches()) for table in golden.values())
    assert len({tuple(table) for table in golden.values()}) == 1


def test_a_moved_latency_is_named_with_how_much_it_moved():
    golden = {"kernel_time_ps": 2000, "device_time_ps": 9000, "oplog_sha256": "a" * 64}
    assert difference(golden, dict(golden)) == []
    now = {**golden, "kernel_time_ps": 2050, "oplog_sha256": "b" * 64}
    assert difference(golden, now) == [
        "kernel_time_ps 2000 -> 2050 (+50, +2.50%)",
        "oplog_sha256 aaaaaaaaaaaa -> bbbbbbbbbbbb",
    ]


def write():
    """Measure everything anew, at the sizes of before or a new bench's small ones, and replace the golden file."""
    golden, benches = json.loads(GOLDEN.read_text()), load_benches()
    table = {
        topology: {name: measured(name, topology, sizes(benches[name], before)) for name in benches}
        for topology, before in golden.items()
    }
    GOLDEN.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python tests/golden/test_latencies.py --write")
    write()
