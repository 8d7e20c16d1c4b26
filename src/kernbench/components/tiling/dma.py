"""Plans of loads and stores."""

from __future__ import annotations

from kernbench.components.accumulators import AccumulatorFile
from kernbench.components.tiling.needs import Needs
from kernbench.messages.commands import IMMEDIATE, TCM, Command, DmaReadCmd, DmaWriteCmd, Operand
from kernbench.messages.oplog import DMA_READ, DMA_WRITE, STORE
from kernbench.messages.tokens import PipelinePlan, Stage, TilePlan


def generate_dma_plan(command: Command, acc_state: AccumulatorFile) -> PipelinePlan:
    """One tile, one descriptor. Data that are still in the accumulators are stored to TCM on the way."""
    needs = Needs(command)
    source: tuple[Operand, ...]
    if isinstance(command, DmaReadCmd):
        dma, source = _read_stage(command), command.operands[1:]
    else:
        assert isinstance(command, DmaWriteCmd)
        dma, source = _write_stage(command), command.operands
    stores = [needs.in_tcm(operand, acc_state) for operand in source if operand.space is TCM]
    stages = [Stage(STORE, size_bytes=size) for sizes in stores for size in sizes]
    return needs.plan([TilePlan((*stages, dma))])


def _read_stage(command: DmaReadCmd) -> Stage:
    access, result = command.operands[0].access, command.result
    assert access is not None
    assert result is not None
    active_bytes = access.itemsize
    for extent in access.shape:
        active_bytes *= extent
    filled_bytes = active_bytes if command.fill is None else result.size_bytes
    return Stage(
        DMA_READ,
        size_bytes=access.size_bytes,
        access=access,
        tcm_bytes=max(filled_bytes, access.size_bytes),
    )


def _write_stage(command: DmaWriteCmd) -> Stage:
    access = command.target.access
    assert access is not None
    is_known = command.operands[0].space is IMMEDIATE
    size_bytes = access.size_bytes
    return Stage(DMA_WRITE, size_bytes=size_bytes, access=access, tcm_bytes=0 if is_known else size_bytes)
