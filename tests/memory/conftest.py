"""A small machine's shape, and tensors placed on it by hand."""

from types import SimpleNamespace

import pytest

from kernbench.device.placement import place
from kernbench.dtypes import as_dtype
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.page_table import PageTables
from kernbench.memory.shards import Copy, ShardMap
from kernbench.memory.store import MemoryStore
from kernbench.topology.ids import PeId

PE_BYTES = 1 << 16
VA = 0x4000_0000


class Machine:
    """SIPs, cubes and PEs by their grids; each PE owns ``PE_BYTES`` of physical memory as owner ``100 + pe``."""

    def __init__(self, sips=(2, 1), cubes=(1, 2), pes=(2, 2), page_bytes=4096):
        level = lambda grid: SimpleNamespace(count=grid[0] * grid[1], grid=grid)  # noqa: E731
        self.spec = SimpleNamespace(
            system=SimpleNamespace(sips=level(sips)),
            sip=SimpleNamespace(cubes=level(cubes)),
            cube=SimpleNamespace(pes=level(pes)),
        )
        counts = [grid[0] * grid[1] for grid in (sips, cubes, pes)]
        self.pes = [
            PeId(s, c, p) for s in range(counts[0]) for c in range(counts[1]) for p in range(counts[2])
        ]
        self.store = MemoryStore([(pe * PE_BYTES, PE_BYTES) for pe in range(len(self.pes))])
        self.page_tables = PageTables(self.pes, page_bytes)
        self.used = [0] * len(self.pes)

    def tensor(self, shape, dtype, policy, *, name="x", va=VA):
        """A mapped tensor whose cells lie one after the other at their holders."""
        sharding = place(shape, as_dtype(dtype), policy, self.spec)
        shards = ShardMap(
            name=name,
            va=va,
            shape=shape,
            dtype=as_dtype(dtype),
            grid=sharding.grid,
            copies=[
                [self._copy(pe, sharding.grid.cell_bytes(c)) for pe in pes]
                for c, pes in enumerate(sharding.holders)
            ],
            pes=self.pes,
        )
        self.mapping = TensorMapping(shards, self.page_tables.by_sip[0].page_bytes)
        self.page_tables.map(self.mapping)
        return shards

    def _copy(self, pe, size):
        pa = pe * PE_BYTES + self.used[pe]
        self.used[pe] += size
        return Copy(pe, 100 + pe, pa)


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture(scope="session")
def new_machine():
    return Machine
