"""The plan of a command, by its kind."""

from __future__ import annotations

from kernbench.components.accumulators import AccumulatorFile
from kernbench.components.tiling.dma import generate_dma_plan
from kernbench.components.tiling.gemm import generate_gemm_plan
from kernbench.components.tiling.math import generate_math_plan
from kernbench.components.tiling.queues import generate_recv_plan, generate_send_plan
from kernbench.config.pe import PeSpec
from kernbench.messages.commands import Command, GemmCmd, IpcqRecvCmd, IpcqSendCmd, MathCmd
from kernbench.messages.tokens import PipelinePlan


def generate_plan(command: Command, pe: PeSpec, acc_state: AccumulatorFile) -> PipelinePlan:
    """The plan of any command that moves or computes."""
    if isinstance(command, GemmCmd):
        return generate_gemm_plan(command, pe, acc_state)
    if isinstance(command, MathCmd):
        return generate_math_plan(command, pe, acc_state)
    if isinstance(command, IpcqSendCmd):
        return generate_send_plan(command, acc_state)
    if isinstance(command, IpcqRecvCmd):
        return generate_recv_plan(command)
    return generate_dma_plan(command, acc_state)
