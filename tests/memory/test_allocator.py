"""A free list never gives a byte twice, loses none, and joins what is free."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from kernbench.errors import CapacityError, UsageError
from kernbench.memory.allocator import FreeList, PEMemAllocator, VirtualAllocator

BASE, SIZE, ALIGN = 0x1000, 4096, 32


class FreeListMachine(RuleBasedStateMachine):
    """Blocks of random sizes, taken and freed in any order."""

    held = Bundle("held")

    def __init__(self):
        super().__init__()
        self.memory = FreeList("memory", BASE, SIZE, ALIGN)
        self.live = {}

    @rule(target=held, size=st.integers(1, 1500))
    def take(self, size):
        fits = any(room >= -(-size // ALIGN) * ALIGN for _, room in self.memory.holes)
        if not fits:
            with pytest.raises(CapacityError):
                self.memory.take(size, "x")
            return None
        address = self.memory.take(size, "x")
        assert address % ALIGN == 0
        self.live[address] = size
        return address

    @rule(address=consumes(held))
    def free(self, address):
        if address is not None:
            self.memory.free(address, self.live.pop(address))

    @invariant()
    def blocks_and_holes_tile_the_memory(self):
        blocks = [(at, -(-size // ALIGN) * ALIGN) for at, size in self.live.items()]
        end = BASE
        for start, size in sorted(blocks + self.memory.holes):
            assert start == end
            end = start + size
        assert end == BASE + SIZE

    @invariant()
    def no_two_holes_touch(self):
        holes = self.memory.holes
        assert all(a + room < b for (a, room), (b, _) in zip(holes, holes[1:], strict=False))

    def teardown(self):
        for address, size in self.live.items():
            self.memory.free(address, size)
        assert self.memory.holes == [(BASE, SIZE)]
        assert self.memory.free_bytes == self.memory.largest_hole_bytes == SIZE


TestFreeList = FreeListMachine.TestCase


@pytest.fixture
def memory():
    return PEMemAllocator(
        "sip0.cube0.pe3: its slice of HBM", owner=7, base=BASE, size_bytes=SIZE, align_bytes=ALIGN
    )


def test_the_first_hole_with_room_is_taken(memory):
    first, second = memory.allocate(64, "a"), memory.allocate(64, "b")
    memory.allocate(64, "c")
    memory.release(second, 64)
    memory.release(first, 64)
    assert memory.allocate(128, "d") == BASE


def test_exhaustion_names_need_free_largest_hole_and_what_is_there(memory):
    memory.allocate(1024, "'weights'")
    hole = memory.allocate(512, "'gone'")
    memory.allocate(2048, "'x'")
    memory.release(hole, 512)
    with pytest.raises(CapacityError) as caught:
        memory.allocate(600, "'y'")
    assert str(caught.value) == (
        "sip0.cube0.pe3: its slice of HBM: no room for 'y': it needs 600 B, and of 4 KiB 1 KiB are free, "
        "512 B in one piece; allocated: 'x' 2 KiB, 'weights' 1 KiB; "
        "free a tensor, make it smaller or shard it over more PEs"
    )


def test_exhaustion_names_the_largest_few(memory):
    for i in range(6):
        memory.allocate(512 + 32 * i, f"'t{i}'")
    with pytest.raises(
        CapacityError, match=r"allocated: 't5' 672 B, 't4' 640 B, 't3' 608 B, 't2' 576 B, 2 more;"
    ):
        memory.allocate(2048, "'y'")


def test_freeing_twice_is_an_error(memory):
    address = memory.allocate(100, "'x'")
    memory.release(address, 100)
    with pytest.raises(UsageError) as caught:
        memory.release(address, 100)
    assert str(caught.value) == (
        "sip0.cube0.pe3: its slice of HBM: cannot free 100 B at 0x1000: it is not allocated; was it freed before?"
    )


@pytest.mark.parametrize(("offset", "size"), [(0, 32), (32, 64), (0, 200)])
def test_freeing_in_part_is_an_error(memory, offset, size):
    address = memory.allocate(100, "'x'")
    with pytest.raises(UsageError) as caught:
        memory.release(address + offset, size)
    assert str(caught.value) == (
        f"sip0.cube0.pe3: its slice of HBM: cannot free {size} B at {address + offset:#_x}: "
        "0x1000 holds 100 B for 'x'; free a block whole, from its start"
    )


def test_virtual_blocks_begin_at_a_page_and_an_unmapped_page_follows():
    virtual = VirtualAllocator(page_bytes=4096)
    first, second = virtual.allocate(4096, "'x'"), virtual.allocate(1, "'y'")
    assert (first % 4096, second % 4096) == (0, 0)
    assert second == first + 2 * 4096
    virtual.release(first, 4096)
    virtual.release(second, 1)
    assert len(virtual.holes) == 1
