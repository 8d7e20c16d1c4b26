"""The living machine in simulated time: modes ``timed`` (times and values) and ``timing`` (times only)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from greenlet import greenlet

from kernbench import limits
from kernbench.analysis.launch_span import NOTHING_MOVED, LaunchSpan, Moved
from kernbench.analysis.summary import Translations
from kernbench.components.fabric.host import Host
from kernbench.config.schema import Config
from kernbench.cpu_time import LANGUAGE, MACHINE
from kernbench.engine import Engine, OpLog, api
from kernbench.engine.api import Signal
from kernbench.errors import DeadlockError, LimitError, UsageError
from kernbench.lang.program import KernelCall, run_program
from kernbench.lang.scope import Scope
from kernbench.machine import counters, stuck
from kernbench.machine.assemble import Assembly
from kernbench.machine.hardware import Hardware
from kernbench.machine.kernel_runner import ProgramRun
from kernbench.machine.launch import Launch
from kernbench.machine.queue_ends import credits_travel, require_received, slots_travel
from kernbench.machine.underway import Underway
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.page_table import Pieces
from kernbench.memory.replay import DataExecutor
from kernbench.memory.store import Bytes
from kernbench.memory.watch import Watch
from kernbench.messages.fabric import Piece
from kernbench.messages.ipcq import QueuesMsg, QueuesRemoveMsg, Wiring
from kernbench.topology.graph import TopologyGraph
from kernbench.units import PS_PER_NS, format_ps

MOST_VALUES = 1 << 13  # commands that wait for Phase 2: bounds memory, not time
ARG_BYTES = 8  # a kernel argument in a launch message
PROGRAM_BYTES = 16  # first program and count of a PE's share


class Machine(Hardware):
    """A device in simulated time (see :class:`~kernbench.device.protocol.Device`)."""

    executor: DataExecutor | None

    def __init__(
        self,
        config: Config,
        graph: TopologyGraph,
        *,
        mode: str,
        say: Callable[[str], None],
        strict: bool = True,
        keep_log: bool = True,
        tie_seed: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(config, graph, say, strict=strict, watch=None if mode == "timing" else watch)
        self.mode = mode
        engine = Engine(tie_seed)
        self.engine: api.Engine = engine
        if limits.max_time_ps is not None:
            self.engine.limit_ps, self.engine.over_limit = limits.max_time_ps, self._over_limit
        dma = config.topology.pe.dma
        self.log: api.OpLog = OpLog(
            keep=keep_log, short_bytes=int(dma.rate.fraction * dma.setup_ps / PS_PER_NS)
        )
        self.assembly = Assembly(config, graph, engine, self.log, self.page_tables)
        self.fabric: api.Fabric = self.assembly.fabric
        host = self.assembly.component(graph.node("host").index)
        assert isinstance(host, Host)
        self.host = host
        self.executor = (
            None
            if mode == "timing"
            else DataExecutor(self.log, self.store, self.page_tables, self.watch, self.cpu)
        )
        self.log.drain_at(MOST_VALUES, self._drain)
        self.spans: list[LaunchSpan] = []
        self.host_time_ps = 0
        self._jobs = 0
        self._moved = NOTHING_MOVED  # before the first of them
        self._mapping: dict[TensorMapping, Signal] = {}
        self.failure = ""  # where and why simulated time stopped for good

    @property
    def now_ps(self) -> int:
        """Simulated time."""
        return self.engine.now_ps

    @property
    def is_stopped(self) -> bool:
        """Whether an error stopped simulated time for good."""
        return bool(self.failure)

    @property
    def is_busy(self) -> bool:
        """Whether something that was launched may not be complete."""
        return bool(self.launches)

    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        """Copy ``buffer`` to ``pieces`` over PCIe; returns when the last byte has landed."""
        self.complete_launches()
        self._copy(pieces, is_write=True)
        if self.executor is not None:
            self.store.write(pieces, buffer)

    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        """Fetch ``size_bytes`` from ``pieces`` over PCIe; in ``timing`` mode the bytes are unwritten memory."""
        self.complete_launches()
        self._copy(pieces, is_write=False)
        return self.store.read(pieces, size_bytes)

    def _copy(self, pieces: Sequence[Piece], *, is_write: bool) -> None:
        self._run_until(self.host.copy(pieces, is_write=is_write))

    def _run_until(self, signal: Signal) -> int:
        """Let time pass until ``signal`` of the host, and give its value: when it fired, in ps."""
        self.launches.require_own_thread()
        with self._stopped_by_errors(), self.cpu.on(MACHINE):
            self.launches.resume()
            fired_ps: int = self.engine.run_until(signal, self.stuck)
            self.launches.pause()
            return fired_ps

    @contextmanager
    def _stopped_by_errors(self) -> Iterator[None]:
        """What is raised within, Ctrl-C too, leaves a machine that cannot go on."""
        try:
            yield
        except BaseException as error:
            self.failure = f"at {format_ps(self.now_ps)} {self.stopped_by(error)}"
            raise

    def launch(self, launch: Launch) -> None:
        """Start a kernel behind what orders it (see :class:`Underway`), its operands mapped; returns at once."""
        self._require_running()
        if not self.launches.run_beside(launch):
            self.complete_launches()
        self._complete_maps(operand.mapping for operand in launch.operands)
        with self.cpu.on(LANGUAGE):
            self._begin(launch)

    def _begin(self, launch: Launch) -> None:
        args, meta = launch.args, launch.meta
        call, scope = KernelCall(launch.kernel, args, meta), Scope(launch.kernel, args, meta)
        by_pe: dict[int, list[ProgramRun]] = {}
        for who in self.identities(launch):
            by_pe.setdefault(who.pe, []).append(
                ProgramRun(
                    who,
                    body=lambda port: run_program(call, port),
                    scope=scope,
                    executor=self.executor,
                    lines=self.log.lines,
                    now_ps=lambda: self.engine.now_ps,
                    require_change=self._require_change,
                )
            )
        self.host_time_ps += self.spec.host.sw_launch_ps
        size_bytes = ARG_BYTES * (len(args) + len(meta)) + PROGRAM_BYTES
        if self.log.keep and not self.launches:
            self._moved = self.moved()
        sent_ps, done = self.now_ps, self.host.launch(self._next_job(), by_pe, size_bytes)
        self.launches.append(Underway.of(launch, sent_ps=sent_ps, done=done, programs=by_pe, scope=scope))

    def map(self, mapping: TensorMapping) -> None:
        """Begin to make a tensor's pages valid for all PEs; returns at once."""
        self._require_running()
        if self.watch is not None:
            self.watch.mapped(mapping.shards)
        self._mapping[mapping] = self.host.map(self._next_job(), mapping)

    def unmap(self, mappings: Sequence[TensorMapping]) -> None:
        """Make the pages of tensors invalid; returns when no PE can reach them any more."""
        self._complete_maps(mappings)
        for done in [self.host.unmap(self._next_job(), mapping) for mapping in mappings]:
            self._run_until(done)
        if self.watch is not None:
            self.watch.unmapped(mappings)

    def install(self, wiring: Wiring) -> None:
        """Install queues behind all that was launched; returns when every PE_IPCQ has them."""
        self.complete_launches()
        self.reserve_rings(wiring)
        self._run_until(self.host.queues(self._next_job(), wiring, QueuesMsg))

    def remove(self, wiring: Wiring) -> None:
        """Remove queues, once their last credits are home; returns when no PE_IPCQ has them any more."""
        self.complete_launches()
        if credits_travel(self.assembly):
            with self._stopped_by_errors(), self.cpu.on(MACHINE):
                self.engine.run()
        self._run_until(self.host.queues(self._next_job(), wiring, QueuesRemoveMsg))
        self.release_rings(wiring)

    def _complete_maps(self, mappings: Iterable[TensorMapping]) -> None:
        for mapping in mappings:
            if mapping in self._mapping:
                self._run_until(self._mapping.pop(mapping))

    def _next_job(self) -> int:
        self._jobs += 1
        return self._jobs - 1

    def _require_running(self) -> None:
        if self.failure:
            raise UsageError(
                f"this simulation stopped {self.failure}; begin a new one, as in kb.simulate('tiny')"
            )

    def synchronize(self) -> None:
        """Let simulated time pass until every launch and every map is complete, then evaluate what was computed.

        Raises:
            UsageError: an error stopped this simulation before.
        """
        self.complete_launches()
        self._complete_maps(list(self._mapping))

    def complete_launches(self) -> None:
        """Let simulated time pass until every launch is complete, then evaluate what was computed."""
        self._require_running()
        with self.watched():
            if self.launches:
                done_ps = [
                    self._run_until(launch.done) for launch in self.launches if launch.done is not None
                ]
                if self.log.keep:
                    self._count_spans(done_ps)
                with self._stopped_by_errors(), self.cpu.on(MACHINE):
                    if slots_travel(self.assembly):
                        self.engine.run()
                    require_received(self.assembly)
                self.launches.clear()
            self.flush()

    def _count_spans(self, done_ps: Sequence[int]) -> None:
        moved = self.moved() - self._moved
        for launch, ps in zip(self.launches, done_ps, strict=True):
            self.spans.append(launch.span(ps, moved))
            moved = NOTHING_MOVED

    def moved(self) -> Moved:
        """Bytes moved since the beginning of time."""
        return counters.moved(self.assembly)

    def translations(self) -> Translations:
        """What all PE_MMUs counted since the beginning of time."""
        return counters.translations(self.assembly)

    def _drain(self, now_ps: int) -> None:
        """Evaluate what took hold before the present instant, whose order is not complete yet."""
        if self.executor is not None:
            self.executor.run_until(now_ps - 1)
        else:
            self.log.values.clear()

    def flush(self) -> None:
        """Evaluate every value up to now."""
        if self.executor is not None:
            with self._stopped_by_errors():
                self.executor.run_until(self.now_ps)
        else:
            self.log.values.clear()

    def stuck(self) -> str:
        """The map of a run in which nothing is left to happen and something waits."""
        return stuck.waits_map(
            f"nothing is left to happen at {format_ps(self.now_ps)}, and these wait:", self.assembly
        )

    def _over_limit(self) -> None:
        head = f"stopped after {format_ps(self.engine.limit_ps)} of simulated time, and this was under way:"
        raise LimitError(limits.map_of(head, self.doing(None)))

    def kernels_left(self) -> Iterator[greenlet | None]:
        """The kernels of the programs under way that have not ended; None where one has not begun."""
        return (program.kernel for launch in self.launches for _, left in launch.left() for program in left)

    def doing(self, frame: FrameType | None) -> list[str]:
        """Where the programs of the launches under way are, and what waits for what."""
        return [] if self.is_stopped else stuck.doing(self.assembly, self.launches, frame)

    def progress(self) -> str:
        """Simulated time, programs done of all, and events."""
        if self.is_stopped:
            return ""
        n_programs = sum(len(each) for launch in self.launches for each in launch.programs.values())
        n_left = sum(1 for _ in self.kernels_left())
        done = f", {n_programs - n_left:,} of {n_programs:,} programs done" if n_programs else ""
        return f"{format_ps(self.now_ps)} simulated{done}"

    def _require_change(self, program: ProgramRun) -> None:
        """DeadlockError if nothing can change what ``program`` polls: all else stood still when it looked last, too."""
        before = program.standstill
        found = stuck.standstill(self.launches, self.assembly)
        program.standstill = None if found is None else (self.changes.n, found)
        if found is not None and before == program.standstill:
            head = f"nothing is left to happen at {format_ps(self.now_ps)} that could change what is polled:"
            raise DeadlockError(stuck.polled_map(head, self.assembly, self.launches))
