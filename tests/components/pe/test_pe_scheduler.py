"""PE_SCHEDULER admits in program order, starts what may start, and gives TCM back when values are dead and unused."""

from __future__ import annotations

import pytest

from kernbench.dtypes import float32
from kernbench.errors import CapacityError
from kernbench.messages.oplog import OpCode

BLOCK = (32, 32)  # 2 KiB of fp16
BLOCK_BYTES = 2048


def release(command, *values):
    command.releases = tuple(value.version for value in values)
    return command


def begin_ps(pe, command, op):
    return min(record.start_ps for record in pe.records(op) if record.command == command.seq)


def end_ps(pe, command):
    return max(
        record.end_ps
        for record in pe.log
        if record.command == command.seq and record.op not in (OpCode.ISSUE, OpCode.DISPATCH)
    )


def test_a_command_is_dispatched_when_it_is_issued(pe, kit):
    pe.run([kit.load(BLOCK), kit.load(BLOCK, va=1 << 16)])
    issued = [end for _, end in pe.spans(OpCode.ISSUE)]
    assert pe.spans(OpCode.DISPATCH) == [(end, end + 2_000) for end in issued]


def test_the_loads_of_the_next_block_overlap_the_math_of_this_one(pe, kit):
    x = kit.load(BLOCK)
    slow = kit.math(x.result, visits={"exp": 1 << 16})
    y = kit.load(BLOCK, va=1 << 16)
    pe.run([x, slow, y])
    assert begin_ps(pe, y, OpCode.DMA_READ) < end_ps(pe, y) < end_ps(pe, slow)


def test_a_command_starts_when_the_last_of_its_operands_is_complete(pe, kit):
    x, y = kit.load(BLOCK), kit.load(BLOCK, va=1 << 16)
    add = kit.math(x.result, y.result)
    log = pe.run([x, y, add])
    (fetch,) = pe.records(OpCode.FETCH)
    assert fetch.start_ps == end_ps(pe, y)
    assert log[fetch.cause].command == y.seq


def test_independent_commands_of_one_unit_keep_their_order(pe, kit):
    """The second op has all it needs long before the first, and still waits for its turn."""
    early = kit.load((32,))
    late = kit.load((8192,), va=1 << 16)
    first, second = kit.math(late.result), kit.math(early.result)
    pe.run([early, late, first, second])
    assert [record.command for record in pe.records(OpCode.MATH)] == [first.seq, second.seq]


@pytest.mark.parametrize(
    "pair",
    [
        lambda kit, x: (kit.store(x), kit.load(BLOCK)),
        lambda kit, x: (kit.load(BLOCK), kit.store(x)),
        lambda kit, x: (kit.store(x), kit.store(x)),
    ],
    ids=["store then load", "load then store", "store then store"],
)
def test_accesses_to_the_same_bytes_wait_for_each_other(pe, kit, pair):
    x = kit.load(BLOCK, va=1 << 16)
    first, second = pair(kit, x.result)
    pe.run([x, first, second])
    ops = (OpCode.DMA_READ, OpCode.DMA_WRITE)
    begins = [record.start_ps for record in pe.log if record.command == second.seq and record.op in ops]
    assert begins == [end_ps(pe, first)]


def test_accesses_to_other_bytes_do_not(pe, kit):
    x = kit.load(BLOCK, va=1 << 16)
    store, load = kit.store(x.result, va=1 << 20), kit.load(BLOCK, va=1 << 17)
    pe.run([x, store, load])
    assert begin_ps(pe, load, OpCode.DMA_READ) < end_ps(pe, store)


