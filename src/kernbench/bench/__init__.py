"""Benches: host programs with kernels, parameters and references; and what runs and judges them.

Who writes a bench needs the names of this package alone; probes and collectives are benches of a kind of their own.
Each name is looked up when it is first used: theory of collectives needs none of what runs them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from kernbench.bench.fit import Room, block_of, on_first, side
    from kernbench.bench.outcome import Array, Expected, Outcome, dot_tolerance, random_values, rounding
    from kernbench.bench.registry import BENCHES, FOLLOWS, Bench, bench, load_bench, load_benches
    from kernbench.bench.runner import run
    from kernbench.runs.result import Check, RunResult
    from kernbench.simulation import MODES
else:

    def __getattr__(name: str) -> Any:
        if name in _PUBLIC:
            return getattr(import_module(_PUBLIC[name]), name)
        raise AttributeError(f"module 'kernbench.bench' has no attribute {name!r}")


_PUBLIC = {
    "Array": "kernbench.bench.outcome",
    "BENCHES": "kernbench.bench.registry",
    "Bench": "kernbench.bench.registry",
    "Check": "kernbench.runs.result",
    "Expected": "kernbench.bench.outcome",
    "FOLLOWS": "kernbench.bench.registry",
    "MODES": "kernbench.simulation",
    "Outcome": "kernbench.bench.outcome",
    "Room": "kernbench.bench.fit",
    "RunResult": "kernbench.runs.result",
    "bench": "kernbench.bench.registry",
    "block_of": "kernbench.bench.fit",
    "dot_tolerance": "kernbench.bench.outcome",
    "load_bench": "kernbench.bench.registry",
    "load_benches": "kernbench.bench.registry",
    "on_first": "kernbench.bench.fit",
    "random_values": "kernbench.bench.outcome",
    "rounding": "kernbench.bench.outcome",
    "run": "kernbench.bench.runner",
    "side": "kernbench.bench.fit",
}

__all__ = [
    "BENCHES",
    "FOLLOWS",
    "MODES",
    "Array",
    "Bench",
    "Check",
    "Expected",
    "Outcome",
    "Room",
    "RunResult",
    "bench",
    "block_of",
    "dot_tolerance",
    "load_bench",
    "load_benches",
    "on_first",
    "random_values",
    "rounding",
    "run",
    "side",
]


def __dir__() -> list[str]:
    return sorted(__all__)


class _Decorator(ModuleType):
    """``kb.bench`` is this module, as Python has it, and the decorator: ``@kb.bench("gemm")``."""

    def __call__(
        self, name: str, **options: Any
    ) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
        from kernbench.bench.registry import bench

        return bench(name, **options)


sys.modules[__name__].__class__ = _Decorator
