"""Same input, same log: in any process, beside any other simulation, however far kernels run ahead (ADR-0018).

Permuting the order of ties may change times, never the values of a race-free program.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from kernbench.bench import load_bench, run
from kernbench.config.load import load_config
from kernbench.device.placement import DPPolicy
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.machine import kernel_runner
from kernbench.simulation import Simulation

GEMM = {"m": 256, "n": 128, "k": 128, "block_m": 32, "block_n": 64, "block_k": 64}
TINY_GEMM = {"m": 64, "n": 64, "k": 96, "block_m": 32, "block_n": 32, "block_k": 32}

IN_ANOTHER_PROCESS = f"""
from kernbench.bench import load_bench, run
print(run("gemm", topology="default", params={GEMM}).oplog_sha256)
"""


def test_gemm_has_one_op_log_in_processes_of_different_hash_seed():
    here = run("gemm", topology="default", params=GEMM).oplog_sha256
    others = [
        subprocess.run(
            [sys.executable, "-c", IN_ANOTHER_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "4242")
    ]
    assert others == [here, here]


@jit
def forcing_kernel(x_ptr, bounds_ptr, y_ptr, BLOCK: tl.constexpr):
    """Sums as many blocks as its bound in memory says, and stores twice the sum where that is positive."""
    pid = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for i in range(tl.load(bounds_ptr + pid)):
        total += tl.load(x_ptr + (pid + i) * BLOCK + at)
    if tl.sum(total, axis=0) > 0:
        total = total * 2.0
    tl.store(y_ptr + pid * BLOCK + at, total)


class ForcingRun:
    """A host program, one step at a time: a copy in, two launches, a copy out."""

    def __init__(self, seed=3, **how):
        self.simulation = Simulation(load_config("tiny"), seed=seed, **how)

    def steps(self):
        torch = self.simulation.torch
        bounds = torch.from_numpy(np.array([1, 3, 2, 4, 1, 2, 3, 1], np.int32)).to("ahbm")
        x = torch.randn(12 * 64, dtype="fp32", policy=DPPolicy(pe="row_wise"))
        y = torch.empty(8 * 64, dtype="fp32", policy=DPPolicy(pe="row_wise"))
        yield
        for _ in range(2):
            torch.launch(forcing_kernel, (8,), (x, bounds, y), {"BLOCK": 64})
            yield
        self.values = y.numpy()
        yield

    @property
    def log(self):
        return self.simulation.machine.log.sha256()


def finished(run):
    for _ in run.steps():
        pass
    return run


def test_two_simulations_that_take_turns_in_one_process_do_not_see_each_other():
    alone, other_alone = finished(ForcingRun(seed=3)), finished(ForcingRun(seed=4))
    first, second = ForcingRun(seed=3), ForcingRun(seed=4)
    for _ in zip(first.steps(), second.steps(), strict=True):
        pass
    assert (first.log, second.log) == (alone.log, other_alone.log)
    assert first.values.tobytes() == alone.values.tobytes()
    assert second.values.tobytes() == other_alone.values.tobytes()
    assert first.values.tobytes() != second.values.tobytes()


@jit
def nesting_kernel(x_ptr, inner, BLOCK: tl.constexpr):
    """Runs ``inner``, a whole simulation, between a load and a store."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    inner()
    tl.store(x_ptr + at, x + 1.0)


def test_a_simulation_inside_a_kernel_of_another_changes_neither():
    def outer(inner):
        simulation = Simulation.of("tiny")
        torch = simulation.torch
        x = torch.zeros(256, dtype="fp32")
        torch.launch(nesting_kernel, (4,), (x, inner), {"BLOCK": 64})
        assert x.numpy().tolist() == [1.0] * 256
        return simulation.machine.log.sha256()

    plain, inside = outer(lambda: None), []
    assert outer(lambda: inside.append(finished(ForcingRun()).log)) == plain
    assert inside == [finished(ForcingRun()).log] * 4


@pytest.mark.parametrize("tie_seed", [1, 2, 3])
def test_permuted_ties_leave_the_values_of_every_bench_alone(small_bench, tie_seed):
    """Which of two arrivals of one instant goes first may move times a little; none is asserted here."""
    bench, params = small_bench
    bits = []
    for seed in (None, tie_seed):
        simulation = Simulation(load_config("tiny"), tie_seed=seed)
        values = bench.params_on(simulation.graph, params)
        outputs = bench.run(simulation.torch, **values).outputs
        bits.append([tensor.numpy().tobytes() for tensor in outputs])
    assert bits[0] == bits[1]


def test_permuted_ties_leave_the_values_of_a_kernel_that_forces_alone():
    runs = [finished(ForcingRun(tie_seed=seed)) for seed in (None, 1, 2, 3)]
    assert len({run.values.tobytes() for run in runs}) == 1


@pytest.mark.parametrize("tie_seed", [1, 2])
def test_permuted_ties_leave_the_op_log_of_one_pe_alone(tie_seed):
    """It contends with nobody: in which order an instant runs changes no time, and the log has an order of its own."""
    logs = set()
    for seed in (None, tie_seed):
        simulation = Simulation(load_config("tiny"), tie_seed=seed)
        bench = load_bench("vector_add")
        bench.run(simulation.torch, **bench.params_on(simulation.graph, bench.small_params | {"pes": 1}))
        simulation.torch.synchronize()
        logs.add(simulation.machine.log.sha256())
    assert len(logs) == 1


def test_the_tie_seed_does_permute_ties():
    """The control of the two tests above: with another order of ties, the log of a contended kernel is another."""
    logs = set()
    for seed in (None, 1, 2, 3):
        simulation = Simulation(load_config("tiny"), tie_seed=seed)
        bench = load_bench("gemm")
        bench.run(simulation.torch, **bench.params_on(simulation.graph, TINY_GEMM))
        simulation.torch.synchronize()
        logs.add(simulation.machine.log.sha256())
    assert len(logs) > 1


@pytest.mark.parametrize("n_commands", [1, 4, 64])
def test_how_far_kernels_run_ahead_changes_no_op_log(monkeypatch, n_commands):
    def logs():
        gemm = run("gemm", topology="tiny", params=TINY_GEMM)
        return gemm.oplog_sha256, finished(ForcingRun()).log

    usual = logs()
    monkeypatch.setattr(kernel_runner, "RUN_AHEAD", n_commands)
    assert logs() == usual


@jit
def traced_kernel(x_ptr, debug, BLOCK: tl.constexpr):
    """Adds one; ``debug`` is called within the kernel."""
    debug()
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at)
    tl.store(x_ptr + at, x + 1.0)


def test_a_kernel_under_a_debugger_has_the_same_op_log():
    def log(debug):
        simulation = Simulation.of("tiny")
        x = simulation.torch.zeros(256, dtype="fp32")
        simulation.torch.launch(traced_kernel, (4,), (x, debug), {"BLOCK": 64})
        simulation.torch.synchronize()
        return simulation.machine.log.sha256()

    lines = []

    def trace(frame, event, _):
        lines.append((frame.f_code.co_name, event))
        return trace

    def begin():
        sys.settrace(trace)
        sys._getframe(1).f_trace = trace

    plain = log(lambda: None)
    before = sys.gettrace()
    try:
        traced = log(begin)
    finally:
        sys.settrace(before)
    assert traced == plain
    assert lines.count(("traced_kernel", "return")) == 4
