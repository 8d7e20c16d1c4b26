"""One BLAS thread: the bits of a matrix product depend on the number of threads, and "equal" must mean equal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Each BLAS that numpy may be built with reads its own variable, once, when it is loaded.
VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)
# What the OpenBLAS inside numpy's wheels calls the function; the name depends on its build.
SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads")


def force_one_blas_thread() -> None:
    """Make every BLAS call of this process use one thread.

    Through the environment when numpy is not loaded yet; else through the library that it has loaded. (A
    numpy of another make than the published wheels, imported first, keeps its threads: values are then the
    same in all modes of one process, but may differ from those of another machine.)
    """
    for variable in VARIABLES:
        os.environ[variable] = "1"
    if "numpy" in sys.modules:
        for library in _loaded_openblas(Path(sys.modules["numpy"].__file__ or "").parent):
            _set_one_thread(library)


def _loaded_openblas(numpy_folder: Path) -> list[Path]:
    folders = (numpy_folder.parent / "numpy.libs", numpy_folder / ".dylibs")
    return [path for folder in folders for path in sorted(folder.glob("*openblas*"))]


def _set_one_thread(library: Path) -> None:
    import ctypes  # takes milliseconds, which `kernbench --help` need not spend

    loaded = ctypes.CDLL(str(library))
    for name in SETTERS:
        setter = getattr(loaded, name, None)
        if setter is not None:
            setter(1)
            return
