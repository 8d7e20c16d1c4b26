"""What the units of a PE's pipeline share: one piece of work at a time, its record, and the way to the next unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kernbench.components.base import Component, Site
from kernbench.components.meter import Meter
from kernbench.components.ports import FetchStorePort, SchedulerPort, TcmPort, TilePort, port
from kernbench.components.tiling.staging import staged_bytes
from kernbench.engine.api import Inlet, ProcessBody
from kernbench.kinds import UNIT_OF, OpName
from kernbench.messages.oplog import NO_CAUSE, NO_MARKS, OpCode, Row, op_codes
from kernbench.messages.tokens import PipelineContext, TileToken
from kernbench.units import transfer_ps

NEVER = 1 << 62  # ps; longer than any run
BEHIND: Final = Row(-1)  # a token's cause: the work before it at its unit, whose record is not written yet


class Station:
    """A place where one piece of work is done at a time, and its meter: busy, stalled and idle add up to the time.

    ``free_ps`` is when it could last have begun something new; ``last_record`` what it finished before that.
    """

    __slots__ = ("_resting_from_ps", "free_ps", "last_record", "meter")

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.free_ps = 0
        self.last_record = NO_CAUSE
        self._resting_from_ps = 0

    def begin(self, now_ps: int, came_ps: int = NEVER, cause: str = "") -> None:
        """End of a rest: work begins. If it came at ``came_ps`` and had to wait for ``cause``, that was a stall."""
        rest_ps = now_ps - self._resting_from_ps
        if rest_ps > 0:
            stalled_ps = min(rest_ps, max(0, now_ps - came_ps))
            if stalled_ps > 0:
                self.meter.stall(cause, stalled_ps)
            self.meter.idle_ps += rest_ps - stalled_ps
        self._resting_from_ps = NEVER

    def free(self, now_ps: int, record: Row) -> None:
        """End of work, whose record is ``record``."""
        self.free_ps = self._resting_from_ps = now_ps
        self.last_record = record

    def worked(self, begin_ps: int, now_ps: int) -> int:
        """Count work that overlapped with the work before it as if it had begun behind that; when that was."""
        start_ps = max(begin_ps, self.free_ps)
        self.begin(start_ps)
        self.meter.busy_ps += now_ps - start_ps
        return start_ps

    def settle(self, now_ps: int) -> None:
        """Count a rest up to now."""
        if self._resting_from_ps < NEVER:
            self.meter.idle_ps += now_ps - self._resting_from_ps
            self._resting_from_ps = now_ps

    def cause(self, ready_ps: int, cause: Row) -> Row:
        """What let work begin that was ready at ``ready_ps`` because of ``cause``: that, or the work before it."""
        return self.last_record if cause is BEHIND or self.free_ps > ready_ps else cause


class StationUnit(Component):
    """A unit that works at one place, its ``station``; ``unit_at`` is the neighbour that does a stage of a tile."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.station = Station(self.meter)
        self.unit_at: dict[OpName, TilePort] = {}

    # Any: those of its neighbours that do stages have a TilePort.
    def connect(self, neighbours: Mapping[str, Any]) -> None:
        """Bind the ports, and find who does which stage."""
        super().connect(neighbours)
        self.unit_at = {stage: neighbours[kind] for stage, kind in UNIT_OF.items() if kind in neighbours}

    def meters(self) -> Iterator[tuple[str, Meter]]:
        """The only one, brought up to the present instant."""
        self.station.settle(self.engine.now_ps)
        yield "", self.meter


