"""Importing kernbench is cheap, and forces one BLAS thread whichever of it and numpy is imported first."""

import subprocess
import sys

import pytest

import kernbench


def run(code, **variables):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", **variables},
    )
    return done.stdout.split()


def test_import_loads_neither_numpy_nor_anything_of_the_machine():
    code = """
import sys, kernbench
print(*sorted(name for name in sys.modules if name == "numpy" or name.startswith(("kernbench.", "pydantic"))))
"""
    assert run(code) == [
        "kernbench.compiled",
        "kernbench.ending",
        "kernbench.errors",
        "kernbench.threads",
        "kernbench.wording",
    ]


def test_public_names_are_looked_up_when_used():
    from kernbench.device.placement import DPPolicy

    assert kernbench.DPPolicy is DPPolicy
    assert {"DPPolicy", "Tensor", "__version__"} <= set(dir(kernbench))
    assert kernbench.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="module 'kernbench' has no attribute 'nothing'"):
        _ = kernbench.nothing


THREADS = """
import ctypes, glob, numpy, os
for path in glob.glob(os.path.join(os.path.dirname(numpy.__file__), os.pardir, "numpy.libs", "*openblas*")):
    print(ctypes.CDLL(path).scipy_openblas_get_num_threads64_())
"""


@pytest.mark.parametrize("first", ["import kernbench, numpy", "import numpy, kernbench"])
def test_blas_has_one_thread(first):
    assert set(run(first + THREADS, OPENBLAS_NUM_THREADS="2")) <= {"1"}
