"""Every registered bench at a small size: ``small_bench`` makes a test one test for each."""

from typing import Any, NamedTuple

import pytest

from kernbench.bench import Bench, load_benches

SMALL = {
    "ccl_allreduce": {"world_size": 3, "n": 100},
    "gemm": {"m": 64, "n": 96, "k": 64, "block_m": 32, "block_n": 32, "block_k": 32},
    "halo_exchange": {"block": 8, "steps": 3},
    "hello_send": {"n": 100},
    "ping_pong": {"n": 100, "rounds": 2},
    "qkv_gemm": {"tokens": 32, "width": 64, "block_m": 16, "block_n": 16, "block_k": 32},
    "softmax": {"rows": 9, "columns": 100},
    "stream": {"messages": 7, "n": 300, "slots": 3},
    "vector_add": {"n": 1000, "block": 128},
}
"""What makes a bench small, by its name; a new bench needs an entry."""


class SmallBench(NamedTuple):
    bench: Bench
    params: dict[str, Any]

    def typed(self, dtype: str) -> dict[str, Any]:
        """The parameters with ``dtype``; a bench that has none of its own is its own at fp32."""
        if "dtype" in self.bench.parameters:
            return {**self.params, "dtype": dtype}
        if dtype != "fp32":
            pytest.skip(f"{self.bench.name} has one dtype")
        return self.params


def pytest_generate_tests(metafunc):
    """One test for each bench that is registered."""
    if "small_bench" in metafunc.fixturenames:
        benches = load_benches()
        assert set(benches) == set(SMALL), "give the new bench a small size in tests/laws/conftest.py"
        small = [SmallBench(benches[name], SMALL[name]) for name in benches]
        metafunc.parametrize("small_bench", small, ids=list(benches))