class PipelineUnit(StationUnit):
    """Takes tile tokens, does their stage and passes them on."""

    pe_scheduler = port(SchedulerPort)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.codes = op_codes(site.pe_spec)

    def inbox_depth(self) -> int | None:
        """``tile_queue`` tiles wait before a unit."""
        return self.site.pe_spec.scheduler.tile_queue

    def entry(self, token: TileToken) -> Inlet[TileToken]:
        """The queue in which ``token`` waits for its stage here."""
        return self.inbox

    def log_stage(
        self,
        token: TileToken,
        station: Station,
        start_ps: int,
        va: int = -1,
        marks: tuple[int, ...] = NO_MARKS,
    ) -> Row:
        """Log the stage that began at ``start_ps``; the token is at its next one then, at the same unit still."""
        now_ps = self.engine.now_ps
        stage, context = token.stage, token.context
        command = context.command
        is_last = token.at + 1 == len(token.plan.stages)
        commit_ps = -1
        if is_last and context.n_left == 1:
            commit_ps = now_ps if context.commit_ps < 0 else context.commit_ps
        record = self.log.append(
            self.node.index,
            self.codes[stage.kind],
            command.program,
            command.seq,
            token.index,
            token.arrived_ps,
            start_ps,
            now_ps,
            commit_ps,
            station.cause(token.arrived_ps, token.cause),
            -1 if command.result is None else command.result.version,
            va,
            stage.size_bytes,
            stage.work,
            marks,
        )
        # Before it is handed on, as the token may be taken there in this same instant.
        token.advance()
        token.cause, token.arrived_ps = record, now_ps
        station.free(now_ps, record)
        return record

    def try_pass_on(self, token: TileToken, record: Row) -> bool:
        """Hand the token to the unit of its next stage, or count its tile as done; False if that unit has no place."""
        if token.at < len(token.plan.stages):
            return self.unit_at[token.stage.kind].entry(token).try_put(token)
        if token.context.finish_tile():
            token.context.record = record
            self.pe_scheduler.complete(token.context)
        return True

    def pass_on_late(self, token: TileToken, station: Station, record: Row) -> ProcessBody:
        """Wait for a place at the unit of the token's next stage."""
        now_ps = self.engine.now_ps
        yield self.unit_at[token.stage.kind].entry(token).put(token)
        if self.engine.now_ps > now_ps:
            station.meter.stall("downstream", self.engine.now_ps - now_ps)
            station.free(self.engine.now_ps, record)

    def commit(self, context: PipelineContext) -> None:
        """The memory effect or the value of a command takes hold now, be its last tile done or not."""
        context.commit_ps = now_ps = self.engine.now_ps
        self.log.commit(now_ps, self.pe_scheduler.node.index, context.command.seq, self.pe, context.command)


class TcmUnit(PipelineUnit):
    """Moves data into TCM, or out of it."""

    pe_tcm = port(TcmPort)

    def read_out(self, size_bytes: int) -> tuple[int, int]:
        """Read ``size_bytes`` of TCM from now on: when the last one is out, and over how long they stream."""
        now_ps = self.engine.now_ps
        tail_ps = self.pe_tcm.read(size_bytes, now_ps, now_ps)
        return tail_ps, transfer_ps(size_bytes, self.site.pe_spec.tcm.read_rate)

    def free_staging(self, token: TileToken, kind: OpCode, record: Row) -> None:
        """Give back the TCM that a streamed tile's stages of ``kind`` used, as ``record`` says."""
        context = token.context
        if context.staging is not None:
            context.freed_by = record
            context.staging.give(staged_bytes(token.plan, kind))


class ComputeUnit(PipelineUnit):
    """Works from registers to registers, one tile at a time; what a tile costs is all that a unit adds."""

    pe_fetch_store = port(FetchStorePort)

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """The one process of the unit."""
        yield "tiles", self.run()

    def run(self) -> ProcessBody:
        """Take, compute, pass on; the operands' registers are free for the next tile but one."""
        while True:
            token: TileToken = yield self.inbox.get()
            busy_ps = self._begin(token)
            yield busy_ps
            if not self._end(token, busy_ps):
                yield from self.pass_on_late(token, self.station, self.station.last_record)

    def _begin(self, token: TileToken) -> int:
        """Begin to compute a tile; the time that takes."""
        station, now_ps = self.station, self.engine.now_ps
        station.begin(now_ps)
        return self.busy_ps(token, dry=now_ps > station.free_ps or station.last_record is NO_CAUSE)

    def _end(self, token: TileToken, busy_ps: int) -> bool:
        """The tile that took ``busy_ps`` is computed: log it, and pass it on if there is a place."""
        self.meter.busy_ps += busy_ps
        is_last = not token.stage.is_followed
        record = self.log_stage(token, self.station, self.engine.now_ps - busy_ps)
        # Before all else: a fetch that waits for them goes before what waits for the command.
        if is_last:
            self.pe_fetch_store.free_operands(record)
        return self.try_pass_on(token, record)

    def busy_ps(self, token: TileToken, *, dry: bool) -> int:
        """Time ``token`` occupies the unit, which had run ``dry`` or not."""
        raise AssertionError(f"{type(self).__name__} states no cost")
