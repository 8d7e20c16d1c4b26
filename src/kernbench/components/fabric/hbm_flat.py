"""The flat HBM model: one latency, one rate, one efficiency."""

from __future__ import annotations

from kernbench.components.memory_model import HBM_MODELS
from kernbench.config.machine import HbmSpec
from kernbench.engine import SteadyMemory


@HBM_MODELS.register("flat")
class FlatHbm(SteadyMemory):
    """Serves bursts in order at ``pseudo_channels * pc_bw * flat_eff``; data is there ``flat_latency_ns`` later.

    Banks, refresh and read/write turn-around are in the efficiency: right for long streams (0.92 of peak was
    measured for sequential reads), too fast for small random accesses.
    """

    def __init__(self, spec: object) -> None:
        assert isinstance(spec, HbmSpec)
        super().__init__(spec.flat_latency_ps, spec.sustained_rate)
