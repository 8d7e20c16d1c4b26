"""Inside a PE: a command becomes a plan of tiles; a tile's token carries its own route through the units."""

from __future__ import annotations

from typing import Any

from kernbench.kinds import OpName
from kernbench.messages.access import Access
from kernbench.messages.commands import Command
from kernbench.messages.ipcq import IpcqDmaToken
from kernbench.messages.oplog import NO_CAUSE


class Stage:
    """One stop of a tile: what is done there, which also says by which kind of unit.

    ``size_bytes`` is what it moves (DMA, FETCH, STORE); ``work`` what it computes: MACs for GEMM, and for MATH
    the visits in ``visits``. ``access`` is what a DMA stage touches, ``tcm_bytes`` what it moves at PE_TCM: more
    than ``size_bytes`` where a load fills or repeats, none where a store's data are known to the kernel. The stage
    behind one that ``is_followed`` computes on the same operand registers.
    """

    __slots__ = ("access", "is_followed", "kind", "size_bytes", "tcm_bytes", "visits", "work")

    def __init__(
        self,
        kind: OpName,
        *,
        size_bytes: int = 0,
        work: int = 0,
        visits: dict[str, int] | None = None,
        access: Access | None = None,
        tcm_bytes: int = 0,
        is_followed: bool = False,
    ) -> None:
        self.kind = kind
        self.size_bytes = size_bytes
        self.work = work
        self.visits = visits
        self.access = access
        self.tcm_bytes = tcm_bytes
        self.is_followed = is_followed


class TilePlan:
    """One tile of work: its extents and its stages, in order. Never changes."""

    __slots__ = ("k", "m", "n", "stages")

    def __init__(self, stages: tuple[Stage, ...], m: int = 0, n: int = 0, k: int = 0) -> None:
        self.stages = stages
        self.m = m
        self.n = n
        self.k = k


class PipelinePlan:
    """A command's tiles, in the order they are fed.

    The first tile starts when the versions in ``after`` and the commands in ``behind`` (by number) are complete.
    ``staging_bytes`` of TCM belong to the command while it runs, ``need_bytes`` are those and its result's;
    ``written_bytes`` go to memory.
    """

    __slots__ = ("after", "behind", "command", "need_bytes", "staging_bytes", "tiles", "written_bytes")

    def __init__(
        self,
        command: Command,
        tiles: tuple[TilePlan, ...],
        *,
        after: tuple[int, ...] = (),
        behind: tuple[int, ...] = (),
        staging_bytes: int = 0,
        written_bytes: int = 0,
    ) -> None:
        self.command = command
        self.tiles = tiles
        self.after = after
        self.behind = behind
        self.staging_bytes = staging_bytes
        self.need_bytes = command.tcm_bytes + staging_bytes
        self.written_bytes = written_bytes


class PipelineContext:
    """Counts the tiles of one command; completes exactly once.

    ``cause`` is the op log record that let the command start, ``record`` the one that completed it; ``commit_ps``
    the commit of its writes, once ``unwritten_bytes`` are zero. ``staging`` is the room of tiles that stream from
    memory (an engine's Credits), ``freed_by`` the record that last gave some back.
    """

    __slots__ = (
        "cause",
        "command",
        "commit_ps",
        "freed_by",
        "n_left",
        "n_tiles",
        "pe",
        "record",
        "staging",
        "start_ps",
        "unwritten_bytes",
    )

    def __init__(self, command: Command, n_tiles: int, pe: int) -> None:
        self.command = command
        self.n_tiles = n_tiles
        self.n_left = n_tiles
        self.pe = pe
        self.cause = NO_CAUSE
        self.start_ps = -1
        self.commit_ps = -1
        self.record = NO_CAUSE
        self.unwritten_bytes = 0
        self.staging: Any = None
        self.freed_by = NO_CAUSE

    def finish_tile(self) -> bool:
        """Count one tile done; True when it was the last."""
        if self.n_left <= 0:
            raise AssertionError(f"command {self.command.seq} completed twice")
        self.n_left -= 1
        return self.n_left == 0


class TileToken:
    """One tile on its way; owned by the unit that holds it.

    ``at`` is its place in ``plan.stages``, ``stage`` what is there (the last, when all are done); ``cause`` the record
    that brought it here; ``asked_ps`` when it came, ``arrived_ps`` when there was room for it as well. ``parcel`` is
    the slot it sends or has received.
    """

    __slots__ = ("arrived_ps", "asked_ps", "at", "cause", "context", "index", "parcel", "plan", "stage")

    def __init__(self, plan: TilePlan, context: PipelineContext, index: int) -> None:
        self.plan = plan
        self.context = context
        self.index = index
        self.at = 0
        self.stage = plan.stages[0]
        self.cause = NO_CAUSE
        self.asked_ps = 0
        self.arrived_ps = 0
        self.parcel: IpcqDmaToken | None = None

    def advance(self) -> None:
        """The stage is done."""
        self.at = at = self.at + 1
        stages = self.plan.stages
        if at < len(stages):
            self.stage = stages[at]
