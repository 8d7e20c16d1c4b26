"""Who has which addresses: a free list with coalescing, first or best fit, for virtual and physical use."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from kernbench.config.quantities import Fit
from kernbench.errors import CapacityError, UsageError
from kernbench.messages.access import PhysicalAddress, VirtualAddress
from kernbench.topology.address_map import PA_BASE
from kernbench.units import ceil_div, format_bytes

# Where the virtual addresses of tensors begin and end. Low addresses stay free, so that a small integer taken for a
# pointer faults; the upper half of 48 bits is that of physical addresses (see topology/address_map.py).
VA_BASE, VA_END = 1 << 30, PA_BASE
N_NAMED = 4  # allocations that a capacity error names


class Allocation(NamedTuple):
    """An allocation: what was asked for, what it takes after alignment, and for whom."""

    size_bytes: int
    taken_bytes: int
    label: str


class FreeList:
    """The holes of ``[base, base + size_bytes)``; ``base`` is a multiple of ``align_bytes``.

    Invariants: blocks and holes are disjoint and cover the range; no two holes touch; every address given is a
    multiple of ``align_bytes``; ``holes`` are ``(start, room)`` in order of address, ``_by_room`` the same as
    ``(room, start)`` in order of room. ``where`` names the memory in errors.

    Of the holes that have room, an allocation takes the lowest (``fit`` is ``first``), or the smallest and of
    equal ones the lowest (``best``).
    """

    def __init__(self, where: str, base: int, size_bytes: int, align_bytes: int, fit: Fit) -> None:
        self.where = where
        self.base = base
        self.size_bytes = size_bytes
        self.align_bytes = align_bytes
        self.fit = fit
        self.blocks: dict[int, Allocation] = {}
        self.holes: list[tuple[int, int]] = []
        self._by_room: list[tuple[int, int]] = []
        self._add_hole(base, size_bytes)

    def take(self, size_bytes: int, label: str) -> int:
        """The address of ``size_bytes > 0`` bytes for ``label``, in the hole that ``fit`` names.

        Raises:
            CapacityError: no hole has room.
        """
        assert size_bytes > 0, (
            f"{self.where}: {label} asks for {size_bytes} B; an empty shard takes no memory"
        )
        taken = ceil_div(size_bytes, self.align_bytes) * self.align_bytes
        if taken > self.largest_hole_bytes:
            raise CapacityError(self._exhausted(size_bytes, label))
        start, room = self._remove_hole(self._index_with_room(taken))
        self._add_hole(start + taken, room - taken)
        self.blocks[start] = Allocation(size_bytes, taken, label)
        return start

    def free(self, address: int, size_bytes: int) -> None:
        """Give back the block of ``size_bytes`` at ``address``, whole.

        Raises:
            UsageError: nothing, or something else, is allocated there.
        """
        block = self.blocks.get(address)
        if block is None or block.size_bytes != size_bytes:
            raise UsageError(self._not_a_block(address, size_bytes))
        del self.blocks[address]
        self._join_hole(address, block.taken_bytes)

    @property
    def free_bytes(self) -> int:
        """Bytes in all holes."""
        return sum(room for _, room in self.holes)

    @property
    def largest_hole_bytes(self) -> int:
        """Bytes in the largest hole: the most that one block can take."""
        return self._by_room[-1][0] if self._by_room else 0

    def _index_with_room(self, taken_bytes: int) -> int:
        """Which of ``holes`` to take ``taken_bytes`` from; one has room."""
        if self.fit == "best":
            room, start = self._by_room[bisect_left(self._by_room, (taken_bytes, 0))]
            return bisect_left(self.holes, (start, room))
        return next(index for index, (_, room) in enumerate(self.holes) if room >= taken_bytes)

    def _join_hole(self, start: int, room: int) -> None:
        """Add a hole, one with those it touches."""
        index = bisect_left(self.holes, (start, 0))
        if index < len(self.holes) and self.holes[index][0] == start + room:
            room += self._remove_hole(index)[1]
        if index and sum(self.holes[index - 1]) == start:
            start, before = self._remove_hole(index - 1)
            room += before
        self._add_hole(start, room)

    def _add_hole(self, start: int, room: int) -> None:
        """Add a hole that touches no other; one without room is none."""
        if room:
            insort(self.holes, (start, room))
            insort(self._by_room, (room, start))

    def _remove_hole(self, index: int) -> tuple[int, int]:
        start, room = self.holes.pop(index)
        del self._by_room[bisect_left(self._by_room, (room, start))]
        return start, room

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

    def __init__(self, page_bytes: int, fit: Fit) -> None:
        super().__init__(
            "virtual memory", ceil_div(VA_BASE, page_bytes) * page_bytes, VA_END - VA_BASE, page_bytes, fit
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

    def __init__(
        self, where: str, owner: int, base: int, size_bytes: int, align_bytes: int, fit: Fit
    ) -> None:
        super().__init__(where, base, size_bytes // align_bytes * align_bytes, align_bytes, fit)
        self.owner = owner

    def allocate(self, size_bytes: int, label: str) -> PhysicalAddress:
        """The address of ``size_bytes > 0`` bytes."""
        return PhysicalAddress(self.take(size_bytes, label))

    def release(self, address: PhysicalAddress, size_bytes: int) -> None:
        """Give back what :meth:`allocate` gave for ``size_bytes``."""
        self.free(address, size_bytes)
