"""PE_CPU: runs the programs of a launch, one after the other, and issues their commands."""

from __future__ import annotations

from collections.abc import Iterator

from kernbench.components.advice import FEWER_COMMANDS, MORE_IN_A_LAUNCH
from kernbench.components.base import COMPONENTS, Site
from kernbench.components.pipeline import StationUnit
from kernbench.components.ports import CpuPort, SchedulerPort, port
from kernbench.components.stream import CommandStream, Force, Issued, ProgramEnd, Test
from kernbench.config.pe import PeCpuSpec
from kernbench.engine.api import ProcessBody, Signal
from kernbench.kinds import Cause, Kind, Op
from kernbench.messages.commands import Command
from kernbench.messages.fabric import LaunchMsg
from kernbench.messages.oplog import END, ISSUE, NO_CAUSE, READBACK, START, OpCode, Row
from kernbench.wording import plural

LEAST_LOOK_PS = 1_000  # at a clock that stands still, where a readback costs nothing


class PeCpu(StationUnit):
    """Takes a launch, pays ``start``, issues each command of each program at ``issue``, and reports the end.

    The next program issues when the last command of the one before is issued. A forced value is waited for and read
    back at ``readback``, which is also the price of a test; a wait, a send or a receive that blocks waits without
    reading. Who has read the clock and reads it again at the same instant pays that as well, so that a loop until some
    time ends. A launch ends when all its commands are complete, stores
    in memory included.
    """

    kind = Kind(
        "pe_cpu",
        PeCpuSpec,
        part="cpu",
        gives_to=("niu", "pe_scheduler"),
        records=(
            Op(OpCode.START, Cause("kernel start", "PE_CPU starts once per launch", MORE_IN_A_LAUNCH)),
            Op(OpCode.ISSUE, Cause("command issue", "PE_CPU issues one command at a time", FEWER_COMMANDS)),
            Op(
                READBACK,
                Cause(
                    "readback",
                    "the kernel needed a value or looked for a completion",
                    "need the value later, or keep the decision in a mask",
                    {"test": "wait once with tl.wait"},
                ),
                waits="always",
            ),
            Op(OpCode.END, Cause("kernel end", "PE_CPU waited behind the last completion"), waits="always"),
        ),
        role="control",
        place=(0.10, 0.12),
        figures=lambda spec, pe: (f"issue {spec.issue_ps / 1000:g} ns", f"start {spec.start_ps / 1000:g} ns"),
    ).declare()
    pe_scheduler = port(SchedulerPort)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: PeCpuSpec = site.node.spec
        self.n_in_flight = 0
        self._issue_ps = self.params.issue_ps
        self._unmade: set[int] = set()
        self._wanted: tuple[int, ...] | None = ()
        self._bell: Signal | None = None
        self._last_completion = NO_CAUSE
        self._waits_for: str | Command | Force = ""

    def waiting(self) -> Iterator[str]:
        """The launch under way, if any."""
        asked = self._waits_for
        if isinstance(asked, Command):
            asked = f"{asked.name} at {asked.line}"
        elif isinstance(asked, Force):
            asked = "a value the kernel needs"
        if asked:
            yield f"waits for {asked}; {plural(self.n_in_flight, 'command')} not complete"

    def standing(self) -> tuple[object, ...] | None:
        """Commands not complete, while it waits for one."""
        return (self.n_in_flight,) if self._waits_for else None

    def processes(self) -> Iterator[tuple[str, ProcessBody]]:
        """The core."""
        yield "core", self.run()

    def completed(self, command: Command, record: Row) -> None:
        """PE_SCHEDULER says: ``command`` is complete, as ``record`` says."""
        self.n_in_flight -= 1
        result = command.result
        if result is not None:
            self._unmade.discard(result.version)
        self._last_completion = record
        if self._bell is not None and self._has(self._wanted):
            bell, self._bell = self._bell, None
            bell.fire()

    def _has(self, wanted: tuple[int, ...] | None) -> bool:
        """Whether the versions in ``wanted``, or all commands (None), are complete."""
        return self.n_in_flight == 0 if wanted is None else self._unmade.isdisjoint(wanted)

    def run(self) -> ProcessBody:
        """Take a launch, run its programs, report."""
        while True:
            launch: LaunchMsg = yield self.inbox.get()
            ready_ps = self.engine.now_ps
            self.station.begin(ready_ps)
            yield self.params.start_ps
            self._log(START, ready_ps, ready_ps, NO_CAUSE)
            for program in launch.programs[self.pe]:
                yield from self._run_program(program)
            yield from self._drain()
            self.report_done(launch.job, launch.reply_to)

    def _run_program(self, program: CommandStream) -> ProcessBody:
        number, commands = -1, self.pe_scheduler.inbox
        while (asked := program.next_item()) is not None:
            if isinstance(asked, Command):
                number = asked.program
                yield self._issue_ps
                ticket = self._issued(asked)
                if not commands.try_put(ticket):
                    yield from self._hand_over(ticket)
                if asked.awaits is not None:
                    yield from self._read_back(asked.awaits, 0, number, asked)
            elif isinstance(asked, Test):
                yield from self._test(asked, number)
            elif isinstance(asked, Force):
                yield from self._read_back((asked.version,), self.params.readback_ps, number, asked)
            elif asked.known_ps == self.engine.now_ps:
                yield from self._look_again(number)
            # Else a Clock only wants to know that its answer is due; asking for the next item says so.
        yield from self._hand_over(ProgramEnd(number))

    def _test(self, asked: Test, program: int) -> ProcessBody:
        """Look at a completion, at the price of a readback."""
        start_ps = self.engine.now_ps
        yield self.params.readback_ps
        asked.is_done = asked.version not in self._unmade
        cause = self.station.last_record
        self._log(READBACK, start_ps, start_ps, cause, program, -1, asked.version)

    def _look_again(self, program: int) -> ProcessBody:
        """Look at the clock until it has moved, at the price of a readback."""
        start_ps = self.engine.now_ps
        yield max(self.params.readback_ps, LEAST_LOOK_PS)
        self._log(READBACK, start_ps, start_ps, self.station.last_record, program)

    def _issued(self, command: Command) -> Issued:
        now_ps, result = self.engine.now_ps, command.result
        start_ps, cause = now_ps - self._issue_ps, self.station.last_record
        record = self._log(ISSUE, start_ps, start_ps, cause, command.program, command.seq)
        self.n_in_flight += 1
        if result is not None:
            self._unmade.add(result.version)
        return Issued(command, record, now_ps)

    def _hand_over(self, ticket: Issued | ProgramEnd) -> ProcessBody:
        asked_ps, scheduler = self.engine.now_ps, self.pe_scheduler
        self._waits_for = "a place in the command queue"
        yield scheduler.inbox.put(ticket)
        self._waits_for = ""
        if self.engine.now_ps > asked_ps:
            self.meter.stall("queue", self.engine.now_ps - asked_ps)
            self.station.last_record = scheduler.last_admission

    def _read_back(
        self, versions: tuple[int, ...], cost_ps: int, program: int, asked: Command | Force
    ) -> ProcessBody:
        ready_ps = self.engine.now_ps
        waited = False
        self._waits_for = asked
        if not self._has(versions):
            waited = True
            yield self._ring(versions)
        self._waits_for = ""
        start_ps = self.engine.now_ps
        self.meter.stall("value", start_ps - ready_ps)
        cause = self._last_completion if waited else self.station.last_record
        if cost_ps:
            yield cost_ps
        self._log(READBACK, ready_ps, start_ps, cause, program, -1, max(versions, default=-1))

    def _drain(self) -> ProcessBody:
        ready_ps, cause = self.engine.now_ps, self.station.last_record
        self._waits_for = "its last commands"
        if self.n_in_flight:
            yield self._ring(None)
            cause = self._last_completion
        self._waits_for = ""
        self.meter.stall("drain", self.engine.now_ps - ready_ps)
        record = self._log(END, ready_ps, self.engine.now_ps, cause)
        self.station.free(self.engine.now_ps, record)

    def _ring(self, wanted: tuple[int, ...] | None) -> Signal:
        """What to yield to wait until ``wanted`` are complete."""
        self._wanted = wanted
        self._bell = self.engine.signal()
        return self._bell

    def _log(
        self,
        op: OpCode,
        ready_ps: int,
        start_ps: int,
        cause: Row,
        program: int = -1,
        command: int = -1,
        version: int = -1,
    ) -> Row:
        """Record what ends now, and count it as busy time."""
        now_ps = self.engine.now_ps
        self.meter.busy_ps += now_ps - start_ps
        record = self.log.append(
            self.node.index,
            op,
            program,
            command,
            -1,
            ready_ps,
            start_ps,
            now_ps,
            -1,
            cause,
            version,
        )
        self.station.last_record = record
        return record


COMPONENTS.register("pe_cpu_v1")(PeCpu)
_: type[CpuPort] = PeCpu  # mypy: it has the face that its neighbours see
