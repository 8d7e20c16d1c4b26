"""The living machine in simulated time: modes ``timed`` (times and values) and ``timing`` (times only)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import Any

from greenlet import greenlet

from kernbench import limits
from kernbench.analysis.summary import Translations
from kernbench.components.base import Component
from kernbench.components.fabric.host import Host, HostCopy
from kernbench.components.pe.pe_ipcq import PeIpcq, Rings
from kernbench.components.pe.pe_mmu import PeMmu
from kernbench.config.schema import Config, MmuSpec
from kernbench.engine import Engine, OpLog
from kernbench.engine.api import Signal
from kernbench.errors import DeadlockError, KernBenchError, LimitError, UsageError, in_one_line
from kernbench.lang.jit import as_kernel
from kernbench.lang.program import run_program
from kernbench.lang.scope import Scope
from kernbench.lang.visible import place, place_in
from kernbench.machine.assemble import Assembly
from kernbench.machine.kernel_runner import PeCounters, Program
from kernbench.machine.polls import Changes
from kernbench.machine.standstill import standstill
from kernbench.machine.underway import Underway
from kernbench.memory.ipcq_waits import Waiter, cycle_line, left_over
from kernbench.memory.mapping import TensorMapping, TensorRange
from kernbench.memory.page_table import PageTables, Pieces
from kernbench.memory.replay import DataExecutor, ImmediateExecutor
from kernbench.memory.store import Bytes, MemoryStore
from kernbench.memory.watch import RACES, Launch, Watch, require_known
from kernbench.messages.fabric import Piece
from kernbench.messages.ipcq import QueueEnd, QueuesMsg, QueuesRemoveMsg, Wiring
from kernbench.messages.owners import LaunchId, Lifetime
from kernbench.topology.address_map import AddressMap, Region
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.ids import PeId
from kernbench.units import PS_PER_NS, format_ps

MOST_VALUES = 1 << 13  # commands that wait for Phase 2: bounds memory, not time
ARG_BYTES = 8  # a kernel argument in a launch message
PROGRAM_BYTES = 16  # first program and count of a PE's share
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes by edge index, by memory controller (node index), and through the ports of all TCMs."""

    links: Mapping[int, int]
    memories: Mapping[int, int]
    tcm_bytes: int

    def __sub__(self, before: Moved) -> Moved:
        return Moved(
            _difference(self.links, before.links),
            _difference(self.memories, before.memories),
            self.tcm_bytes - before.tcm_bytes,
        )

    def __add__(self, other: Moved) -> Moved:
        return Moved(
            dict(Counter(self.links) + Counter(other.links)),
            dict(Counter(self.memories) + Counter(other.memories)),
            self.tcm_bytes + other.tcm_bytes,
        )


NOTHING_MOVED = Moved({}, {}, 0)


