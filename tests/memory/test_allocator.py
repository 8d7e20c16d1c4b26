"""A free list gives no byte twice, loses none, joins what is free, and takes the hole its fit names."""

import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from kernbench.errors import CapacityError, UsageError
from kernbench.memory.allocator import FreeList, PEMemAllocator, VirtualAllocator

BASE, SIZE, ALIGN, PAGE = 0x1000, 4096, 32, 4096
FITS = ("first", "best")


def aligned(size_bytes, align_bytes=ALIGN):
    return -(-size_bytes // align_bytes) * align_bytes


def named_by(fit, holes, taken_bytes):
    """Where the rule says that ``taken_bytes`` go; None if no hole has room."""
    having_room = [(start, room) for start, room in holes if room >= taken_bytes]
    order = {"first": lambda hole: hole[0], "best": lambda hole: (hole[1], hole[0])}[fit]
    return min(having_room, key=order)[0] if having_room else None


def check_cover(memory, taken):
    """The blocks ``taken`` (bytes by address) and the holes cover ``memory`` once, and no two holes touch."""
    end, was_hole = memory.base, False
    holes = dict(memory.holes)
    for start, size in sorted([*taken.items(), *holes.items()]):
        assert start == end
        assert not (was_hole and start in holes)
        end, was_hole = start + size, start in holes
    assert end == memory.base + memory.size_bytes
    assert memory.free_bytes == sum(holes.values())
    assert memory.largest_hole_bytes == max(holes.values(), default=0)


class FreeListMachine(RuleBasedStateMachine):
    """Blocks of random sizes, taken and freed in any order."""

    held = Bundle("held")

    def __init__(self):
        super().__init__()
        self.memory = FreeList("memory", BASE, SIZE, ALIGN, self.fit)
        self.live = {}

    @rule(target=held, size=st.integers(1, 1500))
    def take(self, size):
        expected = named_by(self.fit, self.memory.holes, aligned(size))
        if expected is None:
            with pytest.raises(CapacityError):
                self.memory.take(size, "x")
            return None
        assert self.memory.take(size, "x") == expected
        self.live[expected] = size
        return expected

    @rule(address=consumes(held))
    def free(self, address):
        if address is not None:
            self.memory.free(address, self.live.pop(address))

    @rule(address=st.integers(BASE - ALIGN, BASE + SIZE), size=st.integers(1, 1500))
    def free_what_is_not_held(self, address, size):
        if self.live.get(address) != size:
            with pytest.raises(UsageError):
                self.memory.free(address, size)

    @invariant()
    def every_byte_is_in_one_block_or_hole(self):
        assert all(address % ALIGN == 0 for address in self.live)
        check_cover(self.memory, {address: aligned(size) for address, size in self.live.items()})

    def teardown(self):
        for address, size in self.live.items():
            self.memory.free(address, size)
        assert self.memory.holes == [(BASE, SIZE)]
        assert self.memory.free_bytes == self.memory.largest_hole_bytes == SIZE


class FirstFitMachine(FreeListMachine):
    fit = "first"


class BestFitMachine(FreeListMachine):
    fit = "best"


TestFirstFit = FirstFitMachine.TestCase
TestBestFit = BestFitMachine.TestCase


def long_run(memory, take, free, taken_bytes, most_bytes):
    """10,000 times takes up to ``most_bytes`` or frees, checking each hole taken; then frees all."""
    rng = random.Random(11)
    live, taken = [], {}
    for _ in range(10_000):
        if rng.random() * 200 < len(live):  # about 100 blocks, if so many have room
            address, size = live.pop(rng.randrange(len(live)))
            free(address, size)
            del taken[address]
        else:
            size = rng.randint(1, rng.choice((64, most_bytes)))
            expected = named_by(memory.fit, memory.holes, taken_bytes(size))
            if expected is None:
                with pytest.raises(CapacityError):
                    take(size, "x")
                continue
            assert take(size, "x") == expected
            live.append((expected, size))
            taken[expected] = taken_bytes(size)
        check_cover(memory, taken)
    assert len(memory.holes) > 10
    for address, size in live:
        free(address, size)
    assert memory.holes == [(memory.base, memory.size_bytes)]
    assert memory.blocks == {}


@pytest.mark.parametrize("fit", FITS)
def test_physical_memory_is_whole_after_ten_thousand_steps(fit):
    memory = FreeList("memory", BASE, 8 * SIZE, ALIGN, fit)
    long_run(memory, memory.take, memory.free, aligned, most_bytes=1500)


@pytest.mark.parametrize("fit", FITS)
def test_virtual_memory_is_whole_after_ten_thousand_steps(fit):
    virtual = VirtualAllocator(PAGE, fit)
    long_run(
        virtual,
        virtual.allocate,
        virtual.release,
        lambda size: aligned(size, PAGE) + PAGE,  # and the page that stays unmapped
        most_bytes=8 * PAGE,
    )


@pytest.fixture(params=FITS)
def memory(request):
    return PEMemAllocator(
        "sip0.cube0.pe3: its slice of HBM",
        owner=7,
        base=BASE,
        size_bytes=SIZE,
        align_bytes=ALIGN,
        fit=request.param,
    )


def with_holes(fit, *holes_bytes):
    """4 KiB, full but for holes of these sizes with blocks of 32 B between; and where the holes are."""
    memory = FreeList("memory", BASE, SIZE, ALIGN, fit)
    starts = []
    for size in holes_bytes:
        starts.append(memory.take(size, "gone"))
        memory.take(ALIGN, "kept")
    memory.take(memory.free_bytes, "the rest")
    for start, size in zip(starts, holes_bytes, strict=True):
        memory.free(start, size)
    return memory, starts


@pytest.mark.parametrize(("fit", "index"), [("first", 1), ("best", 2)])
def test_first_fit_takes_the_lowest_hole_and_best_fit_the_lowest_of_the_smallest(fit, index):
    memory, starts = with_holes(fit, 64, 1024, 128, 512, 128)
    assert memory.take(100, "x") == starts[index]


def test_best_fit_keeps_the_large_hole_that_first_fit_breaks():
    first, _ = with_holes("first", 1024, 512)
    best, (large, small) = with_holes("best", 1024, 512)
    assert first.take(512, "'x'") == large
    assert best.take(512, "'x'") == small
    assert best.take(1024, "'y'") == large
    with pytest.raises(CapacityError) as caught:
        first.take(1024, "'y'")
    assert str(caught.value) == (
        "memory: no room for 'y': it needs 1 KiB, and of 4 KiB 1 KiB are free, 512 B in one piece; "
        "allocated: the rest 2.438 KiB, 'x' 512 B, kept 32 B, kept 32 B; "
        "free a tensor, make it smaller or shard it over more PEs"
    )


def test_holes_that_touch_are_taken_as_one(memory):
    first, second = memory.allocate(64, "a"), memory.allocate(64, "b")
    memory.allocate(64, "c")
    memory.release(second, 64)
    memory.release(first, 64)
    assert memory.allocate(128, "d") == BASE


@pytest.mark.parametrize("size", [0, -1])
def test_nothing_takes_no_physical_memory(memory, size):
    with pytest.raises(AssertionError) as caught:
        memory.allocate(size, "'x'")
    assert str(caught.value) == (
        f"sip0.cube0.pe3: its slice of HBM: 'x' asks for {size} B; an empty shard takes no memory"
    )
    assert memory.free_bytes == SIZE


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


def test_freeing_what_never_was_allocated_is_an_error(memory):
    with pytest.raises(UsageError) as caught:
        memory.release(BASE + 64, 100)
    assert str(caught.value) == (
        "sip0.cube0.pe3: its slice of HBM: cannot free 100 B at 0x1040: it is not allocated; "
        "was it freed before?"
    )


@pytest.mark.parametrize("fit", FITS)
def test_virtual_blocks_begin_at_a_page_and_an_unmapped_page_follows(fit):
    virtual = VirtualAllocator(PAGE, fit)
    first, second, third = (
        virtual.allocate(PAGE, "'x'"),
        virtual.allocate(1, "'y'"),
        virtual.allocate(0, "'z'"),
    )
    assert first % PAGE == 0
    assert second == first + 2 * PAGE
    assert third == second + 2 * PAGE
    assert virtual.allocate(PAGE, "'w'") == third + PAGE  # what is empty takes only the unmapped page


@pytest.mark.parametrize("fit", FITS)
def test_freeing_virtual_memory_twice_or_in_part_is_an_error(fit):
    virtual = VirtualAllocator(PAGE, fit)
    address = virtual.allocate(PAGE, "'x'")
    with pytest.raises(UsageError) as in_part:
        virtual.release(address, 1)
    virtual.release(address, PAGE)
    with pytest.raises(UsageError) as twice:
        virtual.release(address, PAGE)
    assert str(in_part.value) == (
        "virtual memory: cannot free 4.001 KiB at 0x4000_0000: 0x4000_0000 holds 8 KiB for 'x'; "
        "free a block whole, from its start"
    )
    assert str(twice.value) == (
        "virtual memory: cannot free 8 KiB at 0x4000_0000: it is not allocated; was it freed before?"
    )
