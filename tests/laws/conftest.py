"""Every registered bench at its small sizes: ``small_bench`` makes a test one test for each."""

from typing import Any, NamedTuple

import pytest

from kernbench.bench import Bench, load_benches


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
        metafunc.parametrize("small_bench", list(load_benches()), indirect=True)


@pytest.fixture
def small_bench(request):
    """A bench and its small sizes; one that registered none is an error of its own tests."""
    bench = load_benches()[request.param]
    return SmallBench(bench, bench.small_params)
