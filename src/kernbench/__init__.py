"""KernBench: the right tensor and an explained latency, for kernels whose silicon does not exist yet.

Importing it costs next to nothing: one BLAS thread is forced (see :mod:`kernbench.threads`), the end of the
program waits for what it launches (see :mod:`kernbench.ending`), and each public name is looked up when it is first
used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kernbench.compiled import choose_at_import
from kernbench.ending import wait_at_exit
from kernbench.threads import force_one_blas_thread

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from kernbench import testing
    from kernbench.bench import (
        Expected,
        Outcome,
        Room,
        bench,
        block_of,
        dot_tolerance,
        on_first,
        random_values,
        rounding,
        run,
        side,
    )
    from kernbench.bench.probe import run_probe
    from kernbench.ccl import QueuePair, install_queues
    from kernbench.device.placement import DPPolicy
    from kernbench.dtypes import accumulate_type, as_dtype
    from kernbench.errors import UsageError
    from kernbench.lang import tl
    from kernbench.lang.jit import jit
    from kernbench.limits import limited
    from kernbench.simulation import Simulation, simulate
    from kernbench.torch.context import Context
    from kernbench.torch.tensor import Tensor

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


choose_at_import()
force_one_blas_thread()
wait_at_exit()

_PUBLIC = {
    "Context": "kernbench.torch.context",
    "DPPolicy": "kernbench.device.placement",
    "Expected": "kernbench.bench",
    "Outcome": "kernbench.bench",
    "QueuePair": "kernbench.ccl",
    "Room": "kernbench.bench",
    "Simulation": "kernbench.simulation",
    "Tensor": "kernbench.torch.tensor",
    "UsageError": "kernbench.errors",
    "accumulate_type": "kernbench.dtypes",
    "as_dtype": "kernbench.dtypes",
    "block_of": "kernbench.bench",
    "dot_tolerance": "kernbench.bench",
    "install_queues": "kernbench.ccl",
    "jit": "kernbench.lang.jit",
    "limited": "kernbench.limits",
    "on_first": "kernbench.bench",
    "random_values": "kernbench.bench",
    "rounding": "kernbench.bench",
    "run": "kernbench.bench",
    "run_probe": "kernbench.bench.probe",
    "side": "kernbench.bench",
    "simulate": "kernbench.simulation",
    "tl": "kernbench.lang",
}
_MODULES = ("bench", "testing")  # the former is called as a decorator, too

__all__ = [
    "Context",
    "DPPolicy",
    "Expected",
    "Outcome",
    "QueuePair",
    "Room",
    "Simulation",
    "Tensor",
    "UsageError",
    "__version__",
    "accumulate_type",
    "as_dtype",
    "bench",
    "block_of",
    "dot_tolerance",
    "install_queues",
    "jit",
    "limited",
    "on_first",
    "random_values",
    "rounding",
    "run",
    "run_probe",
    "side",
    "simulate",
    "testing",
    "tl",
]


def __dir__() -> list[str]:
    return sorted(__all__)
