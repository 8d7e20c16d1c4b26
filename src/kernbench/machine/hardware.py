"""What both kinds of machine have, whether time passes on them or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property

from greenlet import greenlet

from kernbench import cpu_time, limits
from kernbench.config.pe import MmuSpec
from kernbench.config.schema import Config
from kernbench.errors import KernBenchError, in_one_line
from kernbench.lang.visible import place, place_in
from kernbench.machine.kernel_runner import Identity, PeCounters
from kernbench.machine.launch import Launch
from kernbench.machine.polls import Changes
from kernbench.machine.underway import Launches
from kernbench.memory.page_table import PageTables
from kernbench.memory.replay import DataExecutor, ImmediateExecutor
from kernbench.memory.store import MemoryStore
from kernbench.memory.watch import RACES, Watch, WatchedLaunch, require_known
from kernbench.messages.ipcq import Wiring
from kernbench.messages.owners import LaunchId
from kernbench.topology.address_map import AddressMap, Region
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.ids import PeId


class Hardware:
    """What both kinds of machine have: the graph, the memories, the page tables, and who watches what programs do."""

    executor: DataExecutor | ImmediateExecutor | None

    def __init__(
        self,
        config: Config,
        graph: TopologyGraph,
        say: Callable[[str], None],
        *,
        strict: bool,
        watch: Watch | None,
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
        self.cpu = cpu_time.in_force()
        self.launches = Launches()
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
        cube, banks = self.graph.pes[pe][:-1], range(self.spec.cube.sram.banks)
        return [self.addresses.sram_bank(cube, bank) for bank in banks]

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

    def identities(self, launch: Launch) -> list[Identity]:
        """Who the programs of ``launch`` are, in order, once nothing is in its way: it begins now."""
        known, watched = LaunchId(self.store, launch.own), self._watched(launch)
        self.page_tables.begin(known, launch.pes)
        return [
            Identity(
                pe=program.pe,
                pe_name=str(self.graph.pes[program.pe]),
                program=program.index,
                program_ids=program.ids,
                grid=launch.grid,
                tcm_bytes=self.tcm_left_bytes(program.pe),
                strict=self.strict,
                site=None if launch.wiring is None else launch.wiring.sites.get(program.pe),
                launch=known,
                counters=self.counters.setdefault(program.pe, PeCounters(program.pe)),
                changes=self.changes,
                cpu=self.cpu,
                thread=None
                if self.watch is None or watched is None
                else self.watch.thread(watched, program.ids, str(self.graph.pes[program.pe])),
                say=self.say,
            )
            for program in launch.programs
        ]

    def _watched(self, launch: Launch) -> WatchedLaunch | None:
        """``launch`` as the watch knows it; None where nobody looks for its races."""
        if launch.races is not None:
            require_known("races", launch.races, RACES)
        if self.executor is None:
            return None
        if self.watch is None and launch.races not in (None, "off"):
            self.watch = self.executor.watch = Watch(races="off", uninitialised="ignore")
        return None if self.watch is None else self.watch.begin(launch.name, launch.races)

    def flush(self) -> None:
        """Evaluate every value up to now."""

    def kernels_left(self) -> Iterator[greenlet | None]:
        """The kernels of the programs under way that have not ended; None where one has not begun."""
        return iter(())

    def stopped_by(self, error: BaseException) -> str:
        """In which kernels ``error`` stopped the machine, and at which line if its text names none."""
        if not self.launches:
            return f"({in_one_line(error)})"
        at = None
        if not isinstance(error, KernBenchError):
            left = (place(kernel.gr_frame) for kernel in self.kernels_left() if kernel is not None)
            at = place_in(error.__traceback__) or next(filter(None, left), None)
        return f"in {self.launches.in_words()}{f' at {at}' if at else ''} ({in_one_line(error)})"

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Complete what is under way in the ``with``; then the watch tells what it did, also if that failed."""
        if self.watch is None or not self.launches:
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
