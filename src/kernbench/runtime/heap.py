"""Where the tensors of a context lie: gives them virtual and physical memory, and takes it back."""

from __future__ import annotations

from collections.abc import Sequence

from kernbench.dtypes import DType
from kernbench.errors import CapacityError
from kernbench.memory.allocator import PEMemAllocator, VirtualAllocator
from kernbench.memory.cut import Grid
from kernbench.memory.shards import Copy, ShardGrid, ShardMap
from kernbench.runtime.device import Device
from kernbench.runtime.placement import DPPolicy, place


class Heap:
    """The memory of one device, for one context.

    A tensor's virtual range is contiguous and row-major; each cell of its grid lies in the HBM slice (or an SRAM
    bank) of every PE that holds it. Freed tensors are *buried* at once and *reaped* (unmapped, their memory reused)
    when nothing timed can touch them any more.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.virtual = VirtualAllocator(device.spec.pe.mmu.page_bytes)
        self._physical: dict[tuple[int, int], PEMemAllocator] = {}
        self._buried: list[tuple[ShardMap, str]] = []

    def allocate(self, name: str, shape: tuple[int, ...], dtype: DType, policy: DPPolicy) -> ShardMap:
        """Place a tensor and make its addresses valid.

        Raises:
            CapacityError: a PE that is to hold a part has no room for it; nothing is then allocated.
        """
        sharding = place(shape, dtype, policy, self.device.spec)
        size_bytes = sharding.grid.rows * sharding.grid.row_bytes
        copies = self._copies(name, sharding, policy)
        shards = ShardMap(
            name=name,
            va=self.virtual.allocate(size_bytes, repr(name)),
            shape=shape,
            dtype=dtype,
            grid=sharding.grid,
            copies=copies,
            pes=self.device.pes,
        )
        self.device.translator.map(shards)
        return shards

    def bury(self, shards: ShardMap, space: str) -> None:
        """Note that nobody will use a tensor again; may be called at any time, also by the garbage collector."""
        self._buried.append((shards, space))

    @property
    def n_buried(self) -> int:
        """Tensors that wait to be reaped."""
        return len(self._buried)

    def reap(self) -> None:
        """Unmap the buried tensors and give their memory back; nothing must be under way."""
        while self._buried:
            shards, space = self._buried.pop()
            self.device.translator.unmap(shards)
            self.virtual.release(shards.va, shards.size_bytes)
            self._free(shards.copies, shards.grid, space)

    def _copies(self, name: str, sharding: ShardGrid, policy: DPPolicy) -> list[list[Copy]]:
        copies: list[list[Copy]] = [[] for _ in sharding.holders]
        try:
            for cell, holders in enumerate(sharding.holders):
                for pe in holders:
                    memory = self._memory(pe, policy.space)
                    pa = memory.allocate(sharding.grid.cell_bytes(cell), repr(name))
                    copies[cell].append(Copy(pe, memory.owner, pa))
        except CapacityError:
            self._free(copies, sharding.grid, policy.space)
            raise
        return copies

    def _free(self, copies: Sequence[Sequence[Copy]], grid: Grid, space: str) -> None:
        for cell, of_cell in enumerate(copies):
            size_bytes = grid.cell_bytes(cell)
            for copy in of_cell:
                self._memory(copy.pe, space).release(copy.pa, size_bytes)
                self.device.store.discard(copy.pa, size_bytes)

    def _memory(self, pe: int, space: str) -> PEMemAllocator:
        """The memory that holds the shards of PE number ``pe``: its HBM slice, or its turn of its cube's SRAM banks."""
        name = self.device.pes[pe]
        if space == "hbm":
            owner, base, size_bytes = self.device.slice_of(pe)
            where = f"{name}: its slice of HBM"
        else:
            banks = self.device.sram_banks(pe)
            bank = name.pe % len(banks)
            owner, base, size_bytes = banks[bank]
            where = f"sip{name.sip}.cube{name.cube}.sram{bank}"
        memory = self._physical.get((owner, base))
        if memory is None:
            burst_bytes = self.device.spec.cube.hbm.timing.burst_bytes
            memory = self._physical[owner, base] = PEMemAllocator(where, owner, base, size_bytes, burst_bytes)
        return memory
