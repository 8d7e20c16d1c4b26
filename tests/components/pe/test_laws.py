"""What holds for every program on a PE, whatever it does."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.components.stream import Clock, Force
from kernbench.dtypes import float16, float32
from kernbench.messages.commands import Command, DmaWriteCmd, GemmCmd, MathCmd, Operand, WaitCmd
from kernbench.messages.fabric import PacketKind
from kernbench.messages.oplog import OpCode, OpRecord

TCM_BYTES = 48 << 10
SIDE = 32
ADDRESSES = (0, 1024, 65536)
WORKS = {OpCode.DMA_READ, OpCode.FETCH, OpCode.GEMM, OpCode.MATH, OpCode.STORE, OpCode.DMA_WRITE}
SMALL = {
    "tcm": {"size_bytes": TCM_BYTES},
    "regfile": {"operands_bytes": 4096, "accumulators_bytes": 8192},
    "scheduler": {"tile_queue": 2},
    "dma": {"max_inflight_bytes": 4096},
}


class Author:
    """Writes a random program as the kernel language would: live bytes fit TCM, deaths ride on the next command."""

    def __init__(self, kit: Any, draw: Any) -> None:
        self.kit, self.draw = kit, draw
        self.live: dict[int, Operand] = {}
        self.sizes: dict[int, int] = {}
        self.dead: list[int] = []
        self.items: list[Any] = []

    def choose(self, *dtypes: Any) -> Operand | None:
        options = [x for x in self.live.values() if x.n_elem and (not dtypes or x.dtype in dtypes)]
        return self.draw(st.sampled_from(options)) if options else None

    def step(self) -> None:
        kind = self.draw(
            st.sampled_from(
                ["load", "load", "store", "dot", "dot", "math", "stream", "drop", "force", "wait"]
            )
        )
        getattr(self, kind)()

    def fits(self, size_bytes: int) -> bool:
        while self.live and sum(self.sizes.values()) + size_bytes > TCM_BYTES:
            self.drop()
        return sum(self.sizes.values()) + size_bytes <= TCM_BYTES

    def issue(self, command: Command) -> None:
        command.releases, self.dead = tuple(self.dead), []
        self.items.append(command)
        if command.result is not None:
            version = command.result.version
            self.sizes[version] = command.result.size_bytes
            self.live[version] = command.result
            if command.inherits >= 0:
                del self.live[command.inherits], self.sizes[command.inherits]

    def load(self) -> None:
        if self.fits(SIDE * SIDE * 2):
            self.issue(self.kit.load((SIDE, SIDE), va=self.draw(st.sampled_from(ADDRESSES))))

    def store(self) -> None:
        what = self.choose()
        if what is not None:
            self.issue(self.kit.store(what, va=self.draw(st.sampled_from(ADDRESSES))))

    def dot(self) -> None:
        a, b, acc = self.choose(float16), self.choose(float16), self.choose(float32)
        if (
            a is None
            or b is None
            or not self.fits(SIDE * SIDE * 4)
            or {a.version, b.version} - self.live.keys()
        ):
            return
        if acc is not None and (acc.version not in self.live or self.draw(st.booleans())):
            acc = None
        self.issue(self.kit.dot(a, b, acc, inherit=acc is not None and self.draw(st.booleans())))

    def math(self) -> None:
        x, y = self.choose(), self.choose()
        if (
            x is None
            or y is None
            or not self.fits(SIDE * SIDE * 4)
            or {x.version, y.version} - self.live.keys()
        ):
            return
        self.issue(self.kit.math(x, y, dtype=self.draw(st.sampled_from([float16, float32]))))

    def stream(self) -> None:
        """Operands, and perhaps the result, in memory."""
        if self.fits(24 << 10):
            target = self.kit.ref((SIDE, SIDE), va=self.draw(st.sampled_from(ADDRESSES)))
            if self.draw(st.booleans()):
                target = None
            x = self.kit.ref((SIDE, SIDE), va=self.draw(st.sampled_from(ADDRESSES)))
            make = self.kit.math if self.draw(st.booleans()) else self.kit.dot
            self.issue(make(x, x, target=target))

    def drop(self) -> None:
        if self.live:
            version = self.draw(st.sampled_from(sorted(self.live)))
            del self.live[version], self.sizes[version]
            self.dead.append(version)

    def force(self) -> None:
        what = self.choose()
        self.items.append(Clock() if what is None else Force(what.version))

    def wait(self) -> None:
        what = self.choose()
        if what is not None:
            self.issue(self.kit.wait(what.version))


@pytest.fixture(scope="session")
def ran(make_pe, make_kit):
    def run(data: Any) -> tuple[Any, list[Command]]:
        pe = make_pe(**SMALL, bytes_per_ns=data.draw(st.sampled_from([16, 64, 512])))
        kit, programs = make_kit(), []
        for _ in range(data.draw(st.integers(1, 2))):
            author = Author(kit, data.draw)
            for _ in range(data.draw(st.integers(0, 20))):
                author.step()
            programs.append(author.items)
        pe.run(*programs)
        return pe, [item for items in programs for item in items if isinstance(item, Command)]

    return run


LAW = settings(max_examples=40, deadline=None)


@LAW
@given(data=st.data())
def test_every_command_completes_exactly_once_and_everything_comes_home(ran, data):
    pe, commands = ran(data)
    committed = Counter(record.seq for record in pe.log.values)
    assert committed == Counter(c.seq for c in commands if not isinstance(c, WaitCmd))
    assert [done.job for _, done in pe.fabric.done] == [0]
    scheduler = pe.pe_scheduler
    assert not scheduler.scoreboard.flights
    assert scheduler.scoreboard.live_bytes == 0
    assert scheduler.tcm.free == TCM_BYTES
    assert pe.pe_fetch_store.operands.free == 2
    assert pe.pe_dma.rd.window.free == pe.pe_dma.wr.window.free == 4096


@LAW
@given(data=st.data())
def test_the_walk_back_along_causes_reaches_the_start_over_waits_that_have_a_name(ran, data):
    """A gap between a cause and its effect is a wait for a place in a lane, or for the next unit to take a tile."""
    pe, _ = ran(data)
    log = list(pe.log)
    for record in log:
        assert record.ready_ps <= record.start_ps <= record.end_ps
        if record.op == OpCode.START:
            assert record.cause == -1
            continue
        assert record.cause >= 0
        cause = log[record.cause]
        assert cause.end_ps <= record.start_ps
        if cause.end_ps < record.start_ps:
            assert record.op == OpCode.DISPATCH or cause.node == record.node
    (record,) = pe.records(OpCode.END)
    assert record.end_ps == log[-1].end_ps
    walked = []
    while record.cause >= 0:
        walked.append(record)
        record = log[record.cause]
        assert record not in walked
    assert record.op == OpCode.START


@LAW
@given(data=st.data())
def test_busy_stalled_and_idle_are_counted_apart_and_fill_the_time(ran, data):
    pe, _ = ran(data)
    for kind in ("pe_cpu", "pe_scheduler", "pe_dma", "pe_fetch_store", "pe_gemm", "pe_math"):
        for name, meter in pe.units[kind].meters():
            total_ps = meter.busy_ps + sum(meter.stalled_ps.values()) + meter.idle_ps
            assert total_ps == pe.engine.now_ps, (kind, name)


@LAW
@given(data=st.data())
def test_every_unit_works_on_one_thing_at_a_time_and_in_the_order_it_came(ran, data):
    pe, _ = ran(data)
    last: dict[tuple[int, int], OpRecord] = {}
    for record in pe.log:
        place = (record.node, record.op if record.op in (OpCode.DMA_READ, OpCode.DMA_WRITE) else -1)
        if place in last:
            assert last[place].end_ps <= record.start_ps
        last[place] = record
    for op in (OpCode.GEMM, OpCode.MATH):
        order = [(record.command, record.tile) for record in pe.records(op)]
        assert order == sorted(order)


@LAW
@given(data=st.data())
def test_no_stage_starts_before_what_it_reads_is_complete(ran, data):
    """An accumulator need only be ready when the array gets to it; everything else before the first byte moves."""
    pe, commands = ran(data)
    complete_ps = {c.result.version: c.commit_ps for c in _committed(pe, commands)}
    by_seq = {c.seq: c for c in commands}
    for record in pe.log:
        if record.op not in WORKS:
            continue
        command = by_seq[record.command]
        acc = command.acc if isinstance(command, GemmCmd) else None
        for operand in command.operands:
            is_chained = operand is acc and record.op in (OpCode.FETCH, OpCode.STORE)
            if operand.version >= 0 and not is_chained:
                assert complete_ps[operand.version] <= record.start_ps


@LAW
@given(data=st.data())
def test_accesses_to_the_same_bytes_keep_their_order_when_one_of_them_writes(ran, data):
    pe, commands = ran(data)
    spans = {}
    for record in pe.log:
        if record.op in (OpCode.DMA_READ, OpCode.DMA_WRITE):
            start_ps, end_ps = spans.get(record.command, (record.start_ps, 0))
            spans[record.command] = (min(start_ps, record.start_ps), max(end_ps, record.end_ps))
    memory = [(c, access, writes) for c in commands for access, writes in _accesses(c)]
    for i, (first, access, writes) in enumerate(memory):
        for second, other, also_writes in memory[i + 1 :]:
            if first is not second and (writes or also_writes) and access.overlaps(other):
                assert spans[first.seq][1] <= spans[second.seq][0]


@LAW
@given(data=st.data())
def test_bytes_are_conserved_between_memory_tcm_and_registers(ran, data):
    pe, _ = ran(data)
    moved = Counter()
    for record in pe.log:
        moved[record.op] += record.size_bytes
    requests = [chunk for _, chunk in pe.fabric.posted if chunk.kind is PacketKind.WRITE_REQUEST]
    assert sum(chunk.payload_bytes for chunk in requests) == moved[OpCode.DMA_WRITE]
    assert pe.fabric.memory.size_bytes == moved[OpCode.DMA_READ]
    assert pe.pe_tcm.write_port.size_bytes == moved[OpCode.DMA_READ] + moved[OpCode.STORE]
    assert pe.pe_tcm.read_port.size_bytes == moved[OpCode.DMA_WRITE] + moved[OpCode.FETCH]


def _committed(pe: Any, commands: list[Command]) -> list[Any]:
    when = {record.seq: record.commit_ps for record in pe.log.values}
    return [
        SimpleNamespace(result=c.result, commit_ps=when[c.seq])
        for c in commands
        if c.result is not None and c.seq in when
    ]


def _accesses(command: Command) -> list[tuple[Any, bool]]:
    target = command.target if isinstance(command, (DmaWriteCmd, GemmCmd, MathCmd)) else None
    reads = [(operand.access, False) for operand in command.operands if operand.access is not None]
    return reads + ([(target.access, True)] if target is not None else [])
