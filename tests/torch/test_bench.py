"""The bench's worker is a PyTorch program: over gloo it makes the numbers that it makes here."""

import numpy as np
import pytest

from kernbench.benches.ccl_allreduce import reduction, run, run_on_gloo
from kernbench.dtypes import as_dtype
from kernbench.simulation import simulate


@pytest.mark.parametrize("op", ["SUM", "MAX"])
def test_gloo_makes_of_the_benchs_vectors_what_the_bench_makes(op):
    with simulate("tiny", mode="data") as simulation:
        outcome = run(simulation.torch, world_size=4, n=100, dtype="int32", op=op)
        ours = [x.numpy() for x in outcome.outputs]
    with simulate("tiny", mode="data") as simulation:
        torch = simulation.torch  # the same random numbers again
        given = [torch.randint(-8, 8, (100,), dtype=torch.int32, device="host").numpy() for _ in range(4)]
    theirs = run_on_gloo(given, op)
    assert np.array_equal(np.stack(ours), np.stack(theirs))


def test_gloo_keeps_the_benchs_tolerance():
    stream = np.random.default_rng(1)
    given = [stream.standard_normal(1000).astype(np.float32) for _ in range(3)]
    wanted = reduction(given, as_dtype("fp32"), "AVG")
    for found in run_on_gloo(given, "AVG"):
        assert (np.abs(found - wanted.values) <= wanted.tolerance).all()
