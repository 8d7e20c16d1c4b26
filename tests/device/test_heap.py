"""The heap gives each byte and each page to one tensor at a time, and takes all of it back."""

import random
from itertools import pairwise

import pytest

from kernbench.device.heap import Heap
from kernbench.device.placement import SPACES, WAYS, DPPolicy
from kernbench.dtypes import as_dtype
from kernbench.errors import CapacityError, PageFaultError
from kernbench.messages.access import Access

DTYPES = ("fp64", "fp32", "fp16", "int8", "int1")
N_STEPS = 10_000


def blocks_do_not_overlap(memory):
    """Blocks and holes tile the memory, and no two holes touch."""
    spans = sorted([(at, block.taken_bytes) for at, block in memory.blocks.items()] + memory.holes)
    assert spans[0][0] == memory.base
    assert all(at + size == after for (at, size), (after, _) in pairwise(spans))
    assert sum(spans[-1]) == memory.base + memory.size_bytes
    assert all(at + size < after for (at, size), (after, _) in pairwise(memory.holes))


def first_byte(shards):
    return Access(va=shards.va, itemsize=1, block_shape=(1,), shape=(1,), strides=(1,), origin=(0,))


class Host:
    """Makes and drops tensors at random, and knows what should be there."""

    def __init__(self, device, seed):
        self.heap = Heap(device)
        self.random = random.Random(seed)
        self.living = []
        self.gone = []
        self.refused = 0

    def step(self):
        action = self.random.choice(("make", "make", "drop", "reap"))
        if action == "make":
            self.make()
        elif action == "drop" and self.living:
            shards, space = self.living.pop(self.random.randrange(len(self.living)))
            self.heap.bury(shards, space)
            self.gone.append(shards)
        elif action == "reap":
            self.heap.reap()
            self.all_gone_fault()

    def make(self):
        pick = self.random.choice
        policy = DPPolicy(pick(WAYS), pick(WAYS), pick(WAYS), pick(SPACES))
        shape = tuple(self.random.randrange(0, 40) for _ in range(self.random.randint(1, 3)))
        try:
            shards, _ = self.heap.allocate("x", shape, as_dtype(pick(DTYPES)), policy)
        except CapacityError:
            self.refused += 1
            return
        self.living.append((shards, policy.space))

    def all_gone_fault(self):
        tables = self.heap.device.page_tables
        for shards in self.gone:
            if shards.size_bytes and tables.by_sip[0].resolve(shards.va) is None:
                with pytest.raises(PageFaultError):
                    tables.pieces(0, first_byte(shards), None)
        self.gone.clear()

    def check(self):
        heap, tables = self.heap, self.heap.device.page_tables.by_sip
        mapped = (
            len(self.living)
            + len(self.gone)
            - sum(shards.size_bytes == 0 for shards in [*(s for s, _ in self.living), *self.gone])
        )
        assert [len(table) for table in tables] == [mapped] * len(tables)
        assert len(heap.mappings) == mapped
        for memory in (heap.virtual, *heap.memories()):
            blocks_do_not_overlap(memory)
        for shards, _ in self.living:
            found = tables[0].resolve(shards.va)
            assert found is (shards if shards.size_bytes else None)


@pytest.mark.parametrize("fit", ["first", "best"])
@pytest.mark.parametrize("miss", ["walk", "preload"])
def test_ten_thousand_random_steps_hold_the_invariants(new_torch, fit, miss):
    device = new_torch().ahbm.machine
    device.spec.host.fit, device.spec.pe.mmu.miss, device.tlb_entries = fit, miss, 48
    host = Host(device, seed=7)
    for step in range(N_STEPS):
        host.step()
        if step % 20 == 0:
            host.check()
    assert host.refused > 100
    for shards, space in host.living:
        host.heap.bury(shards, space)
    host.heap.reap()
    host.heap.close()
    for memory in (host.heap.virtual, *host.heap.memories()):
        assert memory.blocks == {}
        assert memory.holes == [(memory.base, memory.size_bytes)]
    assert not any(len(table) for table in device.page_tables.by_sip)


def allocated(heap):
    return [memory.blocks.copy() for memory in (heap.virtual, *heap.memories()) if memory.blocks]


def refuse(what):
    raise CapacityError(f"no room for {what}")


def no_shard(heap, monkeypatch):
    monkeypatch.setattr(
        heap, "_memory", lambda pe, space: refuse("a shard") if pe == 9 else memory(pe, space)
    )
    memory = Heap._memory.__get__(heap)


def no_virtual_range(heap, monkeypatch):
    monkeypatch.setattr(heap.virtual, "take", lambda *_: refuse("a range"))


def no_table(heap, monkeypatch):
    monkeypatch.setattr(
        heap, "_entries_memory", lambda mapping, cube: refuse("a table") if cube == 3 else find(mapping, cube)
    )
    find = Heap._entries_memory.__get__(heap)


@pytest.mark.parametrize("obstacle", [no_shard, no_virtual_range, no_table])
def test_what_was_taken_for_a_tensor_is_given_back_whatever_refuses_it(new_torch, monkeypatch, obstacle):
    heap = Heap(new_torch().ahbm.machine)
    everywhere = DPPolicy("replicate", "replicate", "replicate")
    heap.allocate("first", (16,), as_dtype("int8"), everywhere)
    before = allocated(heap)
    obstacle(heap, monkeypatch)
    with pytest.raises(CapacityError, match=r"^no room for a"):
        heap.allocate("second", (64,), as_dtype("int8"), everywhere)
    assert allocated(heap) == before
    assert len(heap.device.page_tables.by_sip[0]) == 1


def test_a_preloaded_tlb_that_is_full_refuses_a_tensor_before_it_is_mapped(new_torch):
    device = new_torch().ahbm.machine
    device.spec.pe.mmu.miss, device.tlb_entries = "preload", 4
    heap = Heap(device)
    heap.allocate("x", (4096,), as_dtype("int8"), DPPolicy())
    heap.allocate("y", (8192,), as_dtype("int8"), DPPolicy())
    with pytest.raises(CapacityError) as caught:
        heap.allocate("z", (3, 4096), as_dtype("int8"), DPPolicy())
    assert str(caught.value) == (
        "PE_MMU: no room for 'z': it needs 3 pages; free entries of a TLB: 1 of 4; mapped: 'y' 2, 'x' 1; "
        "write pe.mmu.tlb_entries: 6 or more, use larger pages (pe.mmu.page), or let misses walk (pe.mmu.miss: walk)"
    )
    assert len(device.page_tables.by_sip[0]) == 2
