"""Runs plain Python kernels, one greenlet per program, ahead of the PE_CPU that issues their commands.

A program is seen from two sides: by the kernel language as its port, by PE_CPU as a stream of commands. It runs
ahead by up to ``RUN_AHEAD`` commands, which changes no simulated time; it is switched to when its stream runs dry,
and back when it is that far ahead, when it forces a value, reads the clock, or ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from greenlet import getcurrent, greenlet

from kernbench.components.stream import Clock, Force, Test
from kernbench.cpu_time import LANGUAGE, CpuTime
from kernbench.errors import ForcedValueError
from kernbench.lang.scope import Scope
from kernbench.lang.visible import place
from kernbench.machine.polls import Changes, Polls
from kernbench.memory.replay import Array, DataExecutor
from kernbench.memory.watch import Thread
from kernbench.messages.commands import Command
from kernbench.messages.ipcq import RankSite
from kernbench.messages.lines import CommandLines
from kernbench.messages.owners import LaunchId
from kernbench.messages.source_line import SourceLine
from kernbench.units import format_ps
from kernbench.wording import plural

RUN_AHEAD = 64  # commands; bounds memory, not time
VERSIONS_PER_PE = 1 << 40


class PeCounters:
    """Command numbers and version ids of one PE, shared by all programs that run on it."""

    __slots__ = ("next_version", "pe", "seq")

    def __init__(self, pe: int) -> None:
        self.pe = pe
        self.seq = 0
        self.next_version = pe * VERSIONS_PER_PE


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a program is, and what it shares: with its launch, with its PE (``counters``), with all (``changes``).

    The fields from ``pe_name`` to ``launch`` are those of :class:`~kernbench.lang.port.KernelPort`. ``thread`` is the
    program as the watch knows it (None: nobody looks), ``say`` gets what it prints, and ``cpu`` books what it costs.
    """

    pe: int
    pe_name: str
    program: int
    program_ids: tuple[int, int, int]
    grid: tuple[int, int, int]
    tcm_bytes: int
    strict: bool
    site: RankSite | None
    launch: LaunchId
    counters: PeCounters
    changes: Changes
    cpu: CpuTime
    thread: Thread | None
    say: Callable[[str], None]


class ProgramPort:
    """What both ways of running a program share: who it is, and the numbers of its commands and versions."""

    def __init__(self, who: Identity) -> None:
        # Attributes of its own, not of `who`: a kernel reads them with every command.
        self.pe_name, self.program, self.program_ids = who.pe_name, who.program, who.program_ids
        self.grid, self.tcm_bytes, self.strict = who.grid, who.tcm_bytes, who.strict
        self.site, self.launch, self.counters = who.site, who.launch, who.counters
        self.thread, self.say, self.cpu = who.thread, who.say, who.cpu
        self.polls = Polls(who.changes)

    def note(self, command: Command) -> None:
        """Tell who watches of the next command in program order."""
        if self.thread is not None:
            self.thread.issue(command)

    def note_done(self, version: int) -> None:
        """Tell who watches that the program learnt that the work of ``version`` is done."""
        if self.thread is not None:
            self.thread.take((version,))

    def next_seq(self) -> int:
        """A fresh command number of this PE."""
        self.counters.seq += 1
        return self.counters.seq - 1

    def next_version(self) -> int:
        """A fresh version id."""
        self.counters.next_version += 1
        return self.counters.next_version - 1

    def doing(self, kernel: greenlet | None, frame: FrameType | None, n_behind: int) -> str:
        """How far the ``kernel`` has come, in a line; ``frame`` is its innermost if it runs now."""
        at = place(kernel.gr_frame or frame) if kernel else None
        return self._said(f"is at {at}" if at else "has not begun", n_behind)

    def poll_text(self, n_behind: int) -> str:
        """Where it polls, for the map of a run in which nothing else happens."""
        return self._said(
            f"polls at {self.polls.line}: {self.polls.n:,} times, and nothing changed", n_behind
        )

    def _said(self, what: str, n_behind: int) -> str:
        ids = ", ".join(map(str, self.program_ids))
        behind = f"; {plural(n_behind, 'program')} behind it" if n_behind else ""
        return f"program ({ids}) {what}{behind}"


