"""PE_MMU: a look-up takes a hit or a walk, the TLB holds the pages used last, messages keep it true.

Of this harness: 10 ns one way, a memory of 64 B/ns. A look-up takes 1 ns, a message and each entry it changes 4 ns.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kernbench.messages.fabric import MmuMapMsg, MmuUnmapMsg, PacketKind, PagePieces, Piece
from kernbench.messages.oplog import OpCode

MEMORY, M_CPU = 100, 101  # nodes of the harness
PAGE = 1 << 21
HIT_PS, UPDATE_PS = 1_000, 4_000
READ_PS = 10_000 + 10_000  # and the bytes at 64 B/ns
POINTER, ENTRY = 8, 32


class Paged:
    """Each address in the page of its number, each page an entry of ``segments`` segments."""

    def __init__(self, segments=1):
        self.segments = segments

    def translate(self, pe, access, line, *, is_write):
        page = access.va // PAGE
        return (PagePieces(page, (Piece(MEMORY, access.va, 64, 64, 1, 0, 64),)),)

    def mapping_of(self, page):
        return SimpleNamespace(walk=self.walk)

    def walk(self, page, cube, local_pe, n_reads):
        sizes = [POINTER] * (n_reads - 1) + [ENTRY * self.segments]
        return (Piece(MEMORY, 1 << 40, size, size, 1, 0, size) for size in sizes)


@pytest.fixture
def make_mmu(make_pe):
    """A PE whose table is :class:`Paged` and whose TLB is empty."""

    def make(segments=1, **mmu):
        pe = make_pe(mmu=mmu)
        pe.graph.levels = [SimpleNamespace(count=16)]
        pe.pe_mmu.table = Paged(segments)
        pe.pe_mmu._held.clear()
        return pe

    return make


def loads(kit, *pages):
    return [kit.load((32,), va=page * PAGE) for page in pages]


def counts(pe):
    return pe.pe_mmu.n_hits, pe.pe_mmu.n_misses, pe.pe_mmu.n_walks


def walk_ps(reads=2, entry_bytes=ENTRY):
    """Reads one after the other: directories of a pointer, then the entry."""
    return (reads - 1) * (READ_PS + POINTER * 1000 // 64) + READ_PS + entry_bytes * 1000 // 64


def test_the_first_use_of_a_page_walks_and_the_next_hits(make_mmu, kit):
    pe = make_mmu()
    pe.run(loads(kit, 5))
    pe.run(loads(kit, 5))
    first, second = (end - start for start, end in pe.spans(OpCode.DMA_READ))
    assert first - second == walk_ps() == 40_625
    assert counts(pe) == (1, 1, 1)


@pytest.mark.parametrize("reads", [1, 2, 4])
def test_a_walk_is_its_reads_one_after_the_other(make_mmu, kit, reads):
    pe = make_mmu(walk_reads=reads)
    pe.run(loads(kit, 5))
    (record,) = pe.records(OpCode.WALK)
    assert record.end_ps - record.start_ps == walk_ps(reads)
    assert record.va == 5 * PAGE
    assert record.size_bytes == (reads - 1) * POINTER + ENTRY
    assert len(posted_reads(pe)) == reads + 1


def posted_reads(pe):
    return [chunk for _, chunk in pe.fabric.posted if chunk.kind is PacketKind.READ_REQUEST]


def test_the_entry_of_a_split_page_takes_its_size(make_mmu, kit):
    """300 segments are 9600 bytes: packets of 4096, 4096 and 1408 bytes, each a read."""
    pe = make_mmu(segments=300)
    pe.run(loads(kit, 5))
    (record,) = pe.records(OpCode.WALK)
    entry_ps = sum(READ_PS + size * 1000 // 64 for size in (4096, 4096, 1408))
    assert record.end_ps - record.start_ps == READ_PS + POINTER * 1000 // 64 + entry_ps


def test_the_time_of_a_walk_shows_in_the_marks_of_its_load(make_mmu, kit):
    pe = make_mmu()
    pe.run(loads(kit, 5))
    (load,) = pe.records(OpCode.DMA_READ)
    assert load.mark1_ps - load.start_ps == 16_000 + HIT_PS
    assert load.mark2_ps - load.mark1_ps == walk_ps()


def test_the_page_that_was_not_used_for_longest_leaves(make_mmu, kit):
    pe = make_mmu(tlb_entries=2)
    pe.run(loads(kit, 1, 2))
    pe.run(loads(kit, 1))
    pe.run(loads(kit, 3))
    assert list(pe.pe_mmu._held) == [1, 3]
    pe.run(loads(kit, 2))
    assert counts(pe) == (1, 4, 4)


def test_a_second_miss_of_a_page_waits_for_the_walk_under_way(make_mmu, kit):
    """The store's channel looks the page up while the load's channel walks for it."""
    pe = make_mmu()
    known = kit.known((16,))
    pe.run([kit.load((16,), va=PAGE), kit.store(known, va=PAGE + 4096)])
    assert counts(pe) == (0, 2, 1)
    (walk,), (load,), (store,) = (pe.records(op) for op in (OpCode.WALK, OpCode.DMA_READ, OpCode.DMA_WRITE))
    assert load.mark2_ps == store.mark2_ps == walk.end_ps


def test_a_hit_goes_on_while_another_page_is_walked_for(make_mmu, kit):
    pe = make_mmu()
    pe.run(loads(kit, 1))
    pe.run([kit.load((16,), va=2 * PAGE), kit.store(kit.known((16,)), va=PAGE)])
    store = pe.records(OpCode.DMA_WRITE)[-1]
    assert store.mark2_ps == store.mark1_ps == store.start_ps + 16_000 + HIT_PS


def test_walker_time_is_busy_or_idle(make_mmu, kit):
    pe = make_mmu()
    pe.run(loads(kit, 1, 2, 1))
    ((name, meter),) = pe.pe_mmu.meters()
    assert name == "walker"
    assert meter.busy_ps == 2 * walk_ps()
    assert meter.busy_ps + meter.idle_ps == pe.engine.now_ps


def send(pe, message):
    for chunk in pe.fabric.packet(PacketKind.CONTROL, message, message.size_bytes):
        pe.niu.receive(chunk)
    sent_ps = pe.engine.now_ps
    pe.engine.run()
    done_ps, done = pe.fabric.done[-1]
    assert (done.job, done.n_pes) == (message.job, 1)
    return done_ps - sent_ps


def message(kind, first, n):
    mapping = SimpleNamespace(pages=range(first, first + n))
    return kind(job=7, mapping=mapping, pes=(0,), reply_to=M_CPU, size_bytes=16)


def test_a_map_is_acknowledged_after_one_update(make_mmu):
    pe = make_mmu()
    assert send(pe, message(MmuMapMsg, 3, 5)) == UPDATE_PS
    assert list(pe.pe_mmu._held) == []


def test_an_unmap_drops_the_pages_that_are_held(make_mmu, kit):
    pe = make_mmu()
    pe.run(loads(kit, 1, 3, 4, 9))
    assert send(pe, message(MmuUnmapMsg, 3, 5)) == 3 * UPDATE_PS
    assert list(pe.pe_mmu._held) == [1, 9]


def test_a_map_fills_a_preloaded_tlb(make_mmu, kit):
    pe = make_mmu(miss="preload")
    assert send(pe, message(MmuMapMsg, 3, 5)) == 6 * UPDATE_PS
    pe.run(loads(kit, 7))
    assert counts(pe) == (1, 0, 0)
