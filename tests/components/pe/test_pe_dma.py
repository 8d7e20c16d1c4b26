"""PE_DMA: a descriptor costs its set-up and translation, its packets what lies between; channels are in order.

Of this harness: 10 ns one way, a memory of 64 B/ns. Set-up 16 ns, a page in the TLB 1 ns; TCM 128 B/ns and 6 ns.
"""

from __future__ import annotations

import numpy as np
import pytest

from kernbench.dtypes import float32
from kernbench.errors import PageFaultError
from kernbench.messages.access import Access
from kernbench.messages.commands import Operand, Space
from kernbench.messages.fabric import PacketKind, PagePieces
from kernbench.messages.oplog import OpCode
from kernbench.units import Rate

LOOK_UP_PS = 1_000
SETUP_PS = 16_000 + LOOK_UP_PS
AROUND_PS = 20_000
TCM_PS = 6_000


def posted(pe, kind):
    return [chunk for _, chunk in pe.fabric.posted if chunk.kind is kind]


def gather(kit, n, stride=64):
    """``n`` fp32 elements, ``stride`` bytes apart, as a list of addresses."""
    access = Access(
        va=0,
        itemsize=4,
        block_shape=(n,),
        shape=(n,),
        strides=(),
        origin=(0,),
        addresses=np.arange(n, dtype=np.int64) * stride,
        lanes=np.arange(n, dtype=np.int64),
    )
    return Operand(shape=(n,), dtype=float32, space=Space.HBM, access=access)


