"""Every bench in every mode, and every golden case, on both engines: the same op log, counts and values."""

import json

import pytest

from kernbench.bench import load_benches
from tests.golden.test_latencies import GOLDEN, TOPOLOGIES, measured
from tests.twin.benches import bench

MODES = ("timed", "timing", "data")


@pytest.mark.parametrize("name", list(load_benches()))
def test_a_bench_is_the_same_in_every_mode(twins, some, name):
    params = load_benches()[name].small_params
    answers = twins.agreed(bench, [(name, "tiny", params, mode) for mode in some(MODES)])
    assert answers[0]["values"] == answers[-1]["values"] != []
    assert answers[0]["oplog_sha256"] == answers[len(answers) // 2]["oplog_sha256"]


@pytest.mark.parametrize("name", list(load_benches()))
def test_a_golden_case_has_its_op_log_on_both(twins, some, name):
    golden = json.loads(GOLDEN.read_text())
    cases = [(name, topology, golden[topology][name]["params"]) for topology in some(TOPOLOGIES)]
    assert twins.agreed(measured, cases) == [golden[topology][name] for _, topology, _ in cases]
