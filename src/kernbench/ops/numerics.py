"""Numerics of the Triton compiler: which dtype a mixed operation computes in, and how a value changes dtype.

Every conversion rounds once, to nearest even. Two-step conversions of numpy types (fp64 by way of fp32) would
round twice; they go through *round to odd*, which a second rounding cannot spoil.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from kernbench.dtypes import (
    DType,
    NumberKind,
    as_dtype,
    bfloat16,
    float8e4nv,
    float8e5,
    float16,
    float32,
    float64,
    int1,
    int32,
    int64,
    uint32,
    uint64,
)
from kernbench.errors import DTypeError
from kernbench.ops.spec import Array

Number = bool | int | float

_NARROW = frozenset({float16, bfloat16, float8e4nv, float8e5})  # computed in fp32
_FLOAT32_TINY, _FLOAT32_MAX = 2.0**-126, float(np.finfo(np.float32).max)
_FP8E4NV_MAX = np.float32(448)


def is_narrow(dtype: DType) -> bool:
    """True for the floats below fp32, which compute in fp32 and round once on the result."""
    return dtype in _NARROW


def compute_dtype(dtype: DType) -> DType:
    """What arithmetic on ``dtype`` runs in: fp32 for narrower floats, else itself."""
    return float32 if dtype in _NARROW else dtype


def int_limits(dtype: DType) -> tuple[int, int]:
    """Smallest and largest value of an integer dtype."""
    if dtype.signed:
        return -(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1
    return 0, (1 << dtype.bits) - 1


def number_dtype(value: Number) -> DType:
    """The dtype of a Python number by itself: bool -> int1; int by magnitude; float -> fp32 where it fits.

    >>> number_dtype(1), number_dtype(2**31), number_dtype(-(2**40)), number_dtype(0.5)
    (int32, uint32, int64, fp32)
    """
    if isinstance(value, bool):
        return int1
    if isinstance(value, int):
        for dtype in (int32, uint32, int64, uint64):
            low, high = int_limits(dtype)
            if low <= value <= high:
                return dtype
        raise DTypeError(f"{value} fits no integer dtype of 64 bits; split it, or use a float")
    size = abs(value)
    fits = size == 0 or size != size or size == float("inf") or _FLOAT32_TINY <= size <= _FLOAT32_MAX
    return float32 if fits else float64


def promote(a: DType, b: DType, *, divides: bool = False) -> DType:
    """The dtype in which blocks of ``a`` and ``b`` meet; a division with a float below fp64 meets in fp32.

    >>> promote(float16, int32), promote(bfloat16, int32), promote(float16, float16, divides=True)
    (fp16, fp32, fp32)

    Raises:
        DTypeError: a division of integers of different signedness.
    """
    if a is float64 or b is float64:
        return float64
    if a is float32 or b is float32 or (divides and (a.is_float or b.is_float)):
        return float32
    if a is float16 or b is float16:
        return float16
    if a is bfloat16 or b is bfloat16:
        return bfloat16 if a is b else float32
    if a.is_float or b.is_float:
        return _promote_fp8(a, b)
    if divides and a.signed != b.signed:
        raise DTypeError(f"{a} and {b} differ in sign and do not divide; cast one to the other's sign")
    return _promote_ints(a, b)


def _promote_fp8(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if a.is_float and b.is_float:
        return float16
    raise DTypeError(f"{a} and {b} do not mix; cast the integer to a float first")


def _promote_ints(a: DType, b: DType) -> DType:
    if a.signed == b.signed:
        return a if a.bits > b.bits else b
    unsigned, signed = (b, a) if a.signed else (a, b)
    return unsigned if unsigned.bits >= signed.bits else signed


def promote_numbers(dtype: DType | None, values: Sequence[Number], *, divides: bool = False) -> DType:
    """The dtype in which a block of ``dtype`` (None: no block) meets Python numbers, which first meet each other.

    It is the block's own, if of no lower kind than the numbers'.

    >>> promote_numbers(float16, [2]), promote_numbers(int32, [300, 0.5]), promote_numbers(None, [1, 2**31])
    (fp16, fp32, uint32)

    Raises:
        DTypeError: they meet in an integer dtype that a number does not fit.
    """
    meeting = reduce(promote, [number_dtype(value) for value in values])
    if dtype is not None:
        is_weak = meeting.kind <= dtype.kind
        meeting = promote(dtype, dtype if is_weak else meeting, divides=divides)
    if meeting.kind is NumberKind.INT:
        low, high = int_limits(meeting)
        for value in values:
            if not low <= value <= high:
                raise DTypeError(f"{value} does not fit {meeting}; cast the block to a wider dtype")
    return meeting


def convert(array: Array, dtype: DType) -> Array:
    """``array`` in ``dtype``, each element rounded once (to nearest even; towards zero from float to int).

    Integers wrap; floats beyond an integer's range saturate, and NaN becomes 0; to int1 is ``!= 0``. Overflow of a
    float dtype gives infinity; fp8e4nv, which has none, saturates at 448, as torch and GPUs have it (GPUs saturate
    fp8e5 as well). numpy's warnings are the caller's to silence.
    """
    if array.dtype is dtype.numpy:
        return array
    source = as_dtype(array.dtype)
    if source is dtype:
        return array
    if dtype is int1:
        return np.asarray(array != np.zeros((), array.dtype))
    if dtype.is_float:
        return _to_float(array, source, dtype)
    if source.is_float:
        return _float_to_int(array, source, dtype)
    return array.astype(dtype.numpy)


def _to_float(array: Array, source: DType, dtype: DType) -> Array:
    if source in _NARROW:
        array = array.astype(np.float32)
    elif dtype in _NARROW and dtype is not float16 and source is not float32:
        array = _odd_float32(_odd_float64(array) if source.is_int else array)
    if dtype is float8e4nv:
        array = np.clip(array, -_FP8E4NV_MAX, _FP8E4NV_MAX)  # a NaN passes
    return array.astype(dtype.numpy, copy=False)


def _odd_float64(array: Array) -> Array:
    """Integers as fp64, rounded to odd beyond 53 bits: the bits that do not fit leave a trace in the last one."""
    if array.dtype.itemsize < 8:
        return array.astype(np.float64)
    low_bits = array.dtype.type((1 << 11) - 1)
    sticky = ((array & low_bits) != 0).astype(array.dtype) << array.dtype.type(11)
    fits = np.abs(array.astype(np.float64)) < 2.0**53
    return np.where(fits, array, (array & ~low_bits) | sticky).astype(np.float64)


def _odd_float32(array: Array) -> Array:
    """fp64 as fp32, rounded to odd: towards zero, with the last bit set when that is not exact."""
    nearest = array.astype(np.float32)
    back = nearest.astype(np.float64)
    bits = np.atleast_1d(nearest.view(np.uint32))
    bits = bits - np.atleast_1d(np.abs(back) > np.abs(array)).astype(np.uint32)
    inexact = np.atleast_1d((back != array) & ~np.isnan(array))
    bits = np.where(inexact, bits | np.uint32(1), bits)
    return np.asarray(bits.view(np.float32)).reshape(array.shape)


def _float_to_int(array: Array, source: DType, dtype: DType) -> Array:
    low, high = int_limits(dtype)
    wide = array.astype(np.float64) if source in _NARROW or source is float32 else array
    # The largest fp64 below 2**64 or 2**63 is what a 64-bit limit rounds down to.
    top = float(high) if dtype.bits < 64 else np.nextafter(float(high), 0.0)
    clipped = np.clip(np.nan_to_num(wide, nan=0.0, posinf=np.inf, neginf=-np.inf), float(low), top)
    return np.asarray(np.where(wide > top, dtype.numpy.type(high), clipped.astype(dtype.numpy)))


def as_array(value: Any, dtype: DType) -> Array:
    """A number or an array as an array of ``dtype``, rounded once; what overflows does so silently."""
    if isinstance(value, np.ndarray) and value.dtype is dtype.numpy:
        return value
    with np.errstate(all="ignore"):
        if isinstance(value, np.ndarray):
            return convert(value, dtype)
        own = np.float64 if isinstance(value, float) else number_dtype(value).numpy
        return convert(np.asarray(value, own), dtype)
