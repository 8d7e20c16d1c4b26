"""Every registered bench at a small size: ``small_bench`` makes a test one test for each."""

from typing import Any, NamedTuple

from kernbench.bench import Bench, load_benches

SMALL = {
    "gemm": {"m": 64, "n": 96, "k": 64, "block_m": 32, "block_n": 32, "block_k": 32},
    "qkv_gemm": {"tokens": 32, "width": 64, "block_m": 16, "block_n": 16, "block_k": 32},
    "softmax": {"rows": 9, "columns": 100},
    "vector_add": {"n": 1000, "block": 128},
}
"""What makes a bench small, by its name; a new bench needs an entry."""


class SmallBench(NamedTuple):
    bench: Bench
    params: dict[str, Any]


def pytest_generate_tests(metafunc):
    """One test for each bench that is registered."""
    if "small_bench" in metafunc.fixturenames:
        benches = load_benches()
        assert set(benches) == set(SMALL), "give the new bench a small size in tests/laws/conftest.py"
        small = [SmallBench(benches[name], SMALL[name]) for name in benches]
        metafunc.parametrize("small_bench", small, ids=list(benches))
