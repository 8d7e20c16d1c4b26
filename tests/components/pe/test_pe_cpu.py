"""PE_CPU: 20 ns to start, 4 ns to issue, 20 ns to read back; programs follow each other without a drain."""

from __future__ import annotations

from itertools import pairwise

from kernbench.components.stream import Clock, Force
from kernbench.messages.oplog import OpCode

START_PS, ISSUE_PS, READBACK_PS, DISPATCH_PS = 20_000, 4_000, 20_000, 2_000


def test_a_launch_without_commands_starts_and_ends(pe):
    pe.run([])
    assert pe.spans(OpCode.START) == [(0, START_PS)]
    assert pe.spans(OpCode.END) == [(START_PS, START_PS)]


def test_commands_are_issued_back_to_back_in_order(pe, kit):
    commands = [kit.load((32,), va=i << 12) for i in range(5)]
    pe.run(commands)
    assert [record.command for record in pe.records(OpCode.ISSUE)] == [c.seq for c in commands]
    assert pe.spans(OpCode.ISSUE) == [
        (START_PS + i * ISSUE_PS, START_PS + (i + 1) * ISSUE_PS) for i in range(5)
    ]


def test_the_next_program_issues_when_the_last_command_of_the_one_before_is_issued(pe, kit):
    pe.run([kit.load((4096,))], [], [kit.load((4096,), va=1 << 16)])
    assert pe.spans(OpCode.ISSUE) == [
        (START_PS + i * ISSUE_PS, START_PS + (i + 1) * ISSUE_PS) for i in range(2)
    ]
    assert pe.spans(OpCode.DMA_READ)[0][1] > pe.spans(OpCode.ISSUE)[1][1]


def test_a_forced_value_is_waited_for_and_read_back(pe, kit):
    load = kit.load((32,))
    pe.run([load, Force(load.result.version), kit.load((32,), va=1 << 16)])
    (_, done_ps), _ = pe.spans(OpCode.DMA_READ)
    assert pe.spans(OpCode.READBACK) == [(done_ps, done_ps + READBACK_PS)]
    assert pe.spans(OpCode.ISSUE)[1][0] == done_ps + READBACK_PS
    assert pe.streams[0].asked_ps[2] == done_ps + READBACK_PS  # when the program goes on
    (value, _) = pe.log.values
    assert value.commit_ps == done_ps


def test_a_forced_value_that_is_there_is_read_back_at_once(pe, kit):
    load = kit.load((32,))
    version = load.result.version
    pe.run([load, Force(version), Force(version)])
    (_, first_ps), second = pe.spans(OpCode.READBACK)
    assert second == (first_ps, first_ps + READBACK_PS)


def test_a_wait_waits_without_reading_back(pe, kit):
    load = kit.load((32,))
    pe.run([load, kit.wait(load.result.version), kit.load((32,), va=1 << 16)])
    (_, done_ps), _ = pe.spans(OpCode.DMA_READ)
    assert pe.spans(OpCode.READBACK) == [(done_ps, done_ps)]
    assert pe.spans(OpCode.ISSUE)[2][0] == done_ps


def test_the_clock_is_read_when_all_before_it_is_issued(pe, kit):
    pe.run([kit.load((32,)), Clock(), kit.load((32,), va=1 << 16)])
    assert pe.streams[0].asked_ps[2] == START_PS + ISSUE_PS
    assert pe.spans(OpCode.ISSUE)[1] == (START_PS + ISSUE_PS, START_PS + 2 * ISSUE_PS)


def test_a_launch_ends_when_its_last_store_is_acknowledged(pe, kit):
    pe.run([kit.store(kit.known((4096,)))])
    (write,) = pe.records(OpCode.DMA_WRITE)
    (end,) = pe.records(OpCode.END)
    assert (end.ready_ps, end.start_ps, end.end_ps) == (START_PS + ISSUE_PS, write.end_ps, write.end_ps)
    ((done_ps, done),) = pe.fabric.done
    assert (done_ps, done.job, done.n_pes) == (write.end_ps, 0, 1)


def test_it_issues_no_faster_than_the_scheduler_takes(make_pe, kit):
    """A place in its queue, of 2, is free when a dispatch ends: the record of that is the cause of the next issue."""
    pe = make_pe(scheduler={"tile_queue": 2, "dispatch_ps": 50_000})
    log = pe.run([kit.load((32,), va=i << 12) for i in range(8)])
    issues = [record for record in log if record.op == OpCode.ISSUE]
    waited = [record for record in issues if log[record.cause].op == OpCode.DISPATCH]
    assert len(waited) == 4  # one is dispatched, two queue, one is handed over: the fifth and later ones wait
    assert all(log[record.cause].end_ps == record.start_ps for record in waited)
    ((_, meter),) = pe.pe_cpu.meters()
    gaps = sum(later.start_ps - earlier.end_ps for earlier, later in pairwise(issues))
    (end,) = [record for record in log if record.op == OpCode.END]
    assert (
        meter.stalled_ps["queue"] == gaps + end.ready_ps - issues[-1].end_ps
    )  # the program's end is handed over too


def test_launches_follow_each_other(pe, kit):
    pe.run([kit.load((32,))])
    first_ps = pe.engine.now_ps
    pe.run([kit.load((32,))])
    assert pe.spans(OpCode.START)[1] == (first_ps, first_ps + START_PS)
    assert [done.job for _, done in pe.fabric.done] == [0, 0]
