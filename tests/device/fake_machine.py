"""A machine on numpy: it moves bytes and maps pages at once, and counts what the host asked of it."""

from types import SimpleNamespace

from kernbench.lang import KernelCall, run_program
from kernbench.memory.blocks import block_of, bytes_of, upward
from kernbench.memory.page_table import PageTables
from kernbench.memory.store import MemoryStore
from kernbench.messages.owners import LaunchId
from kernbench.topology.ids import PeId
from tests.lang.fake_port import FakePort

SLICE_BYTES = 1 << 14
BANK_BYTES = 1 << 12
BANKS = 2
TCM_BYTES = 1 << 16
PAGE, BURST, ROW = 4096, 32, 1024
COPY_PS, KERNEL_PS = 1_000_000, 5_000_000


class FakeMachine:
    """SIPs, cubes and PEs by their grids. A copy takes 1 us, a launch 5 us; kernels are noted, and not called."""

    mode = "timed"
    tlb_entries = 64
    is_stopped = False
    is_busy = False

    def __init__(self, sips=(2, 1), cubes=(1, 2), pes=(2, 2)):
        level = lambda grid: SimpleNamespace(count=grid[0] * grid[1], grid=grid)  # noqa: E731
        self.config = SimpleNamespace(ccl=None)
        self.spec = self.config.topology = SimpleNamespace(
            host=SimpleNamespace(fit="first"),
            system=SimpleNamespace(sips=level(sips)),
            sip=SimpleNamespace(cubes=level(cubes)),
            cube=SimpleNamespace(
                pes=level(pes),
                hbm=SimpleNamespace(
                    timing=SimpleNamespace(burst_bytes=BURST), org=SimpleNamespace(row_bytes=ROW)
                ),
            ),
            pe=SimpleNamespace(
                mmu=SimpleNamespace(page_bytes=PAGE, miss="walk", walk_reads=2),
                ipcq=SimpleNamespace(directions=("N", "S", "E", "W")),
            ),
            neighbours=SimpleNamespace(wrap=False),
        )
        counts = [grid[0] * grid[1] for grid in (sips, cubes, pes)]
        self.pes = [
            PeId(s, c, p) for s in range(counts[0]) for c in range(counts[1]) for p in range(counts[2])
        ]
        n_cubes = counts[0] * counts[1]
        self.banks_base = len(self.pes) * SLICE_BYTES
        regions = [(pe * SLICE_BYTES, SLICE_BYTES) for pe in range(len(self.pes))]
        regions += [(self.banks_base + i * BANK_BYTES, BANK_BYTES) for i in range(n_cubes * BANKS)]
        self.store = MemoryStore(regions)
        self.watch = None
        self.page_tables = PageTables(self.pes, PAGE)
        self.now_ps = 0
        self.written, self.read = [], []
        self.queued, self.launched = [], []
        self.ring_bytes = dict.fromkeys(range(len(self.pes)), 0)

    def slice_of(self, pe):
        return 100 + pe, pe * SLICE_BYTES, SLICE_BYTES

    def sram_banks(self, pe):
        cube = pe // self.spec.cube.pes.count
        first = cube * BANKS
        return [
            (200 + first + i, self.banks_base + (first + i) * BANK_BYTES, BANK_BYTES) for i in range(BANKS)
        ]

    def host_write(self, pieces, buffer):
        assert not self.queued
        self.written.append(sum(piece.size_bytes for piece in pieces))
        self.now_ps += COPY_PS
        self.store.write(pieces, buffer)

    def host_read(self, pieces, size_bytes):
        assert not self.queued
        self.read.append(sum(piece.size_bytes for piece in pieces))
        self.now_ps += COPY_PS
        return self.store.read(pieces, size_bytes)

    def map(self, mapping):
        self.page_tables.map(mapping)

    def unmap(self, mappings):
        assert not self.queued
        self.page_tables.unmap(mappings)

    def tcm_left_bytes(self, pe):
        return TCM_BYTES - self.ring_bytes[pe]

    def install(self, wiring):
        assert not self.queued
        for pe in wiring.pes:
            self.ring_bytes[pe] += wiring.tcm_bytes(pe)

    def remove(self, wiring):
        assert not self.queued
        for pe in wiring.pes:
            self.ring_bytes[pe] -= wiring.tcm_bytes(pe)

    def launch(self, launch):
        self.queued.append(launch)

    def synchronize(self):
        self.now_ps += KERNEL_PS * len(self.queued)
        self.launched += self.queued
        self.queued.clear()

    complete_launches = synchronize

    def flush(self):
        pass


class NumpyMachine(FakeMachine):
    """A fake machine that runs kernels, one program after another, when they are waited for: no time, no records."""

    mode = "data"

    def __init__(self, *grids):
        super().__init__(*grids)
        self.shards = {}

    @property
    def is_busy(self):
        return bool(self.queued)

    def map(self, mapping):
        super().map(mapping)
        self.shards[mapping.shards.va] = mapping.shards

    def unmap(self, mappings):
        super().unmap(mappings)
        for mapping in mappings:
            del self.shards[mapping.shards.va]

    def synchronize(self):
        launched = self.queued.copy()
        super().synchronize()
        for one in launched:
            launch = LaunchId(self.store)
            call = KernelCall(one.kernel, one.args, one.meta)
            for program in one.programs:
                run_program(call, _Port(self, program, one.grid, launch))

    complete_launches = synchronize


class _Port(FakePort):
    """One program's port, whose PE reads the nearest copy and writes its own. Loads and stores are blocks."""

    def __init__(self, machine, program, grid, launch):
        super().__init__(program_ids=program.ids, grid=grid, launch=launch)
        self.machine, self.program, self.pe = machine, program.index, program.pe
        self.pe_name = str(machine.pes[program.pe])

    def pieces(self, access):
        shards = max((x for x in self.machine.shards.values() if x.va <= access.va), key=lambda x: x.va)
        return shards.pieces_for(upward(access)[0], self.pe)

    def read(self, source, fill):
        assert fill is None
        raw = self.machine.store.read(self.pieces(source.access), source.access.size_bytes)
        return block_of(raw, source.access, source.dtype)

    def write(self, target, value):
        self.machine.store.write(self.pieces(target.access), bytes_of(value, target.access))
