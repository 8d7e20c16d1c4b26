"""Where the tensors of a context lie: gives them virtual and physical memory, and takes it back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from kernbench.config.rules.memory import directory_bytes
from kernbench.device.placement import DPPolicy, joined, place
from kernbench.device.protocol import Device
from kernbench.dtypes import DType
from kernbench.errors import CapacityError
from kernbench.memory.allocator import PEMemAllocator, VirtualAllocator
from kernbench.memory.cut import CellBorders
from kernbench.memory.mapping import TableCopy, TensorMapping
from kernbench.memory.shards import Copy, ShardGrid, ShardMap
from kernbench.messages.access import PhysicalAddress, VirtualAddress
from kernbench.messages.ipcq import Wiring
from kernbench.messages.owners import Lifetime
from kernbench.topology.ids import part_name
from kernbench.topology.levels import levels_of
from kernbench.units import format_bytes


class Heap:
    """The memory of one device, for one context.

    A tensor's virtual range is contiguous and row-major; each cell of its grid lies in the HBM slice (or an SRAM
    bank) of every PE that holds it; each cube keeps its page-table entries. Freed tensors are *buried* at once and
    *reaped* (unmapped, their memory reused) when nothing timed can touch them any more. ``mapped``, if it is set, is
    told of every tensor before it is mapped, also of one without bytes.
    """

    def __init__(self, device: Device) -> None:
        spec = device.spec
        self.device = device
        self.virtual = VirtualAllocator(spec.pe.mmu.page_bytes, spec.host.fit)
        self.mappings: dict[VirtualAddress, TensorMapping] = {}
        self.mapped: Callable[[TensorMapping, DPPolicy], None] | None = None
        self._physical: dict[tuple[int, int], PEMemAllocator] = {}
        self._directories: dict[PEMemAllocator, PhysicalAddress] = {}
        self._buried: deque[tuple[ShardMap, str]] = deque()  # any thread may bury, while another one reaps
        self._pes_per_cube = levels_of(spec)[-1].count
        self._has_tables = spec.pe.mmu.miss == "walk"
        self._directory_bytes = directory_bytes(spec.pe.mmu)

    def allocate(
        self, name: str, shape: tuple[int, ...], dtype: DType, policy: DPPolicy
    ) -> tuple[ShardMap, ShardGrid]:
        """Place a tensor and begin to make its pages valid: where it lies, and the parts that its policy deals.

        Raises:
            CapacityError: a PE that is to hold a part, or a cube that is to hold the table's entries, has no room for
                it, or a preloaded TLB has not; nothing is then allocated.
        """
        parts = place(shape, dtype, policy, self.device.spec)
        size_bytes = parts.grid.rows * parts.grid.row_bytes
        with ExitStack() as undo:
            va = self.virtual.allocate(size_bytes, repr(name))
            undo.callback(self.virtual.release, va, size_bytes)
            sharding = joined(parts, policy.least_bytes, self._turn(va))
            copies = self._copies(name, sharding, policy, undo)
            shards = ShardMap(
                name=name,
                va=va,
                shape=shape,
                dtype=dtype,
                grid=sharding.grid,
                copies=copies,
                pes=self.device.pes,
                life=Lifetime(self.device.store),
            )
            mapping = TensorMapping(shards, self.device.spec.pe.mmu.page_bytes)
            if mapping.n_pages and self._has_tables:
                self._place_entries(mapping, undo)
            elif mapping.n_pages:
                self._require_tlb_room(mapping)
            undo.pop_all()
        if self.mapped is not None:
            self.mapped(mapping, policy)
        if mapping.n_pages:
            self.mappings[va] = mapping
            self.device.map(mapping)
        return shards, parts

    def _turn(self, va: VirtualAddress) -> int:
        """How many of the smallest tensors have room below ``va``: each has a page, and one that is not mapped."""
        return (va - self.virtual.base) // (2 * self.virtual.align_bytes)

    def place_rings(self, wiring: Wiring) -> None:
        """Find room for the receive rings of a wiring: in each PE's TCM, its HBM slice or its turn of the SRAM.

        Raises:
            CapacityError: there is too little somewhere; names the sum, and nothing is taken then.
        """
        kind = wiring.ring.kind
        with ExitStack() as undo:
            for pe in wiring.pes:
                size_bytes = wiring.ring_bytes(pe)
                if not size_bytes:
                    continue
                if kind == "tcm":
                    self._require_tcm(wiring, pe)
                    continue
                memory = self._memory(pe, kind)
                pa = memory.allocate(size_bytes, f"the queues of {self.device.pes[pe]}, {_sum(wiring, pe)}")
                undo.callback(memory.release, pa, size_bytes)
                for i, end in enumerate(wiring.sites[pe].ends.values()):
                    end.owner, end.pa = memory.owner, pa + i * wiring.ring.size_bytes
            undo.pop_all()

    def _require_tcm(self, wiring: Wiring, pe: int) -> None:
        left_bytes, needed = self.device.tcm_left_bytes(pe), wiring.ring_bytes(pe)
        if needed > left_bytes:
            raise CapacityError(
                f"{self.device.pes[pe]}: its queues need {_sum(wiring, pe)} = {format_bytes(needed)} of TCM, and "
                f"{format_bytes(left_bytes)} are left; use fewer or smaller slots, or a ring in sram or hbm (ccl.yaml)"
            )

    def free_rings(self, wiring: Wiring) -> None:
        """Give the memory of the rings back."""
        if wiring.ring.kind == "tcm":
            return
        for pe in wiring.pes:
            ends = list(wiring.sites[pe].ends.values())
            if ends:
                pa = PhysicalAddress(ends[0].pa)
                self._memory(pe, wiring.ring.kind).release(pa, wiring.ring_bytes(pe))

    def bury(self, shards: ShardMap, space: str) -> None:
        """Note that nobody will use a tensor again; may be called at any time, also by the garbage collector."""
        if not shards.life.freed:
            shards.life.end("when nothing referred to it any more")
        self._buried.append((shards, space))

    @property
    def n_buried(self) -> int:
        """Tensors that wait to be reaped."""
        return len(self._buried)

    def reap(self) -> None:
        """Unmap the buried tensors and give their memory back; no kernel must be under way."""
        # As many as there are now: while they are unmapped, the garbage collector may bury more.
        buried = [self._buried.popleft() for _ in range(len(self._buried))]
        mappings = [self.mappings.pop(shards.va) for shards, _ in buried if shards.va in self.mappings]
        self.device.unmap(mappings)
        for mapping in mappings:
            self._free_entries(mapping)
        for shards, space in buried:
            self.virtual.release(shards.va, shards.size_bytes)
            self._free(shards.copies, shards.grid, space)

    def close(self) -> None:
        """Give the page directories back too; all tensors are reaped."""
        for memory, pa in self._directories.items():
            memory.release(pa, self._directory_bytes)
        self._directories.clear()

    def memories(self) -> Iterator[PEMemAllocator]:
        """Every physical memory that was ever used, by its first address."""
        return (memory for _, memory in sorted(self._physical.items(), key=lambda item: item[0][1]))

    def _place_entries(self, mapping: TensorMapping, undo: ExitStack) -> None:
        """Room for the entries in every cube, with the PEs taking turns by page; the directory is at the first PE's."""
        size_bytes = mapping.leaf_bytes(self._pes_per_cube)
        label = f"page table of {mapping.shards.name!r}"
        for cube in range(len(self.device.pes) // self._pes_per_cube):
            memory = self._entries_memory(mapping, cube)
            leaf_pa = memory.allocate(size_bytes, label)
            undo.callback(memory.release, leaf_pa, size_bytes)
            first = self._memory(cube * self._pes_per_cube, "hbm")
            mapping.blocks[cube] = TableCopy(memory.owner, leaf_pa, first.owner, self._directories[first])

    def _free_entries(self, mapping: TensorMapping) -> None:
        size_bytes = mapping.leaf_bytes(self._pes_per_cube)
        for cube, block in mapping.blocks.items():
            self._entries_memory(mapping, cube).release(block.leaf_pa, size_bytes)

    def _entries_memory(self, mapping: TensorMapping, cube: int) -> PEMemAllocator:
        turn = mapping.first_page % self._pes_per_cube
        return self._memory(cube * self._pes_per_cube + turn, "hbm")

    def _require_tlb_room(self, mapping: TensorMapping) -> None:
        held = {m.shards.name: m.n_pages for m in self.mappings.values()}
        n_entries, n_taken = self.device.tlb_entries, sum(m.n_pages for m in self.mappings.values())
        if n_taken + mapping.n_pages > n_entries:
            named = ", ".join(f"{name!r} {n_pages}" for name, n_pages in sorted(held.items(), key=_by_size))
            raise CapacityError(
                f"PE_MMU: no room for {mapping.shards.name!r}: it needs {mapping.n_pages} pages; free entries of a "
                f"TLB: {n_entries - n_taken} of {n_entries}; mapped: {named or 'nothing'}; write pe.mmu.tlb_entries: "
                f"{n_taken + mapping.n_pages} or more, use larger pages (pe.mmu.page), or let misses walk "
                "(pe.mmu.miss: walk)"
            )

    def _copies(self, name: str, sharding: ShardGrid, policy: DPPolicy, undo: ExitStack) -> list[list[Copy]]:
        copies: list[list[Copy]] = [[] for _ in sharding.holders]
        undo.callback(self._free, copies, sharding.grid, policy.space)
        for cell, holders in enumerate(sharding.holders):
            for pe in holders:
                memory = self._memory(pe, policy.space)
                pa = memory.allocate(sharding.grid.cell_bytes(cell), repr(name))
                copies[cell].append(Copy(pe, memory.owner, pa))
        return copies

    def _free(self, copies: Sequence[Sequence[Copy]], grid: CellBorders, space: str) -> None:
        for cell, of_cell in enumerate(copies):
            size_bytes = grid.cell_bytes(cell)
            for copy in of_cell:
                self._memory(copy.pe, space).release(copy.pa, size_bytes)
                # Who gets the memory next finds it unwritten, not the values of this tensor.
                self.device.store.discard(copy.pa, size_bytes)

    def _memory(self, pe: int, space: str) -> PEMemAllocator:
        """The memory that holds the shards of PE number ``pe``: its HBM slice, or its turn of its cube's SRAM banks."""
        name, bank = self.device.pes[pe], 0
        if space == "hbm":
            owner, base, size_bytes = self.device.slice_of(pe)
        else:
            banks = self.device.sram_banks(pe)
            bank = name[-1] % len(banks)
            owner, base, size_bytes = banks[bank]
        memory = self._physical.get((owner, base))
        if memory is None:
            # Named here, once: every part of every tensor passes by, and names cost more than all the rest.
            where = f"{name}: its slice of HBM" if space == "hbm" else f"{part_name(name[:-1])}.sram{bank}"
            burst_bytes = self.device.spec.cube.hbm.timing.burst_bytes
            memory = self._physical[owner, base] = PEMemAllocator(
                where, owner, base, size_bytes, burst_bytes, self.device.spec.host.fit
            )
            if self._has_tables and space == "hbm" and name[-1] == 0:
                self._directories[memory] = memory.allocate(self._directory_bytes, "page directory")
        return memory


def _sum(wiring: Wiring, pe: int) -> str:
    ring = wiring.ring
    return f"{len(wiring.sites[pe].ends)} x {ring.slots} slots x {format_bytes(ring.slot_bytes)}"


def _by_size(item: tuple[str, int]) -> tuple[int, str]:
    name, n_pages = item
    return -n_pages, name