@pytest.mark.parametrize("size_bytes", [32, 1024, 4096, 8192])
def test_a_load_takes_setup_round_trip_and_serialisation(pe, kit, size_bytes):
    pe.run([kit.load((size_bytes // 2,))])
    ((start_ps, end_ps),) = pe.spans(OpCode.DMA_READ)
    assert end_ps - start_ps == SETUP_PS + AROUND_PS + size_bytes * 1000 // 64 + TCM_PS


def test_a_loads_marks_are_those_of_the_request_that_was_answered_last(pe, kit):
    """Two packets of 4096 bytes go out together; the memory begins the second 64 ns after the first."""
    pe.run([kit.load((4096,))])
    (record,) = pe.records(OpCode.DMA_READ)
    issued_ps = record.start_ps + SETUP_PS
    arrived_ps = issued_ps + 10_000
    assert record[-4:] == (issued_ps, arrived_ps, arrived_ps + 64_000, arrived_ps + 128_000)


def test_the_setup_of_the_next_load_hides_behind_the_data_of_this_one(pe, kit):
    """Memory-bound, a load of 8192 bytes ends 128 ns after the one before; its record begins where that ended."""
    pe.run([kit.load((4096,), va=i << 16) for i in range(4)])
    spans = pe.spans(OpCode.DMA_READ)
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
    assert {end - start for start, end in spans[1:]} == {128_000}


def test_unanswered_bytes_never_exceed_the_window(make_pe, kit):
    pe = make_pe(dma={"max_inflight_bytes": 5000})
    open_bytes, most = 0, 0
    post, receive = pe.fabric.post, pe.niu.receive

    def count_post(chunk, *route):
        nonlocal open_bytes, most
        if chunk.kind is PacketKind.READ_REQUEST:
            open_bytes += chunk.body.size_bytes
            most = max(most, open_bytes)
        post(chunk, *route)

    def count_answer(chunk):
        nonlocal open_bytes
        open_bytes -= chunk.payload_bytes if chunk.kind is PacketKind.READ_RESPONSE else 0
        return receive(chunk)

    pe.fabric.post, pe.niu.receive = count_post, count_answer
    pe.run([kit.load((8192,)), kit.load((8192,), va=1 << 16)])
    assert (open_bytes, most) == (0, 4096)  # a second packet does not fit


def test_a_wider_window_hides_the_round_trip(make_pe, kit):
    """32 KiB from a memory of 512 B/ns: eight packets at once; two at a time leave it idle for most of a round trip."""
    fast = {"tcm": {"write_rate": Rate.of(1024)}}
    narrow, wide = make_pe(512, **fast), make_pe(512, **fast, dma={"max_inflight_bytes": 32 << 10})
    spans = []
    for pe in (narrow, wide):
        pe.run([kit.load((1 << 14,))])
        spans += pe.spans(OpCode.DMA_READ)
    (narrow_ps, wide_ps) = (end - start for start, end in spans)
    assert wide_ps == SETUP_PS + AROUND_PS + 64_000 + TCM_PS
    # A packet leaves when the one two before it is in: 4 pairs of requests, a packet and a round trip apart.
    assert narrow_ps == SETUP_PS + 4 * (AROUND_PS + 8_000) + 8_000 + TCM_PS


def test_channels_retire_in_order(pe, kit):
    """A load with no active lane needs its set-up only, and is complete right after the one before it."""
    nothing = kit.ref((64,))
    nothing.access = Access(va=0, itemsize=2, block_shape=(64,), shape=(0,), strides=(2,), origin=(0,))
    pe.run([kit.load((4096,)), kit.load((64,), source=nothing)])
    (_, end_ps), second = pe.spans(OpCode.DMA_READ)
    assert second == (end_ps, end_ps)


def test_a_load_without_active_lanes_takes_its_setup(pe, kit):
    nothing = kit.ref((64,))
    nothing.access = Access(va=0, itemsize=2, block_shape=(64,), shape=(0,), strides=(2,), origin=(0,))
    pe.run([kit.load((64,), source=nothing)])
    ((start_ps, end_ps),) = pe.spans(OpCode.DMA_READ)
    assert end_ps - start_ps == SETUP_PS - LOOK_UP_PS
    assert posted(pe, PacketKind.READ_REQUEST) == []


def test_filled_lanes_are_written_to_tcm_beside_the_data(pe, kit):
    """2 bytes come, behind 12798 that are filled in from the end of the set-up: 100 ns at 128 B/ns in all."""
    part = kit.ref((6400,))
    part.access = Access(va=0, itemsize=2, block_shape=(6400,), shape=(1,), strides=(2,), origin=(0,))
    pe.run([kit.load((6400,), source=part, fill=0)])
    ((start_ps, end_ps),) = pe.spans(OpCode.DMA_READ)
    assert end_ps - start_ps == SETUP_PS - LOOK_UP_PS + 100_000 + TCM_PS
    assert pe.pe_tcm.write_port.size_bytes == 12_800


def test_strided_runs_travel_together(pe, kit):
    """64 runs of 64 bytes are one packet of 4096; the memory moves whole bursts of 32."""
    source = kit.ref((64, 32), pitch=1000)
    pe.run([kit.load((64, 32), source=source)])
    (request,) = posted(pe, PacketKind.READ_REQUEST)
    assert (request.payload_bytes, request.body.size_bytes) == (0, 4096)
    aligned = sum(-(-(i * 1000 + 64) // 32) * 32 - i * 1000 // 32 * 32 for i in range(64))
    assert request.body.burst_bytes == aligned


def test_a_gather_pays_a_burst_for_every_element(pe, kit):
    pe.run([kit.load((300,), float32, source=gather(kit, 300))])
    requests = posted(pe, PacketKind.READ_REQUEST)
    assert sum(chunk.body.size_bytes for chunk in requests) == 1200
    assert sum(chunk.body.burst_bytes for chunk in requests) == 300 * 32


def test_a_request_carries_an_address_for_every_further_run_of_a_gather(pe, kit):
    """Joined into one piece of 300 runs, a gather needs three requests: a chunk of 1024 bytes holds 128 addresses."""
    table = pe.pe_mmu.table

    def joined(pe_number, access, line, *, is_write):
        ((page, pieces),) = table.translate(pe_number, access, line)
        return (PagePieces(page, (pieces[0]._replace(n_runs=len(pieces), pitch=64, offset_pitch=4),)),)

    pe.pe_mmu.table = type("Joined", (), {"translate": staticmethod(joined)})()
    pe.run([kit.load((300,), float32, source=gather(kit, 300))])
    assert [chunk.payload_bytes for chunk in posted(pe, PacketKind.READ_REQUEST)] == [1024, 1024, 8 * 41]


def test_a_store_leaves_as_tcm_reads_it_and_ends_with_its_acknowledgement(pe, kit):
    """The last of 4 chunks of 1024 bytes is read 32 + 6 ns after the set-up; then there and back."""
    load = kit.load((2048,))
    pe.run([load, kit.store(load.result, va=1 << 16)])
    ((start_ps, end_ps),) = pe.spans(OpCode.DMA_WRITE)
    assert end_ps - start_ps == SETUP_PS + 32_000 + TCM_PS + AROUND_PS
    tails = [tail for tail, chunk in pe.fabric.posted if chunk.kind is PacketKind.WRITE_REQUEST]
    assert [tail - start_ps - SETUP_PS - TCM_PS for tail in tails] == [8_000, 16_000, 24_000, 32_000]


def test_a_store_of_what_the_kernel_knows_leaves_at_once(pe, kit):
    pe.run([kit.store(kit.known((1024,)))])
    ((start_ps, end_ps),) = pe.spans(OpCode.DMA_WRITE)
    assert end_ps - start_ps == SETUP_PS + AROUND_PS
    assert pe.pe_tcm.moved_bytes == 0


def test_a_store_commits_when_its_last_byte_lands_not_when_that_is_acknowledged(pe, kit):
    store = kit.store(kit.known((2048,)))
    pe.run([store])
    (record,) = pe.records(OpCode.DMA_WRITE)
    (value,) = pe.log.values
    assert value.commit_ps == record.commit_ps == record.mark5_ps == record.end_ps - 10_000
    assert (value.seq, value.node, value.command) == (store.seq, pe.pe_scheduler.node.index, store)


def test_reads_and_writes_are_two_channels(pe, kit):
    load = kit.load((8192,))
    pe.run([load, kit.store(kit.known((64,)), va=1 << 20)])
    ((read_start_ps, read_end_ps),) = pe.spans(OpCode.DMA_READ)
    ((write_start_ps, write_end_ps),) = pe.spans(OpCode.DMA_WRITE)
    assert read_start_ps < write_start_ps < write_end_ps < read_end_ps


def test_a_page_fault_stops_the_run(pe, kit):
    def translate(pe_number, access, line, *, is_write):
        raise PageFaultError(f"{line}: nothing is at {access.va}")

    pe.pe_mmu.table = type("Unmapped", (), {"translate": staticmethod(translate)})()
    with pytest.raises(PageFaultError, match=r"kernel\.py:7: nothing is at 64"):
        pe.run([kit.load((8,), va=64)])