class ProgramRun(ProgramPort):
    """One program of a launch in simulated time.

    ``body(port)`` runs the kernel, within the ``scope`` of its launch; ``executor`` computes values (None in mode
    ``timing``); ``lines`` keeps where its commands come from; ``now_ps()`` is simulated time; ``require_change`` is
    told when the program polls in vain. ``standstill`` is what it found then.
    """

    def __init__(
        self,
        who: Identity,
        *,
        body: Callable[[ProgramRun], None],
        scope: Scope,
        executor: DataExecutor | None,
        lines: CommandLines,
        now_ps: Callable[[], int],
        require_change: Callable[[ProgramRun], None],
    ) -> None:
        super().__init__(who)
        self.scope = scope
        self.executor = executor
        self.lines = lines
        self.own_lines = lines.of_pe(self.counters.pe)
        self.now_ps = now_ps
        self.require_change = require_change
        self.standstill: tuple[object, ...] | None = None
        self._ahead: deque[Command] = deque()
        self._read_at_ps = -1  # the clock
        self._asks: Force | Clock | Test | None = None
        self._body = body
        self._hub: greenlet | None = None
        self.kernel: greenlet | None = None
        self._has_returned = False

    # -- the kernel's side --------------------------------------------------------------------------------

    def issue(self, command: Command) -> None:
        """Append a command; hand over when far enough ahead."""
        self.note(command)
        self.polls.issued(command)
        if self.executor is not None:
            self.executor.admit(command)
        if self.own_lines is not None:
            self.own_lines.note(command)
        if command.awaits:
            self.lines.note_wait(max(command.awaits), command.line, command.name)
        self._ahead.append(command)
        if len(self._ahead) >= RUN_AHEAD:
            self._switch_to_hub()

    def force(self, version: int, line: SourceLine) -> Array:
        """The value of ``version``, once it exists in simulated time."""
        if self.executor is None:
            raise ForcedValueError(
                f"program {self.program} on {self.pe_name} needs a value that mode 'timing' does not compute; "
                "use mode 'timed'"
            )
        self.lines.note_wait(version, line, "value")
        self._ask(Force(version))
        self.executor.run_until(self.now_ps())
        self._note_poll(line)
        return self.executor.value(version)

    def is_done(self, version: int, line: SourceLine) -> bool:
        """Whether the work of ``version`` is done once everything so far is issued."""
        self.lines.note_wait(version, line, "test")
        asked = Test(version)
        self._ask(asked)
        if asked.is_done:
            self.note_done(version)
        self._note_poll(line)
        return asked.is_done

    def _note_poll(self, line: SourceLine) -> None:
        values = None if self.executor is None else self.executor.values
        if self.polls.note(line, values):
            self.require_change(self)

    def clock_ps(self) -> int:
        """Simulated time once everything so far is issued, and later than when it was read last.

        Who looks at it may poll until then.
        """
        self.polls.forget()
        self._ask(Clock(self._read_at_ps))
        self._read_at_ps = self.now_ps()
        return self._read_at_ps

    def print(self, text: str) -> None:
        """Print with PE and simulated time."""
        self._ask(Clock())
        self.say(f"{self.pe_name} {format_ps(self.now_ps())}: {text}")

    def finish(self, releases: tuple[int, ...]) -> None:
        """The program has ended; nothing will read ``releases`` any more."""
        if self.executor is not None:
            self.executor.values.release(releases)
        if self.own_lines is not None:
            self.own_lines.products.difference_update(releases)
        self.polls.ended()

    def _ask(self, what: Force | Clock | Test) -> None:
        self._asks = what
        self._switch_to_hub()

    def _switch_to_hub(self) -> None:
        assert self._hub is not None
        self._hub.switch()

    # -- PE_CPU's side ------------------------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """Whether the kernel has returned, and PE_CPU has all of it."""
        return self._has_returned and not self._ahead

    def next_item(self) -> Command | Force | Clock | Test | None:
        """The next command; a question, once its answer is due; None at the end."""
        if not self._ahead and self._asks is None and not self._has_returned:
            self._run_ahead()
        if self._ahead:
            return self._ahead.popleft()
        asks, self._asks = self._asks, None
        return asks

    def _run_ahead(self) -> None:
        self._hub = getcurrent()
        if self.kernel is None:
            self.kernel = greenlet(lambda: self._body(self))  # belongs to the thread in which it begins
        before = self.cpu.enter(LANGUAGE)
        try:
            with self.scope:
                self.kernel.switch()
        finally:
            self.cpu.enter(before)
        self._has_returned = self.kernel.dead
