"""Laws: a known block means what C's integer arithmetic means, in whatever form it is kept; and it issues nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench import lang as tl
from kernbench.dtypes import int1, int32, int64, uint8
from kernbench.lang.affine import Box, at_zero, below_zero, materialise
from kernbench.lang.block import ACTIVE
from kernbench.lang.context import ProgramContext
from kernbench.lang.known import BoxMask, Known, scalar

ints = st.integers(-300, 300)


@pytest.fixture(autouse=True, scope="module")
def program(new_port):
    """A program that runs for the whole module; it must never issue."""
    port = new_port()
    token = ACTIVE.set(ProgramContext(port))
    yield port
    ACTIVE.reset(token)
    assert port.commands == []


def in_c(op, a, b):
    """``a op b`` on int32 arrays as C has it, by way of Python's floats-free exact integers."""
    a, b = np.broadcast_arrays(np.asarray(a, np.int64), np.asarray(b, np.int64))
    if op in "+-*":
        wide = {"+": a + b, "-": a - b, "*": a * b}[op]
        return wide.astype(np.int32)
    quotient = np.sign(a) * np.sign(b) * (np.abs(a) // np.where(b == 0, 1, np.abs(b)))
    return (quotient if op == "//" else a - quotient * b).astype(np.int32)


@st.composite
def expressions(draw, depth=4):
    """Index arithmetic on a [8, 1] and a [1, 4] block: a known block and its meaning, an int32 array."""
    kind = draw(st.integers(0, 3 if depth else 2))
    if kind == 0:
        return tl.arange(0, 8)[:, None], np.arange(8, dtype=np.int32)[:, None]
    if kind == 1:
        return tl.arange(3, 7)[None, :], np.arange(3, 7, dtype=np.int32)[None, :]
    if kind == 2:
        value = draw(ints)
        return scalar(value, int32), np.int32(value)
    (a, a_means), (b, b_means) = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    op = draw(st.sampled_from(["+", "-", "*", "//", "%"]))
    if op in ("//", "%"):
        b = b_means = draw(st.integers(1, 9))
    block = {"+": a.__add__, "-": a.__sub__, "*": a.__mul__, "//": a.__floordiv__, "%": a.__mod__}[op](b)
    return block, in_c(op, a_means, b_means)


@given(expressions())
def test_arithmetic_is_c_arithmetic(expression):
    block, means = expression
    np.testing.assert_array_equal(block.dense(), means)
    assert block.dtype is int32
    assert block.shape == means.shape
    if block.array is None:
        assert block.low <= means.min()
        assert means.max() <= block.high


@given(expressions(depth=3), expressions(depth=1), st.sampled_from(["lt", "le", "gt", "ge", "eq", "ne"]))
def test_comparisons_and_their_conjunction(a, b, op):
    (block, means), (other, other_means) = a, b
    mask = getattr(block, f"__{op}__")(other)
    expected = getattr(np.asarray(means, np.int64), f"__{op}__")(np.asarray(other_means, np.int64))
    np.testing.assert_array_equal(mask.dense(), expected)
    both = mask & (tl.arange(0, 8)[:, None] < 5)
    np.testing.assert_array_equal(both.dense(), expected & (np.arange(8)[:, None] < 5))


@given(
    base=st.integers(-50, 50),
    strides=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
def test_half_spaces(base, strides, shape):
    strides = tuple(0 if n == 1 else s for n, s in zip(shape, strides))
    values = materialise(base, strides, shape)
    for found, expected in (
        (below_zero(base, strides, shape), values < 0),
        (at_zero(base, strides, shape), values == 0),
    ):
        if isinstance(found, Box):
            np.testing.assert_array_equal(BoxMask(shape, found).dense(), expected)
            assert 0 < expected.sum() < expected.size
        elif found is not None:
            assert (expected == found).all()


def test_index_blocks_of_the_tutorials_stay_affine():
    rows, columns = tl.arange(0, 64), tl.arange(0, 32)
    pid = scalar(3, int32)
    block = ((pid * 64 + rows) % 1000)[:, None] * 512 + columns[None, :] * 1
    assert (block.base, block.strides, block.shape) == (192 * 512, (512, 1), (64, 32))
    mask = ((pid * 64 + rows)[:, None] < 200) & (columns[None, :] < 20)
    assert (type(mask), mask.box) == (BoxMask, Box((0, 0), (8, 20)))


def test_a_mask_that_is_all_or_nothing_is_a_constant():
    lanes = tl.arange(0, 8)
    for mask, value in ((lanes < 8, True), (lanes < 0, False), ((lanes < 3) & (lanes > 5), False)):
        assert mask.is_constant
        assert mask.base is value


def test_int32_wraps_and_int64_does_not():
    block = tl.arange(0, 4) * 2**30
    np.testing.assert_array_equal(block.dense(), np.array([0, 2**30, -(2**31), -(2**30)], np.int32))
    wide = tl.arange(0, 4).to(tl.int64) * 2**30
    assert (wide.dtype, wide.strides) == (int64, (2**30,))


@pytest.mark.parametrize(("a", "b"), [(-7, 2), (7, -2), (-8, 3), (7, 2), (-1, 5)])
def test_scalar_division_truncates(a, b):
    quotient, remainder = scalar(a, int32) // b, scalar(a, int32) % b
    assert (int(quotient), int(remainder)) == (int(a / b), a - int(a / b) * b)


def test_python_numbers_take_the_blocks_dtype():
    assert (scalar(1, int64) + 1).dtype is int64
    assert (tl.full((4,), 1, tl.uint8) + 255).dense().tolist() == [0] * 4
    assert (tl.full((4,), 1.5, tl.float16) * 2).dtype is tl.float16
    assert (tl.arange(0, 4) * 0.5).dtype is tl.float32
    assert (tl.arange(0, 4) / 2).dense().tolist() == [0, 0.5, 1, 1.5]
    assert (tl.full((4,), 3, tl.float16) / 2).dtype is tl.float32
    assert ((tl.arange(0, 4) < 2) + 1).dtype is int32


def test_python_sees_a_scalar():
    n = scalar(5, int32)
    assert [bool(n), int(n), float(n), list(range(n))[-1], "abcdef"[n], {5: "five"}[n]] == [
        True,
        5,
        5.0,
        4,
        "f",
        "five",
    ]
    assert (str(n), f"{n:03d}", repr(n)) == ("5", "005", "int32(5)")
    assert (n == None) is False  # noqa: E711 - what a kernel may write


def test_where_of_known_blocks_is_known():
    out = tl.where(tl.arange(0, 4) < 2, tl.arange(0, 4), -1)
    assert isinstance(out, Known)
    assert out.dense().tolist() == [0, 1, -1, -1]


def test_reductions_and_shapes_of_known_blocks():
    block = tl.arange(0, 4)[:, None] * 10 + tl.arange(0, 2)[None, :]
    assert int(tl.sum(block)) == 124
    assert tl.max(block, axis=0).dense().tolist() == [30, 31]
    assert block.T.dense().tolist() == [[0, 10, 20, 30], [1, 11, 21, 31]]
    assert tl.reshape(block, (8,)).dense().tolist() == [0, 1, 10, 11, 20, 21, 30, 31]
    mask = (tl.arange(0, 4) < 3)[None, :]
    np.testing.assert_array_equal(tl.broadcast_to(mask, (2, 4)).dense(), [[1, 1, 1, 0]] * 2)
    np.testing.assert_array_equal(mask.T.dense(), [[1], [1], [1], [0]])
    assert int(tl.sum(mask)) == 3


@given(st.integers(-20, 20), st.integers(-20, 20))
def test_minimum_and_maximum_of_scalars(a, b):
    x = scalar(a, int32)
    assert (int(tl.minimum(x, b)), int(tl.maximum(b, x))) == (min(a, b), max(a, b))
    block = tl.arange(0, 8) + a
    np.testing.assert_array_equal(tl.minimum(block, b).dense(), np.minimum(np.arange(8) + a, b))


def test_casts_wrap_and_round():
    assert tl.full((2,), 300, tl.int32).to(tl.uint8).dense().tolist() == [44, 44]
    assert tl.full((), 300, uint8).base == 44
    assert scalar(7, int32).to(tl.int1).base is True
    assert tl.full((), -1.75, tl.float32).to(tl.int32).base == -1
    assert tl.full((), 1e30, tl.float16).base == float("inf")
    assert tl.full((1,), 1.0, tl.float32).to(tl.int32, bitcast=True).base == 0x3F800000


def test_constants_carry_their_value():
    block = tl.constexpr(128)
    assert (block.value, block * 2, isinstance(block, tl.constexpr), list(range(tl.constexpr(2)))) == (
        128,
        256,
        True,
        [0, 1],
    )
    assert tl.constexpr("relu").value == "relu"
    assert tl.constexpr(None) is None
    assert tl.constexpr(tl.float16) is tl.float16
    assert (tl.arange(0, tl.constexpr(8)) < tl.constexpr(8)).dtype is int1
