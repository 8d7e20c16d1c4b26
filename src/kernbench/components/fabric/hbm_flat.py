"""The flat HBM model: one latency, one rate, one efficiency."""

from __future__ import annotations

from kernbench.components.memory_model import HBM_MODELS
from kernbench.config.machine import HbmSpec
from kernbench.engine import Server
from kernbench.messages.fabric import Transaction


@HBM_MODELS.register("flat")
class FlatHbm:
    """Serves bursts in order at ``pseudo_channels * pc_bw * flat_eff``; data is there ``flat_latency_ns`` later.

    Banks, refresh and read/write turn-around are in the efficiency: right for long streams (0.92 of peak was
    measured for sequential reads), too fast for small random accesses.
    """

    def __init__(self, spec: object) -> None:
        assert isinstance(spec, HbmSpec)
        self.latency_ps = spec.flat_latency_ps
        self.server = Server(spec.sustained_rate)

    def serve(self, transaction: Transaction, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """See :class:`~kernbench.engine.api.MemoryModel`."""
        return self.server.stream(head_ps, tail_ps, size_bytes)
