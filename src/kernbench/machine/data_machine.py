"""The machine without time: mode ``data``. Every command takes effect when it is issued; programs take turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from greenlet import getcurrent, greenlet

from kernbench import limits
from kernbench.components.gemm_rate import macs_per_cycle
from kernbench.config.pe import GemmSpec
from kernbench.config.schema import Config
from kernbench.cpu_time import LANGUAGE
from kernbench.errors import DeadlockError
from kernbench.lang.program import KernelCall, run_program
from kernbench.lang.scope import KERNELS
from kernbench.machine.data_queues import DataQueues
from kernbench.machine.hardware import Hardware
from kernbench.machine.kernel_runner import Identity, ProgramPort
from kernbench.machine.launch import Launch
from kernbench.machine.underway import Underway
from kernbench.memory.ipcq_waits import cycle_line
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.page_table import Pieces
from kernbench.memory.replay import Array, ImmediateExecutor
from kernbench.memory.store import Bytes
from kernbench.memory.watch import Watch
from kernbench.messages.commands import Command, GemmCmd, IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.ipcq import Wiring
from kernbench.messages.source_line import SourceLine
from kernbench.topology.graph import TopologyGraph

MOST_READINGS = 1 << 10  # of a clock that stands still, by one program
MOST_DOUBLINGS = 30  # of 1 ns: a second at each reading


class ImmediateProgram(ProgramPort):
    """A program whose commands take effect as they are issued.

    It runs until it has to wait for a queue, and goes on when it is given a turn and need not wait any more.
    """

    def __init__(
        self,
        who: Identity,
        *,
        body: Callable[[ImmediateProgram], None],
        executor: ImmediateExecutor,
        queues: DataQueues,
        array: GemmSpec,
    ) -> None:
        super().__init__(who)
        self.executor = executor
        self.queues = queues
        self.pe = who.pe
        self.array = array
        self.awaits: tuple[int, ...] = ()
        self.is_polling = False
        self._clock_ps = self._n_readings = 0
        self._hub: greenlet | None = None
        self.kernel = greenlet(lambda: body(self))

    @property
    def has_ended(self) -> bool:
        """Whether the kernel has returned."""
        return self.kernel.dead

    @property
    def waits(self) -> bool:
        """Whether it could do nothing with a turn."""
        unfinished = self.queues.unfinished
        return bool(unfinished) and any(version in unfinished for version in self.awaits)

    @property
    def polls_in_vain(self) -> bool:
        """Whether it gave its turn away, polling what it alone will not change."""
        return self.is_polling and self.polls.are_vain

    def take_turn(self) -> None:
        """Run until the end, or until it has to wait."""
        self._hub = getcurrent()
        with KERNELS:
            self.kernel.switch()

    def issue(self, command: Command) -> None:
        """Evaluate ``command`` now. DTypeError for what the PE's array could not multiply in simulated time either."""
        self.note(command)
        self.polls.issued(command)
        if isinstance(command, GemmCmd):
            macs_per_cycle(command.a.dtype, self.array, command.line)
        self.queues.release(command.releases)
        if isinstance(command, IpcqSendCmd):
            self.queues.send(command)
        elif isinstance(command, IpcqRecvCmd):
            self.queues.receive(command)
        else:
            self.executor.execute(self.pe, command)
        if command.awaits is not None:
            self._wait_for(command.awaits)

    def _wait_for(self, versions: tuple[int, ...]) -> None:
        self.awaits = versions
        while self.waits:
            self._switch_to_hub()
        self.awaits = ()

    def _switch_to_hub(self) -> None:
        assert self._hub is not None
        self._hub.switch()

    def force(self, version: int, line: SourceLine) -> Array:
        """The value, once it is received; who has loaded the same again gives the others a turn."""
        self._wait_for((version,))
        array = self.executor.value(version)
        self._poll(line, lets_others=self.polls.reads_again)
        self.polls.reads_again = False
        return array

    def is_done(self, version: int, line: SourceLine) -> bool:
        """Whether a transfer is done; if not, the others get a turn first."""
        self._poll(line, lets_others=version in self.queues.unfinished)
        is_done = version not in self.queues.unfinished
        if is_done:
            self.note_done(version)
        return is_done

    def _poll(self, line: SourceLine, *, lets_others: bool) -> None:
        self.polls.note(line, self.executor.values)
        if lets_others or self.polls.are_vain:
            self.is_polling = True
            self._switch_to_hub()
            self.is_polling = False

    def finish(self, releases: tuple[int, ...]) -> None:
        """Nothing will read ``releases`` any more."""
        self.queues.release(releases)
        self.executor.values.release(releases)
        if self.site is not None:
            self.queues.end_program(self.pe, self.site.ends.values())
        self.polls.ended()

    def clock_ps(self) -> int:
        """No time passes here, unless a program asks so often that it waits for some: then more and more."""
        self.polls.forget()
        self._n_readings += 1
        if self._n_readings > MOST_READINGS:
            self._clock_ps += 1_000 << min((self._n_readings - MOST_READINGS) // 64, MOST_DOUBLINGS)
        return self._clock_ps

    def print(self, text: str) -> None:
        """Print with the PE."""
        self.say(f"{self.pe_name}: {text}")


class DataMachine(Hardware):
    """A device that computes values only (see :class:`~kernbench.device.protocol.Device`)."""

    mode = "data"
    program_kind: Callable[..., ImmediateProgram] = ImmediateProgram
    now_ps = 0
    is_stopped = False
    executor: ImmediateExecutor

    def __init__(
        self,
        config: Config,
        graph: TopologyGraph,
        *,
        say: Callable[[str], None],
        strict: bool = True,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(config, graph, say, strict=strict, watch=watch)
        self.executor = ImmediateExecutor(self.store, self.page_tables, watch, self.cpu)
        self.queues = DataQueues(self.executor, graph.pes)
        self.failure = ""  # of the last launch that failed; the next one begins all the same
        self._left: list[ImmediateProgram] = []
        self._n_programs = 0

    @property
    def is_busy(self) -> bool:
        """Whether something is to be told of the launches since the last moment behind all of them."""
        return self.watch is not None and bool(self.launches)

    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        """Put ``buffer`` at ``pieces``."""
        self.store.write(pieces, buffer)

    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        """The ``size_bytes`` bytes at ``pieces``."""
        return self.store.read(pieces, size_bytes)

    def launch(self, launch: Launch) -> None:
        """Run all programs: the first in order that need not wait, each behind those before it on its PE."""
        if self.mode == "data":
            limits.require_unlimited_time()
        if not self.launches.run_beside(launch):
            self.complete_launches()
        with self.cpu.on(LANGUAGE):
            self._run(launch)

    def _run(self, launch: Launch) -> None:
        call = KernelCall(launch.kernel, launch.args, launch.meta)
        ports = [
            self.program_kind(
                who,
                body=lambda port: run_program(call, port),
                executor=self.executor,
                queues=self.queues,
                array=self.graph.unit(who.pe, "pe_gemm").spec,
            )
            for who in self.identities(launch)
        ]
        self.launches.append(Underway.of(launch))
        self._left, self._n_programs = ports, len(ports)
        try:
            self._take_turns(ports)
            self._require_done()
        except BaseException as error:
            self.failure, self._left = self.stopped_by(error), []
            self.queues.clear()
            self.executor.clear()
            self.launches.clear()
            if self.watch is not None:
                self.watch.give_up()
            raise

    def kernels_left(self) -> Iterator[greenlet | None]:
        """The kernels of the programs under way that have not ended."""
        return (program.kernel for program in self._left if not program.has_ended)

    def doing(self, frame: FrameType | None) -> list[str]:
        """Where the programs of the launch under way are, and what waits for a queue."""
        by_pe: dict[int, list[ImmediateProgram]] = {}
        for program in self._left:
            if not program.has_ended:
                by_pe.setdefault(program.pe, []).append(program)
        lines = [
            f"{self.pes[pe]}  {left[0].doing(left[0].kernel, frame, len(left) - 1)}"
            for pe, left in sorted(by_pe.items())
        ]
        return [*lines, *self._stuck("").split("\n  ")[1:]]

    def progress(self) -> str:
        """Programs done of all in the launch under way."""
        n_left = sum(not program.has_ended for program in self._left)
        return f"{self._n_programs - n_left:,} of {self._n_programs:,} programs done" if n_left else ""

    def _take_turns(self, programs: list[ImmediateProgram]) -> None:
        while programs:
            waiting: list[ImmediateProgram] = []
            held: set[int] = set()
            n_turns = 0
            for program in programs:
                if program.pe not in held and not program.waits:
                    n_turns += 1
                    program.take_turn()
                    if program.has_ended:
                        continue
                held.add(program.pe)
                waiting.append(program)
            if not n_turns:
                raise DeadlockError(self._stuck(f"{len(held)} PEs wait for each other for ever:"))
            programs = self._left = waiting
            if any(program.polls_in_vain for program in programs):
                self._require_change(programs)

    def _require_change(self, programs: list[ImmediateProgram]) -> None:
        """DeadlockError if nobody does anything but wait, or poll in vain."""
        at_front = {program.pe: program for program in reversed(programs)}  # those behind have not begun
        if not all(program.waits or program.polls_in_vain for program in at_front.values()):
            return
        n_left = Counter(program.pe for program in programs)
        lines = [
            f"{self.pes[pe]}  {program.poll_text(n_left[pe] - 1)}"
            for pe, program in sorted(at_front.items())
            if program.polls_in_vain
        ]
        raise DeadlockError(self._stuck("nothing is left to happen that could change what is polled:", lines))

    def _require_done(self) -> None:
        if self.queues.unfinished:
            raise DeadlockError(self._stuck("all programs have ended, and what they began waits for ever:"))
        error = self.queues.left_over()
        if error is not None:
            raise error

    def _stuck(self, head: str, more: Sequence[str] = ()) -> str:
        """The map of a run in which nothing can move."""
        waiters = list(self.queues.waiters())
        waiting = sorted(waiters, key=lambda waiter: (waiter.end.pe, waiter.command.seq))
        lines = [f"{self.pes[waiter.end.pe]}  {waiter.text(self.pes)}" for waiter in waiting]
        cycle = cycle_line(waiters, self.pes)
        return "\n  ".join([head, *more, *lines, *([cycle] if cycle else [])])

    def install(self, wiring: Wiring) -> None:
        """Install queues."""
        self.reserve_rings(wiring)
        self.queues.install(wiring)

    def remove(self, wiring: Wiring) -> None:
        """Remove queues."""
        self.queues.remove(wiring)
        self.release_rings(wiring)

    def map(self, mapping: TensorMapping) -> None:
        """Make a tensor's pages valid."""
        self.page_tables.map(mapping)
        if self.watch is not None:
            self.watch.mapped(mapping.shards)

    def unmap(self, mappings: Sequence[TensorMapping]) -> None:
        """Make the pages of tensors invalid."""
        self.page_tables.unmap(mappings)
        if self.watch is not None:
            self.watch.unmapped(mappings)

    def synchronize(self) -> None:
        """Be at a point behind all launches; they took effect when they were made."""
        self.complete_launches()

    def complete_launches(self) -> None:
        """Be at a point behind all launches: what is launched next is ordered behind them."""
        with self.watched():
            self.launches.clear()

    def flush(self) -> None:
        """Every value exists already."""
