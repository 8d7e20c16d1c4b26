"""What holds for every program on a PE, whatever it does: exactly-once completion, causes without gaps, conservation."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernbench.components.stream import Clock, Force
from kernbench.dtypes import float16, float32
from kernbench.messages.commands import Command, DmaReadCmd, DmaWriteCmd, GemmCmd, MathCmd, Operand, WaitCmd
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
    """Writes a random program the way the kernel language would: live bytes fit TCM, deaths ride on the next command."""

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
        kind = self.draw(st.sampled_from(["load", "load", "store", "dot", "dot", "math", "stream", "drop", "force", "wait"]))
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
        if a is None or b is None or not self.fits(SIDE * SIDE * 4) or {a.version, b.version} - self.live.keys():
            return
        if acc is not None and (acc.version not in self.live or self.draw(st.booleans())):
            acc = None
        self.issue(self.kit.dot(a, b, acc, inherit=acc is not None and self.draw(st.booleans())))

    def math(self) -> None:
        x, y = self.choose(), self.choose()
        if x is None or y is None or not self.fits(SIDE * SIDE * 4) or {x.version, y.version} - self.live.keys():
            return
        self.issue(self.kit.math(x, y, dtype=self.draw(st.sampled_from([float16, float32]))))

    def stream(self) -> None:
        if self.fits(24 << 10):
            target = self.kit.ref((SIDE, SIDE), va=self.draw(st.sampled_from(ADDRESSES)))
            x = self.kit.ref((SIDE, SIDE), va=self.draw(st.sampled_from(ADDRESSES)))
            if self.draw(st.booleans()):
                self.issue(self.kit.math(x, x, target=target))
            else:
                self.issue(self.kit.dot(x, x, target=target))

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


@pytest.fixture
def ran(make_pe, times):
    def run(data: Any) -> tuple[Any, list[Command]]:
        pe = make_pe(**SMALL, bytes_per_ns=data.draw(st.sampled_from([16, 64, 512])))
        kit, programs = times.kit(), []
        for _ in range(data.draw(st.integers(1, 2))):
            author = Author(kit, data.draw)
            for _ in range(data.draw(st.integers(0, 40))):
                author.step()
            programs.append(author.items)
        pe.run(*programs)
        return pe, [item for items in programs for item in items if isinstance(item, Command)]

    return run


LAW = settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))


@LAW
@given(data=st.data())
def test_every_command_completes_exactly_once_and_everything_comes_home(ran, data):
    pe, commands = ran(data)
    committed = Counter(record.seq for record in pe.log.values)
    assert committed == Counter(c.seq for c in commands if not isinstance(c, WaitCmd))
    assert [done.launch for _, done in pe.fabric.done] == [0]
    scheduler = pe.pe_scheduler
    assert not scheduler.scoreboard.flights
    assert scheduler.scoreboard.live_bytes == 0
    assert scheduler.tcm.free == TCM_BYTES
    assert pe.pe_fetch_store.operands.free == 2
    assert pe.pe_dma.rd.window.free == pe.pe_dma.wr.window.free == 4096


@LAW
@given(data=st.data())
def test_every_cause_ends_before_its_effect_and_the_walk_back_reaches_the_start(ran, data):
    pe, _ = ran(data)
    log: list[OpRecord] = list(pe.log)
    for number, record in enumerate(log):
        assert record.ready_ps <= record.start_ps <= record.end_ps
        if record.op == OpCode.START:
            assert record.cause == -1
            continue
        assert 0 <= record.cause < number
        assert log[record.cause].end_ps <= record.start_ps
        if log[record.cause].end_ps < record.start_ps:
            print("GAP", OpCode(record.op).name, OpCode(log[record.cause].op).name)
            if record.op not in (OpCode.DISPATCH,):
                print("\n".join(f"X {i} {OpCode(r.op).name} {r.command}.{r.tile} ready {r.ready_ps} {r.start_ps}..{r.end_ps} <{r.cause}" for i, r in enumerate(log)))
                assert 0
    record = log[-1]
    assert record.op == OpCode.END
    while record.cause >= 0:
        record = log[record.cause]
    assert record.op == OpCode.START
