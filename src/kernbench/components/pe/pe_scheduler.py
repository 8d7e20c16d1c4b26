"""PE_SCHEDULER: admits commands in program order, starts them when they may, counts their tiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator

from kernbench.components.accumulators import AccumulatorFile
from kernbench.components.advice import FEWER_COMMANDS
from kernbench.components.base import COMPONENTS, Site
from kernbench.components.pipeline import BEHIND, StationUnit
from kernbench.components.ports import CpuPort, IpcqPort, SchedulerPort, port
from kernbench.components.scoreboard import Flight, Scoreboard
from kernbench.components.stream import Issued, ProgramEnd
from kernbench.components.tiling.plan import generate_plan
from kernbench.components.tiling.staging import staged_bytes
from kernbench.config.pe import SchedulerSpec
from kernbench.engine.api import Engine, ProcessBody, Queue
from kernbench.errors import CapacityError
from kernbench.kinds import Cause, Kind, Op
from kernbench.messages.commands import (
    Command,
    DmaReadCmd,
    DmaWriteCmd,
    GemmCmd,
    IpcqRecvCmd,
    IpcqSendCmd,
    MathCmd,
    WaitCmd,
)
from kernbench.messages.ipcq import QueueEnd
from kernbench.messages.oplog import DISPATCH, DMA_READ, DMA_WRITE, NO_CAUSE, OpCode, Row
from kernbench.messages.tokens import PipelineContext, PipelinePlan, TileToken
from kernbench.units import format_bytes

LANES: dict[type[Command], str] = {DmaReadCmd: "load", DmaWriteCmd: "store", GemmCmd: "gemm", MathCmd: "math"}
"""In which lane a command waits for its turn; sends and receives have one for each queue."""


class Lane:
    """Commands of one kind, started in order. ``places`` bounds how many wait.

    ``turned_ps`` is when the last one was free to start, or to go on, because of ``cause``, or because its unit took
    a tile from its full queue (``is_behind``); ``streaming`` the last one whose tiles come from memory.
    """

    __slots__ = ("cause", "flights", "is_behind", "places", "streaming", "turned_ps")

    def __init__(self, engine: Engine, name: str, depth: int) -> None:
        self.flights: Queue[Flight | None] = engine.queue(None, name)
        self.places = engine.credits(depth, f"{name}.places")
        self.turned_ps = 0
        self.cause = NO_CAUSE
        self.is_behind = False
        self.streaming: Flight | None = None


class PeScheduler(StationUnit):
    """One feeder admits commands in program order; a lane for each kind starts them; their last tiles complete them.

    Admission: the dead values' bytes return, TCM for the command is allocated, its plan is made, and it takes
    ``dispatch``. A wait command, which uses no unit, is complete with that. Any other starts when what it needs is
    complete, and no earlier access that it must not overtake is under way; its tiles then go to the first unit of
    their route.
    """

    kind = Kind(
        "pe_scheduler",
        SchedulerSpec,
        part="scheduler",
        gives_to=("pe_cpu", "pe_dma", "pe_fetch_store", "pe_ipcq"),
        records=(
            Op(
                OpCode.DISPATCH, Cause("dispatch", "PE_SCHEDULER plans one command at a time", FEWER_COMMANDS)
            ),
        ),
        role="control",
        place=(0.57, 0.12),
        figures=lambda spec, pe: (f"dispatch {spec.dispatch_ps / 1000:g} ns", f"{spec.tile_queue} tiles"),
    ).declare()
    pe_cpu = port(CpuPort)
    pe_ipcq = port(IpcqPort)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        spec = site.pe_spec
        self.params: SchedulerSpec = site.node.spec
        self.scoreboard = Scoreboard()
        self.accumulators = AccumulatorFile(spec.regfile.accumulators_bytes)
        self.tcm = site.engine.credits(spec.tcm.size_bytes, f"{site.node.name}.tcm")
        self.lanes: dict[Hashable, Lane] = {name: self._new_lane(name) for name in LANES.values()}
        self.freed_by = NO_CAUSE
        self.freed_ps = 0
        self._dispatch_ps = self.params.dispatch_ps
        self._cause = NO_CAUSE  # of the admission under way
        self._ends: deque[int] = deque()

    def inbox_depth(self) -> int | None:
        """``tile_queue`` commands wait before it."""
        return self.site.pe_spec.scheduler.tile_queue

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """The feeder and the lanes."""
        yield "feeder", self.feed()
        for name, lane in self.lanes.items():
            yield f"{name}", self.start_commands(lane)

    def waiting(self) -> Iterator[str]:
        """The commands that are not complete, each with the one it stands behind."""
        for flight in self.scoreboard.flights.values():
            command, context = flight.command, flight.context
            blocker = self.scoreboard.blocker(flight) if context.start_ps < 0 else None
            behind = f", behind {blocker.command.name} of {blocker.command.line}" if blocker else ""
            yield f"{command.line}: {command.name}, {context.n_left} of {context.n_tiles} tiles left{behind}"
        for wanted_bytes in self.tcm.wanted():
            yield f"{format_bytes(wanted_bytes)} of TCM wanted, {format_bytes(self.tcm.free)} free"

    def standing(self) -> tuple[object, ...] | None:
        """Number and tiles left of each command, while none has started but those that a queue may hold up."""
        flights = self.scoreboard.flights.values()
        if any(
            f.context.start_ps >= 0 and not isinstance(f.command, (IpcqSendCmd, IpcqRecvCmd)) for f in flights
        ):
            return None
        return tuple([(f.command.seq, f.context.n_left) for f in flights])

    def _new_lane(self, name: str) -> Lane:
        return Lane(self.engine, f"{self.node.name}.{name}", self.params.tile_queue)

    def _lane_of(self, command: Command) -> Lane:
        if not isinstance(command, (IpcqSendCmd, IpcqRecvCmd)):
            return self.lanes[LANES[type(command)]]
        key = (command.queue, command.name)
        lane = self.lanes.get(key)
        if lane is None:
            name = f"{command.queue.name}.{command.name}"
            lane = self.lanes[key] = self._new_lane(name)
            self.engine.process(self.start_commands(lane), f"{self.node.name}.{name}")
        return lane

    def forget_lanes(self, queue: QueueEnd) -> None:
        """A queue is gone, and with it the lanes of its sends and receives."""
        for key in [(queue, kind.name) for kind in (IpcqSendCmd, IpcqRecvCmd)]:
            lane = self.lanes.pop(key, None)
            if lane is not None:
                lane.flights.put(None)

    def reserve(self, size_bytes: int) -> None:
        """Take ``size_bytes`` of TCM for rings, or give them back (negative), while no command is under way."""
        self.tcm.resize(self.tcm.total - size_bytes)

    # -- the feeder -------------------------------------------------------------------------------------------

    @property
    def last_admission(self) -> Row:
        """The record of the command admitted last: when it was made, the next one was taken."""
        return self.station.last_record

    def feed(self) -> ProcessBody:
        """Take, make room, plan, spend, hand to a lane."""
        while True:
            ticket: Issued | ProgramEnd = yield self.inbox.get()
            if isinstance(ticket, ProgramEnd):
                self._end_program()
                continue
            flight = self._begin(ticket)
            if flight is not None:
                # Mostly there is room: then no generator is made only to find that out.
                if not self.tcm.try_take(flight.need_bytes):
                    yield from self._wait_for_tcm(flight.need_bytes)
                lane = self._lane_of(ticket.command)
                if not lane.places.try_take(1):
                    yield from self._wait_for_place(lane)
                flight.lane = lane
            yield self._dispatch_ps
            self._hand_on(ticket, flight)

    def _end_program(self) -> None:
        station = self.station
        cause = self.freed_by if self.freed_ps > station.free_ps else station.last_record
        self._release(self.scoreboard.alive(), cause)
        self._ends.append(next(reversed(self.scoreboard.flights), -1))
        self._give_back(station.last_record)

    def _begin(self, ticket: Issued) -> Flight | None:
        """Begin with a command; None if it waits only, and uses no unit."""
        command, station = ticket.command, self.station
        self._cause = station.cause(ticket.issued_ps, ticket.record)
        station.begin(self.engine.now_ps)
        # Dead values first: what this command needs may be what it lets go.
        if command.releases:
            self._release(command.releases, self._cause)
        return None if isinstance(command, WaitCmd) else self._admit(command)

    def _admit(self, command: Command) -> Flight:
        plan = generate_plan(command, self.site.pe_spec, self.accumulators)
        self._check_capacity(plan)
        context = PipelineContext(command, len(plan.tiles), self.pe)
        context.unwritten_bytes = plan.written_bytes
        if plan.staging_bytes:
            context.staging = self.engine.credits(plan.staging_bytes, f"{command.line} staging")
        flight = Flight(plan, context, self.engine.signal())
        self.scoreboard.admit(flight)
        return flight

    def _hand_on(self, ticket: Issued, flight: Flight | None) -> None:
        """The command is dispatched: its lane has it, or, if it waits only, it is complete."""
        now_ps = self.engine.now_ps
        self.meter.busy_ps += self._dispatch_ps
        record = self._log(ticket, now_ps - self._dispatch_ps, self._cause)
        self.station.free(now_ps, record)
        if flight is None:
            self.pe_cpu.completed(ticket.command, record)
        else:
            flight.cause, flight.admitted_ps = record, now_ps
            lane: Lane = flight.lane
            lane.flights.put(flight)

    def _check_capacity(self, plan: PipelinePlan) -> None:
        command, live_bytes = plan.command, self.scoreboard.live_bytes
        need_bytes = plan.need_bytes
        if live_bytes + need_bytes > self.tcm.total:
            raise CapacityError(
                f"{command.line}: {command.name} needs {format_bytes(need_bytes)} of TCM beside the "
                f"{format_bytes(live_bytes)} of values alive there, more than its {format_bytes(self.tcm.total)}; "
                "use smaller blocks or drop values earlier"
            )

    def _wait_for_tcm(self, need_bytes: int) -> ProcessBody:
        """Take a command's bytes."""
        asked_ps = self.engine.now_ps
        yield self.tcm.take(need_bytes)
        if self.engine.now_ps > asked_ps:
            self.meter.stall("tcm", self.engine.now_ps - asked_ps)
            self._cause = self.freed_by

    def _wait_for_place(self, lane: Lane) -> ProcessBody:
        """Take a place in ``lane``; mostly the lane's last turn is what made it."""
        asked_ps = self.engine.now_ps
        yield lane.places.take(1)
        self.meter.stall("lane", self.engine.now_ps - asked_ps)
        if lane.turned_ps > asked_ps:
            self._cause = lane.cause

    def _log(self, ticket: Issued, start_ps: int, cause: Row) -> Row:
        command = ticket.command
        return self.log.append(
            self.node.index,
            DISPATCH,
            command.program,
            command.seq,
            -1,
            ticket.issued_ps,
            start_ps,
            self.engine.now_ps,
            -1,
            cause,
            -1,
            -1,
            command.tcm_bytes,
        )

    def _release(self, versions: tuple[int, ...] | list[int], cause: Row) -> None:
        for version in versions:
            self.accumulators.drop(version)
        self.tcm.give(self.scoreboard.release(versions))
        self._free_slots(cause)

    def _free_slots(self, cause: Row) -> None:
        """Tell PE_IPCQ of values that are slots and died, as the record ``cause`` says."""
        freed = self.scoreboard.freed
        if freed:
            for version in freed:
                self.pe_ipcq.release(version, cause)
            freed.clear()

    def _give_back(self, cause: Row) -> None:
        """Behind the last command of a program, credits wait for no batch, as the record ``cause`` says."""
        ends = self._ends
        while ends and ends[0] < next(iter(self.scoreboard.flights), ends[0] + 1):
            ends.popleft()
            self.pe_ipcq.give_back(cause)

    # -- the lanes --------------------------------------------------------------------------------------------

    def start_commands(self, lane: Lane) -> ProcessBody:
        """Take the next command, wait until it may start, feed its tiles."""
        while True:
            flight: Flight | None = yield lane.flights.get()
            if flight is None:
                return
            context = flight.context
            context.cause = lane.cause
            if flight.admitted_ps >= lane.turned_ps:
                context.cause, lane.is_behind = flight.cause, False
            # Asked anew after each: while it waited, a blocker may have come to light that another had hidden.
            while (blocker := self._blocker(lane, flight)) is not None:
                yield blocker.done
                context.cause, lane.is_behind = blocker.context.record, False
            self._start(lane, flight)
            for index, tile in enumerate(flight.plan.tiles):
                token = TileToken(tile, context, index)
                if context.staging is not None:
                    yield from self._wait_for_staging(lane, token)
                if not self._try_feed(lane, token):
                    yield from self._feed_late(lane, token)
            lane.places.give(1)

    def _start(self, lane: Lane, flight: Flight) -> None:
        """Nothing holds the command up any more."""
        if flight.streams:
            lane.streaming = flight
        flight.context.start_ps = lane.turned_ps = self.engine.now_ps
        lane.cause = flight.context.cause

    def _try_feed(self, lane: Lane, token: TileToken) -> bool:
        """Hand a tile to the first unit of its route; False if that has no place."""
        # Behind a tile that filled the unit's queue, this one waits for the unit, not for its command.
        token.cause, token.arrived_ps = BEHIND if lane.is_behind else lane.cause, lane.turned_ps
        return self.unit_at[token.stage.kind].entry(token).try_put(token)

    def _feed_late(self, lane: Lane, token: TileToken) -> ProcessBody:
        """Wait for a place at the first unit of a tile's route."""
        asked_ps = self.engine.now_ps
        yield self.unit_at[token.stage.kind].entry(token).put(token)
        if self.engine.now_ps > asked_ps:
            lane.turned_ps, lane.is_behind = self.engine.now_ps, True

    def _blocker(self, lane: Lane, flight: Flight) -> Flight | None:
        """Whom ``flight`` waits for; tiles that need not come from memory would overtake those that do."""
        streaming = lane.streaming
        if streaming is not None and not streaming.done.is_fired and not flight.streams:
            return streaming
        return self.scoreboard.blocker(flight)

    def _wait_for_staging(self, lane: Lane, token: TileToken) -> ProcessBody:
        """Take the TCM that a tile from memory passes through."""
        context, asked_ps = token.context, self.engine.now_ps
        yield context.staging.take(staged_bytes(token.plan, DMA_READ) + staged_bytes(token.plan, DMA_WRITE))
        if self.engine.now_ps > asked_ps:
            lane.cause, lane.turned_ps, lane.is_behind = context.freed_by, self.engine.now_ps, False

    # -- completion -------------------------------------------------------------------------------------------

    def complete(self, context: PipelineContext) -> None:
        """Take out a command whose tiles are done: commit its value, free what it held, tell who waits."""
        command = context.command
        flight = self.scoreboard.flights[command.seq]
        # A store has committed when its last byte was in memory, a receive when it was matched.
        if context.commit_ps < 0:
            context.commit_ps = self.engine.now_ps
            self.log.commit(context.commit_ps, self.node.index, command.seq, self.pe, command)
        self.freed_by, self.freed_ps = context.record, self.engine.now_ps
        self.tcm.give(self.scoreboard.complete(flight) + flight.plan.staging_bytes)
        self._free_slots(context.record)
        if self._ends:
            self._give_back(context.record)
        flight.done.fire()
        self.pe_cpu.completed(command, context.record)


COMPONENTS.register("pe_scheduler_v1")(PeScheduler)
_: type[SchedulerPort] = PeScheduler  # mypy: it has the face that its neighbours see
