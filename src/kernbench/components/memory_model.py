"""The seam behind a memory controller: how long a memory is busy with a burst. A new model is one new file."""

from __future__ import annotations

from typing import Protocol

from kernbench.engine.api import MemoryModel
from kernbench.registry import Registry


class HbmModelFactory(Protocol):
    """Makes a model from the spec of an HBM stack."""

    def __call__(self, spec: object, /) -> MemoryModel: ...


HBM_MODELS: Registry[HbmModelFactory] = Registry(
    "hbm.model", "a function or a class that makes a model", callable
)
