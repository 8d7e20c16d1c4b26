"""Who has which addresses: a first-fit free list with coalescing, for virtual and for physical memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from kernbench.errors import CapacityError, UsageError
from kernbench.messages.access import PhysicalAddress, VirtualAddress
from kernbench.units import ceil_div, format_bytes

# Where the virtual addresses of tensors begin and end. Low addresses stay free, so that a small integer taken for a
# pointer faults; 48 bits is what a four-level page table covers.
VA_BASE, VA_END = 1 << 30, 1 << 48
N_NAMED = 4  # allocations that a capacity error names


class Block(NamedTuple):
    """An allocation: what was asked for, what it takes after alignment, and for whom."""

    size_bytes: int
    taken_bytes: int
    label: str


class FreeList:
    """The holes of ``[base, base + size_bytes)``; ``base`` is a multiple of ``align_bytes``.

    Invariants: blocks and holes are disjoint and cover the range; no two holes touch; every address given is a
    multiple of ``align_bytes``. ``where`` names the memory in errors.
    """

    def __init__(self, where: str, base: int, size_bytes: int, align_bytes: int) -> None:
        self.where = where
        self.base = base
        self.size_bytes = size_bytes
        self.align_bytes = align_bytes
        self.blocks: dict[int, Block] = {}
        self.holes: list[tuple[int, int]] = [(base, size_bytes)] if size_bytes else []

    def take(self, size_bytes: int, label: str) -> int:
        """The address of ``size_bytes > 0`` bytes for ``label``, in the first hole that has room.

        Raises:
            CapacityError: no hole has.
        """
        taken = ceil_div(size_bytes, self.align_bytes) * self.align_bytes
        for index, (start, room) in enumerate(self.holes):
            if room >= taken:
                self.holes[index : index + 1] = [(start + taken, room - taken)] if room > taken else []
                self.blocks[start] = Block(size_bytes, taken, label)
                return start
        raise CapacityError(self._exhausted(size_bytes, label))

    def free(self, address: int, size_bytes: int) -> None:
        """Give back the block of ``size_bytes`` at ``address``, whole.

        Raises:
            UsageError: nothing, or something else, is allocated there.
        """
        block = self.blocks.get(address)
        if block is None or block.size_bytes != size_bytes:
            raise UsageError(self._not_a_block(address, size_bytes))
        del self.blocks[address]
        self._add_hole(address, address + block.taken_bytes)

    @property
    def free_bytes(self) -> int:
        """Bytes in all holes."""
        return sum(room for _, room in self.holes)

    @property
    def largest_hole_bytes(self) -> int:
        """Bytes in the largest hole: the most that one block can take."""
        return max((room for _, room in self.holes), default=0)

    def _add_hole(self, start: int, end: int) -> None:
        """Add ``[start, end)``, one with the holes it touches."""
        index = bisect_left(self.holes, (start, 0))
        if index < len(self.holes) and self.holes[index][0] == end:
            end += self.holes.pop(index)[1]
        if index and sum(self.holes[index - 1]) == start:
            start = self.holes.pop(index - 1)[0]
        insort(self.holes, (start, end - start))

    def _exhausted(self, size_bytes: int, label: str) -> str:
        held = sorted(self.blocks.values(), key=lambda block: (-block.size_bytes, block.label))
        names = [f"{block.label} {format_bytes(block.size_bytes)}" for block in held[:N_NAMED]]
        if len(held) > N_NAMED:
            names.append(f"{len(held) - N_NAMED} more")
        return (
            f"{self.where}: no room for {label}: it needs {format_bytes(size_bytes)}, and of "
            f"{format_bytes(self.size_bytes)} {format_bytes(self.free_bytes)} are free, "
            f"{format_bytes(self.largest_hole_bytes)} in one piece; "
            f"allocated: {', '.join(names) or 'nothing'}; free a tensor, make it smaller or shard it over more PEs"
        )

    def _not_a_block(self, address: int, size_bytes: int) -> str:
        what = f"{self.where}: cannot free {format_bytes(size_bytes)} at {address:#_x}"
        for start, block in self.blocks.items():
            if start < address + size_bytes and address < start + block.taken_bytes:
                return (
                    f"{what}: {start:#_x} holds {format_bytes(block.size_bytes)} for {block.label}; "
                    "free a block whole, from its start"
                )
        return f"{what}: it is not allocated; was it freed before?"


class VirtualAllocator(FreeList):
    """The virtual addresses of one context. Blocks begin at a page, and an unmapped page follows each."""

    def __init__(self, page_bytes: int) -> None:
        super().__init__(
            "virtual memory", ceil_div(VA_BASE, page_bytes) * page_bytes, VA_END - VA_BASE, page_bytes
        )

    def allocate(self, size_bytes: int, label: str) -> VirtualAddress:
        """The address of ``size_bytes >= 0`` bytes; running past their end meets no other tensor at once."""
        return VirtualAddress(self.take(size_bytes + self.align_bytes, label))

    def release(self, address: VirtualAddress, size_bytes: int) -> None:
        """Give back what :meth:`allocate` gave for ``size_bytes``."""
        self.free(address, size_bytes + self.align_bytes)


class PEMemAllocator(FreeList):
    """One PE's slice of HBM (or one bank of SRAM): physical addresses of the memory controller ``owner``.

    ``align_bytes`` is the memory's burst: no two tensors share one.
    """

    def __init__(self, where: str, owner: int, base: int, size_bytes: int, align_bytes: int) -> None:
        super().__init__(where, base, size_bytes // align_bytes * align_bytes, align_bytes)
        self.owner = owner

    def allocate(self, size_bytes: int, label: str) -> PhysicalAddress:
        """The address of ``size_bytes > 0`` bytes."""
        return PhysicalAddress(self.take(size_bytes, label))

    def release(self, address: PhysicalAddress, size_bytes: int) -> None:
        """Give back what :meth:`allocate` gave for ``size_bytes``."""
        self.free(address, size_bytes)
