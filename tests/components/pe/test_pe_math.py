"""PE_MATH takes the cycles its visits need: 64 fp32 or 128 fp16 lanes, a quarter of them for exp and div, 1 GHz."""

from __future__ import annotations

import pytest

from kernbench.components.pe.pe_math import lanes_for, widest_dtype
from kernbench.dtypes import as_dtype, float16, float32
from kernbench.messages.oplog import OpCode
from kernbench.messages.tokens import PipelineContext, Stage, TilePlan, TileToken

LATENCY_PS = 4_000


@pytest.fixture
def busy_ps(pe, kit):
    """The cost of a tile, without running anything."""

    def cost(visits, dtype=float32, *, dry=False):
        command = kit.math(kit.value((8,), dtype), visits=visits)
        plan = TilePlan((Stage(OpCode.MATH, visits=visits),))
        return pe.pe_math.busy_ps(TileToken(plan, PipelineContext(command, 1, 0), 0), dry=dry)

    return cost


@pytest.mark.parametrize(
    ("visits", "dtype", "cycles"),
    [
        ({"add": 640}, "fp32", 10),
        ({"add": 641}, "fp32", 11),
        ({"add": 640}, "fp16", 5),
        ({"exp": 640}, "fp32", 40),
        ({"add": 32, "exp": 8}, "fp32", 1),  # 1/2 + 1/2: the sum is rounded, not its parts
        ({"add": 33, "exp": 8}, "fp32", 2),
        ({"add": 640}, "int64", 20),
        ({"add": 640}, "int8", 5),
        ({}, "fp32", 0),
    ],
)
def test_a_tile_takes_its_visits_over_the_rates_rounded_up_once(busy_ps, visits, dtype, cycles):
    assert busy_ps(visits, as_dtype(dtype)) == cycles * 1000
    assert busy_ps(visits, as_dtype(dtype), dry=True) == cycles * 1000 + LATENCY_PS


@pytest.mark.parametrize(
    ("name", "lanes"),
    [("fp32", 64), ("int32", 64), ("fp16", 128), ("bf16", 128), ("fp8e5", 128), ("int1", 128), ("fp64", 32)],
)
def test_a_dtype_without_lanes_of_its_own_takes_those_of_the_next_wider(name, lanes):
    assert lanes_for(as_dtype(name), {"fp32": 64, "f16": 128}) == lanes


def test_an_odd_number_of_lanes_is_halved_exactly(kit):
    assert lanes_for(as_dtype("int64"), {"fp32": 5}) * 2 == 5


def test_the_widest_dtype_involved_decides(kit):
    assert widest_dtype(kit.math(kit.value((8,), float32), dtype=float16)) is float32
    assert widest_dtype(kit.math(kit.value((8,), float16), dtype=float32)) is float32


def test_the_pipeline_latency_is_paid_only_when_it_ran_dry(pe, kit):
    """32768 exp visits of fp32 are 2048 cycles; their fetch 32 KiB x 2 is shorter."""
    x = kit.load((128, 64), float32)
    chain = [kit.math(x.result, op="exp", visits={"exp": 1 << 15}) for _ in range(3)]
    pe.run([x, *chain])
    assert [end - start for start, end in pe.spans(OpCode.MATH)] == [
        2_048_000 + LATENCY_PS,
        2_048_000,
        2_048_000,
    ]
