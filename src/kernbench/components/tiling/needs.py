"""What a plan has to wait for, and the finished plan."""

from __future__ import annotations

from collections.abc import Sequence

from kernbench.components.accumulators import AccumulatorFile, Eviction
from kernbench.components.tiling.staging import staged_bytes
from kernbench.messages.commands import TCM, Command, DmaWriteCmd, Operand
from kernbench.messages.oplog import DMA_READ, DMA_WRITE
from kernbench.messages.tokens import PipelinePlan, TilePlan


class Needs:
    """What a plan has to wait for, collected while it is made."""

    def __init__(self, command: Command) -> None:
        self.command = command
        versions = [x.version for x in command.operands if x.space is TCM]
        versions += command.depends
        self.after = dict.fromkeys(versions)
        self.behind: dict[int, None] = {}

    def in_tcm(self, operand: Operand, acc_state: AccumulatorFile) -> tuple[int, ...]:
        """Bytes to store so that ``operand`` is in TCM."""
        if operand.space is not TCM:
            return ()
        room = acc_state.to_tcm(operand.version, self.command.seq)
        if room.behind:
            self.behind |= dict.fromkeys(room.behind)
        return room.stores

    def room(self, room: Eviction, stores: list[int]) -> None:
        """Wait for ``room``."""
        self.behind |= dict.fromkeys(room.behind)
        stores += room.stores

    def chained(self, version: int) -> None:
        """PE_GEMM works in order: its accumulator is ready when its turn comes."""
        self.after.pop(version, None)

    def plan(self, tiles: Sequence[TilePlan], *, is_streamed: bool = False) -> PipelinePlan:
        """The finished plan. A product or an op that streams from memory stages two tiles' operands and one result."""
        command = self.command
        staging_bytes = written_bytes = 0
        if isinstance(command, DmaWriteCmd):
            written_bytes = tiles[0].stages[-1].size_bytes
        elif is_streamed:
            written_bytes = sum(
                stage.size_bytes for tile in tiles for stage in tile.stages if stage.kind is DMA_WRITE
            )
            read = max(staged_bytes(tile, DMA_READ) for tile in tiles)
            written = max(staged_bytes(tile, DMA_WRITE) for tile in tiles)
            staging_bytes = 2 * read + written
        self.behind.pop(command.seq, None)
        return PipelinePlan(
            command,
            tuple(tiles),
            after=tuple(self.after),
            behind=tuple(self.behind),
            staging_bytes=staging_bytes,
            written_bytes=written_bytes,
        )
