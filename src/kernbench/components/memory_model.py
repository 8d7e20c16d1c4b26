"""The seam behind a memory controller: how long a memory is busy with a burst. A new model is one new file."""

from __future__ import annotations

from typing import Protocol

from kernbench.messages.fabric import Transaction
from kernbench.registry import Registry


class MemoryModel(Protocol):
    """One channel's memory. ``latency_ps`` passes between being served and the data being there."""

    latency_ps: int

    def serve(self, transaction: Transaction, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """Occupy the memory with the next ``size_bytes`` of ``transaction``: ``(start_ps, end_ps)``.

        They stream in from ``head_ps`` to ``tail_ps``; the memory may begin at ``head_ps`` and does not end before
        ``tail_ps``. Where they are is in ``transaction.piece``.
        """


class HbmModelFactory(Protocol):
    """Makes a model from the spec of an HBM stack."""

    def __call__(self, spec: object, /) -> MemoryModel: ...


HBM_MODELS: Registry[HbmModelFactory] = Registry(
    "hbm.model", "a function or a class that makes a model", callable
)
