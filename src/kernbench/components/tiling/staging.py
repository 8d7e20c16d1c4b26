"""Operands and results in memory: they pass TCM tile by tile."""

from __future__ import annotations

from collections.abc import Iterable

from kernbench.components.slicing import Box, slice_access
from kernbench.config.pe import PeSpec
from kernbench.messages.commands import HBM, IMMEDIATE, GemmCmd, MathCmd, Operand
from kernbench.messages.oplog import DMA_READ, DMA_WRITE, FETCH, STORE, OpCode
from kernbench.messages.tokens import Stage, TilePlan


def streams(command: GemmCmd | MathCmd) -> bool:
    """Whether operands or result are in memory, and pass TCM tile by tile."""
    return command.target is not None or HBM in [x.space for x in command.operands]


def staging_room(pe: PeSpec) -> int:
    """Bytes of a streamed tile's operands: with two tiles' operands and a result of twice that, half of the TCM."""
    return pe.tcm.size_bytes // 8


def input_stages(inputs: Iterable[tuple[Operand, Box]]) -> list[Stage]:
    """Read what lies in memory, a descriptor each; then fetch all that is not known to the kernel."""
    reads, fetch_bytes = [], 0
    for operand, box in inputs:
        if operand.space is IMMEDIATE:
            continue
        n_elem = 1
        for start, stop in box:
            n_elem *= stop - start
        fetch_bytes += n_elem * operand.dtype.size_bytes
        if operand.space is HBM:
            assert operand.access is not None
            access = slice_access(operand.access, box)
            size_bytes = n_elem * operand.dtype.size_bytes
            reads.append(Stage(DMA_READ, size_bytes=access.size_bytes, access=access, tcm_bytes=size_bytes))
    return [*reads, Stage(FETCH, size_bytes=fetch_bytes)]


def output_stages(target: Operand | None, box: Box, size_bytes: int) -> list[Stage]:
    """Store a tile's result, and write it on if it goes to memory."""
    store = Stage(STORE, size_bytes=size_bytes)
    if target is None:
        return [store]
    assert target.access is not None
    access = slice_access(target.access, box)
    write = Stage(DMA_WRITE, size_bytes=access.size_bytes, access=access, tcm_bytes=access.size_bytes)
    return [store, write]


def staged_bytes(tile: TilePlan, kind: OpCode) -> int:
    """TCM that a streamed ``tile`` needs for what its stages of ``kind`` (DMA_READ or DMA_WRITE) move."""
    return sum(stage.tcm_bytes for stage in tile.stages if stage.kind is kind)