def _difference(after: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    return {key: moved for key, size in after.items() if (moved := size - before.get(key, 0))}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpan:
    """When one launch left the host, when the host learnt of its completion, what moved between, on which PEs.

    What moves while several are under way counts with the first of them.
    """

    name: str
    grid: tuple[int, int, int]
    sent_ps: int
    done_ps: int
    moved: Moved
    pes: frozenset[int]


class Hardware:
    """What both kinds of machine have: the graph, the memories, the page tables, and who watches what programs do."""

    executor: DataExecutor | ImmediateExecutor | None

    def __init__(
        self, config: Config, graph: TopologyGraph, say: Say, *, strict: bool, watch: Watch | None
    ) -> None:
        self.config = config
        self.spec = config.topology
        self.graph = graph
        self.say = say
        self.strict = strict
        self.addresses = AddressMap(graph)
        self.page_tables = PageTables(graph.pes, self.spec.pe.mmu.page_bytes)
        slices = [self.slice_of(pe) for pe in range(graph.n_pes)]
        banks = [r for r in self.addresses.regions() if graph.nodes[r.owner].kind == "sram"]
        self.store = MemoryStore((base, size_bytes) for _, base, size_bytes in (*slices, *banks))
        self.counters: dict[int, PeCounters] = {}
        self.ring_bytes: Counter[int] = Counter()  # of TCM, by PE
        self.watch = watch
        self._launched: list[Underway] = []
        self.changes = Changes()
        limits.machines.add(self)

    @property
    def pes(self) -> Sequence[PeId]:
        """All PEs by number."""
        return self.graph.pes

    @cached_property
    def tlb_entries(self) -> int:
        """Pages that the smallest TLB holds."""
        specs: Iterable[MmuSpec] = (node.spec for node in self.graph.of_kind("pe_mmu"))
        return min(spec.tlb_entries for spec in specs)

    def slice_of(self, pe: int) -> Region:
        """``(owner, base, size_bytes)`` of the part of HBM that belongs to PE number ``pe``."""
        return self.addresses.slice_of(pe)

    def sram_banks(self, pe: int) -> Sequence[Region]:
        """``(owner, base, size_bytes)`` of the SRAM banks in the PE's cube."""
        at = self.graph.pes[pe]
        banks = range(self.spec.cube.sram.banks)
        return [self.addresses.sram_bank(at.sip, at.cube, bank) for bank in banks]

    def tcm_left_bytes(self, pe: int) -> int:
        """TCM of PE number ``pe`` beside the rings of the queues installed there."""
        size_bytes: int = self.graph.unit(pe, "pe_tcm").spec.size_bytes
        return size_bytes - self.ring_bytes[pe]

    def reserve_rings(self, wiring: Wiring) -> None:
        """Take the TCM of a wiring's rings from kernels."""
        self.ring_bytes.update({pe: wiring.tcm_bytes(pe) for pe in wiring.pes})

    def release_rings(self, wiring: Wiring) -> None:
        """Give it back."""
        self.ring_bytes.subtract({pe: wiring.tcm_bytes(pe) for pe in wiring.pes})

    def watched_launch(self, name: str, races: str | None) -> Launch | None:
        """A launch of the kernel ``name`` as the watch knows it; None where nobody looks for its races."""
        if races is not None:
            require_known("races", races, RACES)
        if self.executor is None:
            return None
        if self.watch is None and races not in (None, "off"):
            self.watch = self.executor.watch = Watch(races="off", uninitialised="ignore")
        return None if self.watch is None else self.watch.begin(name, races)

    def is_free(self, stream: Hashable, pes: frozenset[int], operands: Sequence[TensorRange]) -> bool:
        """Whether nothing that is under way orders a launch behind itself."""
        return all(launch.runs_beside(stream, pes, operands) for launch in self._launched)

    def who(
        self,
        program: Any,
        grid: tuple[int, int, int],
        wiring: Wiring | None,
        launch: LaunchId,
        watched: Launch | None,
    ) -> dict[str, Any]:
        """What a program's port is told about itself; ``watched`` is its launch as the watch knows it."""
        pe = program.pe
        thread = None
        if self.watch is not None and watched is not None:
            thread = self.watch.thread(watched, program.ids, str(self.graph.pes[pe]))
        return {
            "thread": thread,
            "counters": self.counters.setdefault(pe, PeCounters(pe)),
            "pe_name": str(self.graph.pes[pe]),
            "program": program.index,
            "program_ids": program.ids,
            "grid": grid,
            "tcm_bytes": self.tcm_left_bytes(pe),
            "site": None if wiring is None else wiring.sites.get(pe),
            "launch": launch,
            "changes": self.changes,
            "strict": self.strict,
            "say": self.say,
        }

    def flush(self) -> None:
        """Evaluate every value up to now."""

    def kernels_left(self) -> Iterator[greenlet | None]:
        """The kernels of the programs under way that have not ended; None where one has not begun."""
        return iter(())

    def stopped_by(self, error: BaseException) -> str:
        """In which kernels ``error`` stopped the machine, and at which line if its text names none."""
        if not self._launched:
            return f"({in_one_line(error)})"
        at = None
        if not isinstance(error, KernBenchError):
            left = (place(kernel.gr_frame) for kernel in self.kernels_left() if kernel is not None)
            at = place_in(error.__traceback__) or next(filter(None, left), None)
        return f"in {self._kernels()}{f' at {at}' if at else ''} ({in_one_line(error)})"

    def _kernels(self) -> str:
        """What is under way, in words."""
        return " and ".join(dict.fromkeys(f"kernel {launch.name!r}" for launch in self._launched))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Complete what is under way in the ``with``; then the watch tells what it did, also if that failed."""
        if self.watch is None or not self._launched:
            yield
            return
        try:
            yield
        except Exception:
            with suppress(Exception):  # what failed first is what the user needs to see
                self.flush()
            self.watch.give_up()
            raise
        self.watch.settle()


class Machine(Hardware):
    """A device in simulated time (see :class:`~kernbench.runtime.device.Device`)."""

    executor: DataExecutor | None

    def __init__(
        self,
        config: Config,
        graph: TopologyGraph,
        *,
        mode: str,
        say: Say,
        strict: bool = True,
        keep_log: bool = True,
        tie_seed: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(config, graph, say, strict=strict, watch=None if mode == "timing" else watch)
        self.mode = mode
        self.engine = Engine(tie_seed)
        if limits.max_time_ps is not None:
            self.engine.limit_ps, self.engine.over_limit = limits.max_time_ps, self._over_limit
        dma = config.topology.pe.dma
        self.log = OpLog(keep=keep_log, short_bytes=int(dma.rate.fraction * dma.setup_ps / PS_PER_NS))
        self.assembly = Assembly(config, graph, self.engine, self.log, self.page_tables)
        self.fabric = self.assembly.fabric
        host = self.assembly.component(graph.node("host").index)
        assert isinstance(host, Host)
        self.host = host
        self.executor = (
            None if mode == "timing" else DataExecutor(self.log, self.store, self.page_tables, self.watch)
        )
        self.log.drain_at(MOST_VALUES, self._drain)
        self.spans: list[LaunchSpan] = []
        self.host_time_ps = 0
        self._jobs = 0
        self._moved = NOTHING_MOVED  # before the first of them
        self._mapping: dict[TensorMapping, Signal] = {}
        self._kernels_in: threading.Thread | None = None  # where those that were launched have begun
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
        return bool(self._launched)

    @property
    def under_way(self) -> Sequence[Underway]:
        """What was launched and may not be complete."""
        return self._launched

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
        copy: HostCopy = self.host.copy(pieces, is_write=is_write)
        self._run_until(copy.done)
        self.host.log_copy(copy)

    def _run_until(self, signal: Signal) -> Any:
        """Let time pass until ``signal``."""
        self._require_own_kernels()
        with self._stopped_by_errors():
            for launch in self._launched:
                if launch.scope is not None and not launch.has_ended:
                    launch.scope.resume()
            reached = self.engine.run_until(signal, self.stuck)
            for launch in self._launched:
                if launch.scope is not None and not launch.has_ended:
                    launch.scope.pause()
            return reached

    def _require_own_kernels(self) -> None:
        """UsageError in another thread than that in which kernels have begun: Python cannot move them."""
        mine = threading.current_thread()
        if self._kernels_in not in (None, mine):
            what = f"{self._kernels()} has begun in thread {self._kernels_in.name!r}"
            if self._kernels_in.is_alive():
                raise UsageError(
                    f"{what}, and only there can it go on; call torch.synchronize() there before thread {mine.name!r} "
                    "uses this simulation"
                )
            raise UsageError(
                f"{what}, which has ended, and only there could it go on; call torch.synchronize() before a thread "
                "ends, and begin a new simulation"
            )
        if self._launched:
            self._kernels_in = mine

    @contextmanager
    def _stopped_by_errors(self) -> Iterator[None]:
        """What is raised within, Ctrl-C too, leaves a machine that cannot go on."""
        try:
            yield
        except BaseException as error:
            self.failure = f"at {format_ps(self.now_ps)} {self.stopped_by(error)}"
            raise

    def launch(
        self,
        kernel: Callable[..., Any],
        args: tuple[Any, ...],
        meta: dict[str, Any],
        programs: Sequence[Any],
        grid: tuple[int, int, int],
        name: str,
        operands: Sequence[TensorRange],
        wiring: Wiring | None,
        stream: Hashable = None,
        own: frozenset[Lifetime] = frozenset(),
        races: str | None = None,
    ) -> None:
        """Start a kernel behind what orders it (see :class:`Underway`), its operands mapped; returns at once."""
        self._require_running()
        pes = frozenset(program.pe for program in programs)
        if not self.is_free(stream, pes, operands):
            self.complete_launches()
        self._complete_maps(operand.mapping for operand in operands)
        launch, watched = LaunchId(self.store, own), self.watched_launch(name, races)
        self.page_tables.begin(launch, pes)
        scope = Scope(as_kernel(kernel), args, meta)
        by_pe: dict[int, list[Program]] = {}
        for program in programs:
            by_pe.setdefault(program.pe, []).append(
                Program(
                    body=lambda port: run_program(kernel, args, meta, port),
                    scope=scope,
                    executor=self.executor,
                    lines=self.log.lines,
                    now_ps=lambda: self.engine.now_ps,
                    require_change=self._require_change,
                    **self.who(program, grid, wiring, launch, watched),
                )
            )
        self.host_time_ps += self.spec.host.sw_launch_ps
        size_bytes = ARG_BYTES * (len(args) + len(meta)) + PROGRAM_BYTES
        if self.log.keep and not self._launched:
            self._moved = self.moved()
        self._launched.append(
            Underway(
                name=name,
                grid=grid,
                sent_ps=self.now_ps,
                done=self.host.launch(self._next_job(), by_pe, size_bytes),
                stream=stream,
                programs=by_pe,
                scope=scope,
                pes=pes,
                operands=tuple(operands),
            )
        )

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
        rings = self._rings()
        if any(mine.send_ring.head != rings[end.peer].recv_ring.told for end, mine in rings.items()):
            with self._stopped_by_errors():
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
            if self._launched:
                done_ps = [
                    self._run_until(launch.done) for launch in self._launched if launch.done is not None
                ]
                if self.log.keep:
                    self._count_spans(done_ps)
                with self._stopped_by_errors():
                    self._require_received()
                self._launched.clear()
                self._kernels_in = None
            self.flush()

    def _count_spans(self, done_ps: Sequence[int]) -> None:
        moved = self.moved() - self._moved
        for launch, ps in zip(self._launched, done_ps, strict=True):
            self.spans.append(
                LaunchSpan(
                    name=launch.name,
                    grid=launch.grid,
                    sent_ps=launch.sent_ps,
                    done_ps=ps,
                    moved=moved,
                    pes=launch.pes,
                )
            )
            moved = NOTHING_MOVED

    def _require_received(self) -> None:
        """QueueError if launches left a message or a slot behind, once all that was sent has arrived."""
        rings = self._rings()
        if any(mine.send_ring.tail != rings[end.peer].recv_ring.tail for end, mine in rings.items()):
            self.engine.run()
        left = [found for ipcq in self._ipcqs() for found in ipcq.left_over()]
        if left:
            raise left_over(left, self.graph.pes)

    def moved(self) -> Moved:
        """Bytes moved since the beginning of time."""
        memories: dict[int, int] = {}
        tcm_bytes = 0
        for unit in self.assembly.components.values():
            if unit.node.kind == "pe_tcm":
                tcm_bytes += unit.moved_bytes
            elif unit.moved_bytes:
                memories[unit.node.index] = unit.moved_bytes
        return Moved(self.fabric.moved_bytes(), memories, tcm_bytes)

    def translations(self) -> Translations:
        """What all PE_MMUs counted since the beginning of time."""
        mmus = [unit for unit in self.assembly.components.values() if isinstance(unit, PeMmu)]
        return Translations(
            sum(mmu.n_hits for mmu in mmus),
            sum(mmu.n_misses for mmu in mmus),
            sum(mmu.n_walks for mmu in mmus),
        )

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
        return self._map(f"nothing is left to happen at {format_ps(self.now_ps)}, and these wait:", {})

    def _over_limit(self) -> None:
        head = f"stopped after {format_ps(self.engine.limit_ps)} of simulated time, and this was under way:"
        raise LimitError(limits.map_of(head, self.doing(None)))

    def kernels_left(self) -> Iterator[greenlet | None]:
        """The kernels of the programs under way that have not ended; None where one has not begun."""
        each = (p for launch in self._launched for programs in launch.programs.values() for p in programs)
        return (program.kernel for program in each if not program.has_ended)

    def doing(self, frame: FrameType | None) -> list[str]:
        """Where the programs of the launches under way are, and what waits for what."""
        if self.is_stopped:
            return []
        lines = []
        for launch in self._launched:
            for pe, programs in launch.programs.items():
                left = [program for program in programs if not program.has_ended]
                if left:
                    lines.append(
                        f"{self.pes[pe]}.pe_cpu  {left[0].doing(left[0].kernel, frame, len(left) - 1)}"
                    )
        return [*lines, *self._map("", {}).split("\n  ")[1:]]

    def progress(self) -> str:
        """Simulated time, programs done of all, and events."""
        if self.is_stopped:
            return ""
        programs = [p for launch in self._launched for each in launch.programs.values() for p in each]
        n_left = sum(not program.has_ended for program in programs)
        done = f", {len(programs) - n_left:,} of {len(programs):,} programs done" if programs else ""
        return f"{format_ps(self.now_ps)} simulated{done}"

    def _require_change(self, program: Program) -> None:
        """DeadlockError if nothing can change what ``program`` polls: all else stood still when it looked last, too."""
        before = program.standstill
        found = standstill(self._launched, self.unit, self._rings())
        program.standstill = None if found is None else (self.changes.n, found)
        if found is not None and before == program.standstill:
            raise DeadlockError(self._polled())

    def _polled(self) -> str:
        """The map of a run in which programs poll, and nothing else is left to happen."""
        head = f"nothing is left to happen at {format_ps(self.now_ps)} that could change what is polled:"
        lines = {}
        for launch in self._launched:
            for pe, programs in launch.programs.items():
                left = [program for program in programs if not program.has_ended]
                if left and left[0].polls.are_vain:
                    lines[pe] = f"{self.pes[pe]}.pe_cpu  {left[0].poll_text(len(left) - 1)}"
        return self._map(head, lines)

    def unit(self, pe: int, kind: str) -> Component:
        """One unit of PE number ``pe``."""
        return self.assembly.component(self.graph.unit(pe, kind).index)

    def _map(self, head: str, polls: Mapping[int, str]) -> str:
        """Who waits where and for what; of the PEs that poll, there are lines already."""
        rings = self._rings()
        lines = [polls[pe] for pe in sorted(polls)]
        waiters: list[Waiter] = []
        for _, unit in sorted(self.assembly.components.items()):
            found = list(unit.waiters(rings)) if isinstance(unit, PeIpcq) else []
            waiters += found
            waiting = [] if unit.pe in polls else list(unit.waiting())
            waiting += (waiter.text(self.pes) for waiter in found)
            lines += [f"{unit.node.name}  {line}" for line in waiting]
        cycle = cycle_line(waiters, self.pes)
        return "\n  ".join([head, *lines, *self.fabric.stuck(), *([cycle] if cycle else [])])

    def _rings(self) -> dict[QueueEnd, Rings]:
        """The rings of all queue ends."""
        return {end: rings for ipcq in self._ipcqs() for end, rings in ipcq.rings.items()}

    def _ipcqs(self) -> list[PeIpcq]:
        """Each PE_IPCQ that was ever used, by PE."""
        units = [unit for unit in self.assembly.components.values() if isinstance(unit, PeIpcq)]
        return sorted(units, key=lambda unit: unit.pe)