def test_loads_stall_for_tcm_until_dead_values_are_used_and_the_run_completes(make_pe, kit):
    """Room for three blocks, 8 loads each read by one op: the third result has to wait for the first block."""
    pe = make_pe(tcm={"size_bytes": 3 * BLOCK_BYTES})
    program, dead = [], []
    for i in range(8):
        load = kit.load(BLOCK, va=i << 16)
        program += [release(load, *dead), kit.math(load.result)]
        dead = [load.result, program[-1].result]
    log = pe.run(program)
    assert len(pe.log.values) == 16
    ((_, meter),) = pe.pe_scheduler.meters()
    assert meter.stalled_ps["tcm"] > 0
    stalled = [r for r in pe.records(OpCode.DISPATCH) if log[r.cause].op in (OpCode.STORE, OpCode.DMA_READ)]
    assert stalled
    assert all(log[record.cause].end_ps == record.start_ps for record in stalled)
    assert pe.pe_scheduler.tcm.free == 3 * BLOCK_BYTES


def test_a_value_keeps_its_bytes_until_its_last_reader_is_done(make_pe, kit):
    pe = make_pe(tcm={"size_bytes": 2 * BLOCK_BYTES})
    x = kit.load(BLOCK)
    reader = kit.store(x.result, va=1 << 20)
    y = kit.load(BLOCK, va=1 << 16)
    z = release(kit.load(BLOCK, va=2 << 16), x.result)
    pe.run([x, reader, y, z])
    dispatch = pe.records(OpCode.DISPATCH)[-1]
    assert dispatch.start_ps == end_ps(pe, reader)


def test_a_program_gives_back_what_it_still_holds_when_it_ends(make_pe, kit):
    pe = make_pe(tcm={"size_bytes": 2 * BLOCK_BYTES})
    pe.run(*[[kit.load(BLOCK), kit.load(BLOCK, va=1 << 16)] for _ in range(4)])
    assert len(pe.spans(OpCode.DMA_READ)) == 8
    assert pe.pe_scheduler.tcm.free == 2 * BLOCK_BYTES


def test_an_accumulator_that_dies_with_its_dot_leaves_it_its_bytes(make_pe, kit):
    """Two fp16 operands and one fp32 accumulator, which eight dots hand on: 2 + 2 + 4 KiB are enough."""
    pe = make_pe(tcm={"size_bytes": 4 * BLOCK_BYTES})
    x, y = kit.load(BLOCK), kit.load(BLOCK, va=1 << 16)
    chain = [kit.dot(x.result, y.result)]
    for _ in range(7):
        chain.append(kit.dot(x.result, y.result, chain[-1].result, inherit=True))
    pe.run([x, y, *chain])
    assert pe.pe_scheduler.tcm.free == 4 * BLOCK_BYTES
    ((_, meter),) = pe.pe_scheduler.meters()
    assert "tcm" not in meter.stalled_ps


def test_what_is_added_onto_in_tcm_waits_for_the_readers_of_the_old_value(make_pe, kit):
    """The accumulator comes from memory; a slow op reads it before the dot that takes its bytes."""
    pe = make_pe()
    x, acc = kit.load(BLOCK), kit.load(BLOCK, float32, va=1 << 16)
    reader = kit.math(acc.result, visits={"exp": 1 << 18})
    dot = kit.dot(x.result, x.result, acc.result, inherit=True)
    pe.run([x, acc, reader, dot])
    assert begin_ps(pe, dot, OpCode.FETCH) == end_ps(pe, reader)


def test_what_streams_from_memory_is_not_overtaken_in_its_unit(pe, kit):
    """The second op could start at once; the first has to fetch its operands from memory."""
    x = kit.load(BLOCK)
    far = kit.ref((64, 64), va=1 << 16)
    streamed = kit.math(far, far, target=kit.ref((64, 64), va=1 << 20))
    near = kit.math(x.result)
    pe.run([x, kit.wait(x.result.version), streamed, near])
    assert [record.command for record in pe.records(OpCode.MATH)] == [streamed.seq, near.seq]


def test_streams_follow_each_other_without_a_drain(pe, kit):
    def stream(i):
        source, target = (kit.ref((256, 256), va=(i + shift) << 20) for shift in (0, 8))
        return kit.math(source, target=target)

    first, second = stream(0), stream(1)
    pe.run([first, second])
    assert begin_ps(pe, second, OpCode.DMA_READ) < end_ps(pe, first)


