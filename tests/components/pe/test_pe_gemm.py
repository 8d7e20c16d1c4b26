"""PE_GEMM keeps its array busy for exactly the time its data sheet says; 32 x 32 MACs a cycle at 1 GHz."""

from __future__ import annotations

import pytest

from kernbench.dtypes import as_dtype, float16
from kernbench.messages.oplog import OpCode
from kernbench.messages.tokens import PipelineContext, Stage, TilePlan, TileToken

FILL_PS = 32_000


@pytest.fixture
def busy_ps(pe, kit):
    """The cost of a tile, without running anything."""

    def cost(m: int, n: int, k: int, dtype=float16, *, dry: bool = False) -> int:
        command = kit.dot(kit.value((m, k), dtype), kit.value((k, n), dtype))
        plan = TilePlan((Stage(OpCode.GEMM, work=m * n * k),), m, n, k)
        return pe.pe_gemm.busy_ps(TileToken(plan, PipelineContext(command, 1, 0), 0), dry=dry)

    return cost


@pytest.mark.parametrize(
    ("m", "n", "k", "dtype", "cycles"),
    [
        (32, 32, 64, "fp16", 64),
        (32, 32, 64, "fp8e5", 32),  # twice the MACs
        (32, 32, 64, "fp32", 256),  # a quarter
        (64, 128, 128, "fp16", 1024),  # 2 x 4 arrays of 128
        (33, 32, 64, "fp16", 128),  # padded to two arrays
        (1, 1, 1, "fp16", 1),
        (1, 1, 3, "fp8e4nv", 2),  # 3 x 1024 / 2048, rounded up
    ],
)
def test_a_tile_takes_its_padded_macs_over_the_rate(busy_ps, m, n, k, dtype, cycles):
    assert busy_ps(m, n, k, as_dtype(dtype)) == cycles * 1000
    assert busy_ps(m, n, k, as_dtype(dtype), dry=True) == cycles * 1000 + FILL_PS


def test_the_array_is_filled_only_when_it_ran_dry(pe, kit):
    """Two dots in a row: tiles of 128 x 128 x 64 take 1024 ns, their fetch 265; the third comes after a wait."""
    x = kit.load((128, 128))
    first, second = kit.dot(x.result, x.result), kit.dot(x.result, x.result)
    late = kit.load((128, 128))
    third = kit.dot(late.result, late.result)
    pe.run([x, first, second, kit.wait(second.result.version), late, third])
    spans = pe.spans(OpCode.GEMM)
    assert [end - start for start, end in spans] == [
        FILL_PS + 1_024_000,
        1_024_000,
        1_024_000
        + FILL_PS,  # second dot stores the first's result to TCM before, for 512 ns: the array runs dry
        1_024_000,
        1_024_000 + FILL_PS,
        1_024_000,
    ]
    assert spans[1][0] == spans[0][1]


def test_a_chain_of_dots_never_lets_the_array_run_dry(pe, kit):
    """The k loop: fetching the next operands takes 265 ns, multiplying these 1024."""
    x = kit.load((128, 64))
    y = kit.load((64, 128))
    chain = [kit.dot(x.result, y.result)]
    for _ in range(7):
        chain.append(kit.dot(x.result, y.result, chain[-1].result, inherit=True))
    pe.run([x, y, *chain])
    spans = pe.spans(OpCode.GEMM)
    assert [end - start for start, end in spans] == [FILL_PS + 1_024_000] + 7 * [1_024_000]
    assert all(start == end for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    assert pe.spans(OpCode.STORE) == []


def test_the_meter_counts_what_the_log_says(pe, kit):
    x = kit.load((128, 64))
    y = kit.load((64, 128))
    pe.run([x, y, kit.dot(x.result, y.result)])
    ((_, meter),) = pe.pe_gemm.meters()
    assert meter.busy_ps == sum(end - start for start, end in pe.spans(OpCode.GEMM))
    assert meter.stalled_ps == {}
    assert meter.busy_ps + meter.idle_ps == pe.engine.now_ps
