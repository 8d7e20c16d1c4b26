"""Laws of numerics: every conversion rounds once, as exact fractions say; promotion is the Triton compiler's."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.dtypes import DTYPES, as_dtype, float8e4nv, float8e5, float32, int1, int8, int64
from kernbench.errors import DTypeError
from kernbench.ops.numerics import convert, int_limits, number_dtype, promote, promote_numbers

NARROW = ["fp16", "bf16", "fp8e4nv", "fp8e5"]
FLOATS = ["fp64", "fp32", *NARROW]
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.fixture(autouse=True)
def _silent():
    """Signalling NaN are among the bit patterns."""
    with np.errstate(all="ignore"):
        yield


def every(dtype):
    """All 2^8 or 2^16 values of a narrow dtype."""
    kind = as_dtype(dtype)
    return np.arange(2**kind.bits, dtype=f"u{kind.size_bytes}").view(kind.numpy)


def same(a, b):
    """Equal bits, but for the payload of NaN."""
    assert a.dtype == b.dtype
    both_nan = np.isnan(a) & np.isnan(b)
    unsigned = f"u{a.dtype.itemsize}"
    np.testing.assert_array_equal(
        np.where(both_nan, 0, a.view(unsigned)), np.where(both_nan, 0, b.view(unsigned))
    )


def saturated(values, dtype):
    """Values as ml_dtypes should see them, which makes a NaN of what is too large for fp8e4nv."""
    return np.clip(values, -448, 448) if dtype == "fp8e4nv" else values


def round_exactly(values, dtype):
    """Round exact fractions to nearest even by searching all values of a narrow dtype."""
    kind = as_dtype(dtype)
    finite = every(dtype)
    finite = finite[np.isfinite(finite)]
    finite = finite[np.argsort(finite.astype(np.float64), kind="stable")]
    numbers = [Fraction(float(v)) for v in finite]
    out = []
    for value in values:
        at = int(np.searchsorted(finite.astype(np.float64), float(value)))
        near = range(max(0, at - 3), min(len(numbers), at + 3))
        even = {i: int(finite[i : i + 1].view(f"u{kind.size_bytes}")[0]) & 1 for i in near}
        out.append(min(near, key=lambda i: (abs(numbers[i] - value), even[i])))
    return finite[out]


@pytest.mark.parametrize("source", ["bf16", "fp16", "fp8e4nv", "fp8e5"])
@pytest.mark.parametrize("target", [*FLOATS])
def test_narrow_to_float_is_ml_dtypes_by_way_of_fp32(source, target):
    values = every(source)
    expected = saturated(values.astype(np.float32), target).astype(as_dtype(target).numpy)
    same(convert(values, as_dtype(target)), expected if source != target else values)


@pytest.mark.parametrize("target", NARROW)
def test_fp32_to_narrow_is_ml_dtypes(target):
    bits = np.random.default_rng(1).integers(0, 2**32, 1 << 16, dtype=np.uint32)
    values = bits.view(np.float32)
    same(convert(values, as_dtype(target)), saturated(values, target).astype(as_dtype(target).numpy))


def test_fp8e4nv_saturates_and_fp8e5_overflows():
    values = np.array([448, 465, 1e9, np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(
        convert(values, float8e4nv).astype(np.float32), [448, 448, 448, 448, -448, np.nan]
    )
    # the largest fp8e5 is 57344 and the step above it would be 65536: from halfway, 61440, on it is infinite
    assert convert(np.array([61439, 61440, -1e9]), float8e5).astype(np.float32).tolist() == [
        57344,
        np.inf,
        -np.inf,
    ]


@pytest.mark.parametrize("target", NARROW)
@pytest.mark.parametrize("nudge", [-(2.0**-40), 0.0, 2.0**-40])
def test_fp64_to_narrow_rounds_once(target, nudge):
    """Just beside every halfway point, where rounding by way of fp32 goes wrong."""
    values = every(target)
    values = values[np.isfinite(values)]
    finite = np.sort(values.astype(np.float64))[:: 1 + len(values) // 512]
    largest = float(ml_dtypes.finfo(as_dtype(target).numpy).max)
    steps = [(float(a), float(b)) for a, b in zip(finite, finite[1:]) if a != b]
    halfway = np.array([(a + b) / 2 * (1 + nudge) for a, b in steps if abs(a) < largest and abs(b) < largest])
    exact = round_exactly([Fraction(float(h)) for h in halfway], target)
    rounded = convert(halfway, as_dtype(target))
    np.testing.assert_array_equal(rounded.astype(np.float64), exact.astype(np.float64))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint64"])
@pytest.mark.parametrize("target", ["bf16", "fp32"])
def test_integers_round_once(dtype, target):
    rng = np.random.default_rng(2)
    info = np.iinfo(dtype)
    spread = [
        rng.integers(info.min // 2**k, info.max // 2**k, 500, dtype=dtype) for k in range(0, info.bits - 8, 3)
    ]
    halfway = [np.array([2**24 + 2**16 + 1, 2**24 + 2**16, 2**24 + 3 * 2**16 - 1], dtype)]
    values = np.concatenate(spread + halfway)
    bits = {"bf16": 8, "fp32": 24}[target]
    rounded = convert(values, as_dtype(target)).astype(np.float64)
    for value, result in zip(values.tolist(), rounded.tolist()):
        assert int(result) == round_integer(value, bits)


def round_integer(value, bits):
    size = abs(value)
    shift = max(0, size.bit_length() - bits)
    kept, rest = size >> shift, size & ((1 << shift) - 1)
    half = 1 << shift >> 1
    kept += rest > half or (rest == half and shift > 0 and kept & 1)
    return (kept << shift) * (1 if value >= 0 else -1)


@pytest.mark.parametrize("target", INTS)
@pytest.mark.parametrize("source", ["fp64", "fp32", "bf16"])
def test_floats_truncate_and_saturate(source, target):
    low, high = int_limits(as_dtype(target))
    values = np.array(
        [0.0, -0.0, 1.75, -1.75, 127.9, -128.9, 3e9, -3e9, 1e30, -1e30, np.inf, -np.inf, np.nan]
    )
    values = values.astype(as_dtype(source).numpy)
    expected = [
        0 if v != v else low if v == -np.inf else high if v == np.inf else max(low, min(high, int(v)))
        for v in values.astype(np.float64).tolist()
    ]
    assert convert(values, as_dtype(target)).tolist() == expected


@pytest.mark.parametrize("value", [2.0**63, 2.0**64, 2.0**63 - 1024, 2.0**64 - 2048, -(2.0**63)])
@pytest.mark.parametrize("target", ["int64", "uint64"])
def test_the_ends_of_64_bits(value, target):
    low, high = int_limits(as_dtype(target))
    assert convert(np.array(value), as_dtype(target)).item() == max(low, min(high, int(value)))


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(INTS))
def test_integers_wrap(value, target):
    kind = as_dtype(target)
    low, _ = int_limits(kind)
    assert convert(np.array(value), kind).item() == (value - low) % 2**kind.bits + low


@pytest.mark.parametrize("dtype", [d.name for d in DTYPES])
def test_to_int1_is_not_zero(dtype):
    values = np.array([0, 1, 0, 1]).astype(as_dtype(dtype).numpy)
    assert convert(values, as_dtype("int1")).tolist() == [False, True, False, True]
    assert convert(np.array([True, False]), as_dtype(dtype)).astype(np.float64).tolist() == [1, 0]


PROMOTIONS = [
    ("fp64", "fp16", "fp64", "fp64"),
    ("fp32", "fp16", "fp32", "fp32"),
    ("fp16", "fp16", "fp16", "fp32"),
    ("fp16", "bf16", "fp16", "fp32"),
    ("bf16", "bf16", "bf16", "fp32"),
    ("bf16", "int32", "fp32", "fp32"),
    ("fp16", "int64", "fp16", "fp32"),
    ("fp8e4nv", "fp8e5", "fp16", "fp32"),
    ("fp8e5", "fp8e5", "fp8e5", "fp32"),
    ("int32", "int64", "int64", "int64"),
    ("int8", "int8", "int8", "int8"),
    ("int32", "uint32", "uint32", None),
    ("int64", "uint32", "int64", None),
    ("int1", "int32", "int32", None),
    ("int1", "uint8", "uint8", "uint8"),
    ("int1", "int1", "int1", "int1"),
]


@pytest.mark.parametrize(("a", "b", "meet", "divide"), PROMOTIONS)
def test_promotion_of_blocks(a, b, meet, divide):
    a, b = as_dtype(a), as_dtype(b)
    assert promote(a, b).name == promote(b, a).name == meet
    if divide is None:
        with pytest.raises(
            DTypeError, match=r"differ in sign and do not divide; cast one to the other's sign"
        ):
            promote(a, b, divides=True)
    else:
        assert promote(a, b, divides=True).name == divide


NUMBERS = [
    ("fp16", 2, "fp16"),
    ("fp16", 2.5, "fp16"),
    ("bf16", 1e30, "bf16"),
    ("int32", 2.5, "fp32"),
    ("int64", 7, "int64"),
    ("int8", True, "int8"),
    ("int1", 3, "int32"),
    ("int32", 1e-300, "fp64"),
    ("fp8e5", 1.0, "fp8e5"),
]


@pytest.mark.parametrize(("dtype", "number", "meet"), NUMBERS)
def test_promotion_of_numbers(dtype, number, meet):
    assert promote_numbers(as_dtype(dtype), [number]).name == meet


def test_numbers_meet_each_other_before_they_meet_a_block():
    assert promote_numbers(int8, [-3_000_000_000, 3.0]) is float32  # int64 and fp32 give fp32, above int8
    assert promote_numbers(int1, [0, 2**40]) is int64
    assert promote_numbers(None, [1.0, 2]) is float32
    with pytest.raises(DTypeError, match="-1 does not fit uint32"):
        promote_numbers(None, [-1, 3_000_000_000])  # 2**31 and more is a uint32, which has no -1


def test_numbers_beyond_their_dtype():
    for dtype, number in (("int32", 2**31), ("uint8", -1), ("int8", 200)):
        with pytest.raises(
            DTypeError, match=rf"{number} does not fit {dtype}; cast the block to a wider dtype"
        ):
            promote_numbers(as_dtype(dtype), [number])
    with pytest.raises(DTypeError, match="fits no integer dtype of 64 bits"):
        number_dtype(2**64)