def test_a_stream_commits_once_with_its_last_byte(pe, kit):
    x, out = kit.ref((128, 256)), kit.ref((128, 256), va=1 << 20)
    command = kit.math(x, target=out)
    pe.run([command])
    writes = pe.records(OpCode.DMA_WRITE)
    assert len(writes) > 1
    (value,) = pe.log.values
    assert value.commit_ps == writes[-1].commit_ps == writes[-1].end_ps - 10_000  # the way of its answer
    assert [record.commit_ps for record in writes[:-1]] == [-1] * (len(writes) - 1)


def test_a_stream_passes_a_small_tcm_beside_values_in_half_of_it(make_pe, kit):
    """128 KiB through 32 KiB of TCM: tiles of 4 KiB, two of operands and one of results at a time."""
    x, out = kit.ref((256, 256)), kit.ref((256, 256), va=1 << 20)
    pe = make_pe(tcm={"size_bytes": 32 << 10})
    half = kit.load((64, 128))
    pe.run([half, kit.math(x, target=out)])
    assert len(pe.spans(OpCode.DMA_WRITE)) == 32
    assert pe.pe_scheduler.tcm.free == 32 << 10


def test_a_stream_that_cannot_be_staged_is_an_error_that_names_its_line(make_pe, kit):
    x, out = kit.ref((256, 256)), kit.ref((256, 256), va=1 << 20)
    pe = make_pe(tcm={"size_bytes": 32 << 10})
    with pytest.raises(CapacityError) as error:
        pe.run([kit.load((88, 128)), kit.math(x, target=out)])
    assert str(error.value) == (
        "kernel.py:7: math needs 12 KiB of TCM beside the 22 KiB of values alive there, more than its 32 KiB; use "
        "smaller blocks or drop values earlier"
    )


def test_a_lane_that_is_full_holds_the_feeder(make_pe, kit):
    """Two ops may wait for their operand; the third command of that lane, and all behind it, are not admitted yet."""
    pe = make_pe(scheduler={"tile_queue": 2})
    x = kit.load((1 << 14,))
    ops = [kit.math(x.result) for _ in range(3)]
    last = kit.load(BLOCK, va=1 << 20)
    pe.run([x, *ops, last])
    dispatched = {record.command: record.start_ps for record in pe.records(OpCode.DISPATCH)}
    assert dispatched[ops[1].seq] < end_ps(pe, x)
    assert dispatched[ops[2].seq] == end_ps(pe, x)
    assert dispatched[last.seq] > end_ps(pe, x)
    ((_, meter),) = pe.pe_scheduler.meters()
    assert meter.stalled_ps["lane"] > 0


def test_an_evicted_accumulator_is_read_from_tcm_after_it_was_stored(make_pe, kit):
    """Room for one 64 x 64 result: the second dot stores the first, which an op then fetches."""
    pe = make_pe(regfile={"accumulators_bytes": 16 << 10})
    x = kit.load((64, 64))
    first, second = kit.dot(x.result, x.result), kit.dot(x.result, x.result)
    reader = kit.math(first.result)
    pe.run([x, first, second, reader])
    stored = [r for r in pe.records(OpCode.STORE) if r.command == second.seq]
    fetched = [r for r in pe.records(OpCode.FETCH) if r.command == reader.seq]
    assert [record.size_bytes for record in stored] == [16 << 10]
    assert [record.size_bytes for record in fetched] == [16 << 10]
    assert stored[0].end_ps <= fetched[0].start_ps


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_permuted_ties_change_no_time_of_a_program_without_ties_that_matter(make_pe, make_kit, seed):
    def spans(tie_seed):
        pe, kit = make_pe(tie_seed=tie_seed), make_kit()
        x, y = kit.load((64, 64)), kit.load((64, 64), va=1 << 16)
        dot = kit.dot(x.result, y.result)
        pe.run([x, y, dot, kit.store(kit.math(dot.result).result, va=1 << 20)])
        return sorted((record.node, record.start_ps, record.end_ps) for record in pe.log)

    assert spans(seed) == spans(None)
