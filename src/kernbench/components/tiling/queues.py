"""Plans of sends and receives."""

from __future__ import annotations

from functools import lru_cache

from kernbench.components.accumulators import AccumulatorFile
from kernbench.components.tiling.shares import share
from kernbench.messages.commands import IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.ipcq import parts_of
from kernbench.messages.oplog import DRAIN, IPCQ_COPY, RECV, SLOT, STORE
from kernbench.messages.tokens import PipelinePlan, Stage, TilePlan


def generate_send_plan(command: IpcqSendCmd, acc_state: AccumulatorFile) -> PipelinePlan:
    """A tile for each slot; what of it is still in the accumulators is stored to TCM on the way."""
    (source,) = command.operands
    room = acc_state.to_tcm(source.version, command.seq)
    tiles = _send_tiles(source.size_bytes, command.queue.ring.slot_bytes, sum(room.stores))
    return PipelinePlan(command, tiles, after=(source.version,), behind=room.behind)


@lru_cache(maxsize=1024)
def _send_tiles(size_bytes: int, slot_bytes: int, store_bytes: int) -> tuple[TilePlan, ...]:
    parts = parts_of(size_bytes, slot_bytes)
    tiles = []
    for i, size_bytes in enumerate(parts):
        stages = [Stage(SLOT), Stage(IPCQ_COPY, size_bytes=size_bytes)]
        if store_bytes:
            done, so_far = (i, len(parts)), (i + 1, len(parts))
            stages.insert(0, Stage(STORE, size_bytes=share(store_bytes, done, so_far)))
        tiles.append(TilePlan(tuple(stages)))
    return tuple(tiles)


def generate_recv_plan(command: IpcqRecvCmd) -> PipelinePlan:
    """A tile for each slot: matched, and copied into TCM if that is where the value is to be."""
    assert command.result is not None
    tiles = _recv_tiles(command.result.size_bytes, command.queue.ring.slot_bytes, command.is_copied)
    return PipelinePlan(command, tiles)


@lru_cache(maxsize=1024)
def _recv_tiles(size_bytes: int, slot_bytes: int, is_copied: bool) -> tuple[TilePlan, ...]:
    tiles = []
    for part_bytes in parts_of(size_bytes, slot_bytes):
        copy = (Stage(DRAIN, size_bytes=part_bytes),) if is_copied else ()
        tiles.append(TilePlan((Stage(RECV), *copy)))
    return tuple(tiles)
