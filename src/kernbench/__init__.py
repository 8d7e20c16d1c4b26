"""KernBench: the right tensor and an explained latency, for kernels whose silicon does not exist yet.

Importing it costs next to nothing: one BLAS thread is forced (see :mod:`kernbench.threads`), and each public
name is looked up when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kernbench.threads import force_one_blas_thread

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from kernbench import testing
    from kernbench.bench import Expected, Outcome, run
    from kernbench.lang import tl
    from kernbench.lang.jit import jit
    from kernbench.probe import run_probe
    from kernbench.runtime.context import Context
    from kernbench.runtime.placement import DPPolicy
    from kernbench.runtime.tensor import Tensor
    from kernbench.simulation import Simulation, simulate

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return import_module("importlib.metadata").version("kernbench")
        if name in _MODULES:
            return import_module(f"kernbench.{name}")
        if name in _PUBLIC:
            return getattr(import_module(_PUBLIC[name]), name)
        raise AttributeError(f"module 'kernbench' has no attribute {name!r}")


force_one_blas_thread()

_PUBLIC = {
    "Context": "kernbench.runtime.context",
    "DPPolicy": "kernbench.runtime.placement",
    "Expected": "kernbench.bench",
    "Outcome": "kernbench.bench",
    "Simulation": "kernbench.simulation",
    "Tensor": "kernbench.runtime.tensor",
    "jit": "kernbench.lang.jit",
    "run": "kernbench.bench",
    "run_probe": "kernbench.probe",
    "simulate": "kernbench.simulation",
    "tl": "kernbench.lang",
}
_MODULES = ("testing",)

__all__ = [
    "Context",
    "DPPolicy",
    "Expected",
    "Outcome",
    "Simulation",
    "Tensor",
    "__version__",
    "jit",
    "run",
    "run_probe",
    "simulate",
    "testing",
    "tl",
]


def __dir__() -> list[str]:
    return sorted(__all__)
