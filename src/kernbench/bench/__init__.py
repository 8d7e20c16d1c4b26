"""Benches: host programs with kernels, parameters and references; and what runs and judges them.

Who writes a bench needs the names of this package alone; probes and collectives are benches of a kind of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kernbench.bench.fit import Room, block_of, on_first, side
from kernbench.bench.outcome import Array, Expected, Outcome, dot_tolerance, random_values, rounding
from kernbench.bench.registry import BENCHES, FOLLOWS, Bench, bench, load_bench, load_benches
from kernbench.bench.runner import run
from kernbench.runs.result import Check, RunResult
from kernbench.simulation import MODES

__all__ = [
    "BENCHES",
    "MODES",
    "Array",
    "Bench",
    "Check",
    "Expected",
    "FOLLOWS",
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


class _Decorator(ModuleType):
    """``kb.bench`` is this module, as Python has it, and the decorator: ``@kb.bench("gemm")``."""

    def __call__(
        self, name: str, **options: Any
    ) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
        return bench(name, **options)


sys.modules[__name__].__class__ = _Decorator
