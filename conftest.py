"""What tests and examples share; those in the docstrings of ``tl`` are lines of a kernel, and run within a program."""

import numpy as np
import pytest

import kernbench as kb
from kernbench import tl


@kb.jit
def _of_examples(x_ptr, y_ptr, run):
    run({"tl": tl, "x_ptr": x_ptr, "y_ptr": y_ptr})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Let an example of ``tl`` find ``x_ptr``, to 1, 2, 3 and 4, and ``y_ptr``, to as many zeros."""
    if isinstance(item, pytest.DoctestItem) and item.name.startswith("kernbench.lang.tl."):
        runtest, failed = item.runtest, []

        def within(names):
            item.dtest.globs.update(names)
            try:
                runtest()
            except BaseException as error:  # a kernel's error would hide what differs
                failed.append(error)

        def run():
            x = np.arange(1, 5, dtype=np.float32)
            kb.testing.run(_of_examples, (1,), [x, np.zeros_like(x)], run=within, mode="data")
            for error in failed:
                raise error

        item.runtest = run
    return (yield)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Let no test read or write the user's cache."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
