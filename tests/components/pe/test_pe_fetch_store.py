"""PE_FETCH_STORE moves a tile in setup + TCM + register latency, and one tile ahead of the computing units.

128 B/ns at TCM and in the unit, 256 B/ns into and 512 B/ns out of the registers; setup 2 ns, TCM 6 ns, registers 1 ns.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.config.quantities import Spec
from kernbench.messages.oplog import OpCode
from kernbench.messages.tokens import PipelineContext, Stage, TilePlan, TileToken
from kernbench.units import Rate, transfer_ps

FIXED_PS = 2_000 + 6_000 + 1_000


@pytest.fixture
def token(kit):
    def make(kind: OpCode, size_bytes: int) -> TileToken:
        plan = TilePlan((Stage(kind, size_bytes=size_bytes),))
        return TileToken(plan, PipelineContext(kit.math(kit.value((8,))), 1, 0), 0)

    return make


@pytest.mark.parametrize("kind", [OpCode.FETCH, OpCode.STORE])
def test_a_transfer_takes_its_bytes_over_the_rate_and_the_latencies(pe, token, kind):
    assert pe.pe_fetch_store.busy_ps(token(kind, 4096)) == FIXED_PS + 32_000


@pytest.mark.parametrize(("kind", "slow_ps"), [(OpCode.FETCH, 128_000), (OpCode.STORE, 64_000)])
def test_the_slowest_of_tcm_own_path_and_register_port_governs(make_pe, token, kind, slow_ps):
    """4096 bytes at 32 B/ns into the registers are 128 ns; at 64 B/ns out of them 64 ns."""
    pe = make_pe(regfile={"write_rate": Rate.of(32), "read_rate": Rate.of(64)})
    assert pe.pe_fetch_store.busy_ps(token(kind, 4096)) == FIXED_PS + slow_ps
    slow = make_pe(fetch_store={"rate": Rate.of(16)})
    assert slow.pe_fetch_store.busy_ps(token(kind, 4096)) == FIXED_PS + 256_000


@pytest.mark.parametrize("kind", [OpCode.FETCH, OpCode.STORE])
def test_nothing_to_move_takes_the_setup_alone(pe, token, kind):
    assert pe.pe_fetch_store.busy_ps(token(kind, 0)) == 2_000
    assert pe.pe_tcm.moved_bytes == 0


def test_a_busy_port_of_tcm_is_waited_for(pe, token):
    pe.pe_fetch_store.busy_ps(token(OpCode.FETCH, 12_800))  # holds the port until 2 + 100 ns
    assert pe.pe_fetch_store.busy_ps(token(OpCode.FETCH, 1280)) == 102_000 + 10_000 + 6_000 + 1_000


def test_the_next_tile_is_fetched_while_one_is_computed_and_no_further(pe, kit):
    """Four tiles of 128 x 128 x 64 (fetch 265 ns, multiply 1024): tile i + 2 waits for the half that tile i leaves."""
    x, y = kit.load((128, 256)), kit.load((256, 128))
    pe.run([x, y, kit.dot(x.result, y.result)])
    fetch, gemm = pe.spans(OpCode.FETCH), pe.spans(OpCode.GEMM)
    assert [end - start for start, end in fetch] == 4 * [FIXED_PS + 256_000]
    assert fetch[1][0] == fetch[0][1]
    assert [start for start, _ in fetch[2:]] == [end for _, end in gemm[:2]]
    ((_, meter),) = pe.pe_fetch_store.meters()
    assert meter.stalled_ps == {"registers": (fetch[2][0] - fetch[1][1]) + (fetch[3][0] - fetch[2][1])}


def test_a_store_does_not_wait_for_operand_registers(make_pe, kit):
    """A long multiplication holds both halves; the result of an earlier op leaves beside it."""
    pe = make_pe()
    x, y = kit.load((128, 256)), kit.load((256, 128))
    small = kit.load((32, 32))
    quick = kit.math(small.result)
    pe.run([small, x, y, quick, kit.dot(x.result, y.result), kit.store(quick.result, va=1 << 22)])
    (store,) = pe.spans(OpCode.STORE)
    (math,) = pe.spans(OpCode.MATH)
    assert store[0] == math[1]


@given(n=st.integers(1, 12), fetch_cycles=st.integers(1, 8), compute=st.integers(1, 2000))
def test_n_tiles_through_two_stages_take_the_sum_and_then_the_slower_one_for_each_more(
    make_pe, make_kit, n, fetch_cycles, compute
):
    """T = t1 + t2 + (n - 1) max(t1, t2): two halves of the operand registers are buffer enough."""
    free: dict[str, Spec] = {"gemm": {"fill_cycles": 0, "macs_per_cycle": {"fp16": compute}}}
    pe, kit = make_pe(**free), make_kit()
    k = 8 * fetch_cycles
    x, y = kit.load((128, k)), kit.load((k, 128))
    chain = [kit.dot(x.result, y.result)]
    for _ in range(n - 1):
        chain.append(kit.dot(x.result, y.result, chain[-1].result, inherit=True))
    hold = [kit.wait(y.result.version)]
    pe.run([x, y, *hold, *chain])
    issue_ps, dispatch_ps = 4_000, 2_000
    fetch_ps = FIXED_PS + transfer_ps(256 * k * 2, Rate.of(128))
    gemm_ps = -(-128 * 128 * k // compute) * 1000
    first_ps, last_ps = pe.spans(OpCode.FETCH)[0][0], pe.spans(OpCode.GEMM)[-1][1]
    assert fetch_ps > issue_ps + dispatch_ps
    assert last_ps - first_ps == fetch_ps + gemm_ps + (n - 1) * max(fetch_ps, gemm_ps)
