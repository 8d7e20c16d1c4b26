"""Values for tensors: Python numbers that a dtype must hold, and arrays that are cast as PyTorch casts on a CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ml_dtypes import finfo

from kernbench.dtypes import (
    DType,
    as_dtype,
    float8e4nv,
    float32,
    float64,
    int1,
    int32,
    int64,
    uint64,
)
from kernbench.errors import (
    CapacityError,
    InvalidTypeError,
    RefusedError,
    ShapeError,
    UsageError,
)
from kernbench.ops.numerics import convert, int_limits
from kernbench.torch.promotion import Number, cpp_name, number_type, torch_name
from kernbench.units import format_bytes
from kernbench.wording import quoted

Array = npt.NDArray[Any]
_OF_PYTHON = {float64: float32, uint64: int64}  # what numpy takes for Python's numbers, and PyTorch
MOST_ELEMENTS = 1 << 59  # of 8 bytes, which 63 bits can count


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """The limits of a dtype, as Python numbers: what ``torch.finfo`` and ``torch.iinfo`` say."""

    dtype: str
    bits: int
    min: int | float
    max: int | float
    eps: float = 0.0
    tiny: float = 0.0

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number of full precision."""
        return self.tiny


def float_info(dtype: DType) -> TypeInfo:
    """The limits of a float dtype."""
    if not dtype.is_float:
        raise InvalidTypeError(
            f"torch.finfo() requires a floating point input type, not {torch_name(dtype)}; use torch.iinfo()"
        )
    info = finfo(dtype.numpy)  # type: ignore[no-untyped-call]
    most = float(info.max)
    return TypeInfo(dtype.numpy.name, dtype.bits, -most, most, float(info.eps), float(info.tiny))


def int_info(dtype: DType) -> TypeInfo:
    """The limits of an integer dtype."""
    if dtype.is_float or dtype is int1:
        raise InvalidTypeError(f"torch.iinfo() requires an integer input type, not {torch_name(dtype)}")
    return TypeInfo(dtype.numpy.name, dtype.bits, *int_limits(dtype))


class IntegerOverflowError(UsageError, OverflowError, ValueError):
    """An integer beyond 64 bits: PyTorch raises one of these."""


def cast(array: Array, dtype: DType) -> Array:
    """``array`` in ``dtype`` as PyTorch converts tensors on a CPU: floats round once, integers wrap.

    Of a float beyond what its integer dtype takes, C++ says nothing; it becomes what x86's instructions give, so that
    it is the same everywhere: the smallest integer, cut to the dtype's bits.
    """
    if dtype is int1 or dtype.is_float or not as_dtype(array.dtype).is_float:
        with np.errstate(all="ignore"):
            return convert(array, dtype)
    wide = array.astype(np.float64)
    # x86 has no instruction for uint64: compilers go by way of int64, of what is 2**63 or more less that.
    if dtype is uint64:
        is_upper = wide >= 2.0**63
        low = _truncated(np.where(is_upper, wide - 2.0**63, wide), int64).view(np.uint64)
        return np.asarray(np.where(is_upper, low ^ np.uint64(1 << 63), low))
    # Narrow integers are cut out of an int32, not limited: 300.0 is 44 as an int8.
    via = int32 if dtype.bits < 32 or dtype is int32 else int64
    return _truncated(wide, via).astype(dtype.numpy)


def _truncated(wide: Array, dtype: DType) -> Array:
    """fp64 towards zero in a signed ``dtype``, the smallest one where it does not fit."""
    low, _ = int_limits(dtype)
    # Truncation lifts what is above low - 1 to low; around that of int64, fp64 has whole numbers only.
    fits = (wide > low - 1 if dtype is int32 else wide >= low) & (wide < -low)
    return np.where(fits, np.where(fits, wide, 0).astype(dtype.numpy), dtype.numpy.type(low))


def number_of(value: Any, what: str) -> Number:
    """``value`` as a Python number; numpy's and what has an ``item()`` of one element are taken too.

    Raises:
        InvalidTypeError: it is none; ``what`` begins the text.
    """
    if isinstance(value, np.generic) or (hasattr(value, "numel") and value.numel() == 1):
        value = value.item()
    if not isinstance(value, (bool, int, float)):
        raise InvalidTypeError(f"{what} must be Number, not {type(value).__name__}")
    return value


def filling(value: Number, dtype: DType) -> Array:
    """``value`` as an array of ``dtype`` without dimensions, for a whole tensor.

    Raises:
        RefusedError: the dtype does not hold it: an integer or a finite float beyond its range, infinity or NaN for an
            integer dtype. Negative integers wrap to an unsigned dtype, as in PyTorch.
    """
    own = _array_of_number(value)
    if dtype is not int1 and not _fits(own, dtype, is_strict=True):
        is_sized = dtype.is_int and dtype is not int32
        raise _overflow(f"{dtype.numpy.name}_t" if is_sized else cpp_name(dtype), value, dtype)
    return cast(own, dtype)


def _array_of_number(value: Number) -> Array:
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        text = "int too big to convert" if value > 0 else "can't convert negative int to unsigned"
        raise IntegerOverflowError(f"{text}: {value} has more than 64 bits; give a float")
    return np.asarray(value, np.float64 if isinstance(value, float) else None)


def values_of(values: Any, dtype: DType | None) -> Array:
    """What ``torch.tensor`` makes of an array, which is cast, or of numbers in lists, which ``dtype`` must hold.

    Without a dtype, floats are fp32 and integers int64; an array keeps its own.

    Raises:
        RefusedError: a number is beyond an integer dtype's range.
        ShapeError: the lists differ in length.
    """
    if isinstance(values, np.ndarray):
        array = plain(values, "torch.tensor")
        return array.copy() if dtype is None else np.array(cast(array, dtype))
    array = _listed(values)
    if dtype is None:
        dtype = number_type(0) if array.dtype == object else as_dtype(array.dtype)
        if dtype in _OF_PYTHON and not _has_numpy(values, dtype):
            dtype = _OF_PYTHON[dtype]
    if dtype.is_int and dtype is not int1:
        _require_held(array, dtype)
    return np.array(cast(array.astype(np.float64) if array.dtype == object else array, dtype))


def _listed(values: Any) -> Array:
    try:
        array = np.array(values)
    except ValueError:
        raise ShapeError("torch.tensor: the nested lists differ in length; give rows of one length") from None
    if array.dtype == np.float64 and array.size and all(isinstance(x, int) for x in _leaves(values)):
        array = np.array(values, object)  # numpy takes floats where some integers have 64 bits without a sign
    if array.dtype == object and all(isinstance(x, (int, float)) for x in array.reshape(-1)):
        return array  # integers of more than 64 bits are among them
    if array.dtype.kind not in "biufV" or array.dtype.names:
        first = array.reshape(-1)[0] if array.size else values
        first = first.item() if isinstance(first, np.generic) else first
        raise InvalidTypeError(
            f"torch.tensor: {quoted(first)} is no number of a dtype; give numbers, nested lists of them, or an array"
        )
    return array


def _leaves(values: Any) -> Iterator[Any]:
    """The numbers and arrays in nested lists."""
    if isinstance(values, (list, tuple)):
        for inner in values:
            yield from _leaves(inner)
    else:
        yield values


def _has_numpy(values: Any, dtype: DType) -> bool:
    """Whether numpy says of a number among ``values`` that it is of ``dtype``."""
    return any(isinstance(x, (np.generic, np.ndarray)) and x.dtype == dtype.numpy for x in _leaves(values))


def _require_held(array: Array, dtype: DType) -> None:
    """Refuse integers of more than 64 bits, and what ``dtype`` does not hold."""
    low, high = int_limits(uint64 if dtype is uint64 else int64)
    integers = (
        (x for x in array.reshape(-1).tolist() if isinstance(x, int)) if array.dtype.kind in "iuO" else ()
    )
    beyond = next((x for x in integers if not low <= x <= high), None)
    if beyond is not None:
        text = "Overflow when unpacking long long"
        if dtype is uint64:
            text = "can't convert negative int to unsigned" if beyond < 0 else "int too big to convert"
        raise IntegerOverflowError(f"{text}: {beyond} in a tensor of {torch_name(dtype)}; give floats")
    if not _fits(array, dtype):
        lost = next(x for x in array.reshape(-1).tolist() if not _fits(np.asarray(x), dtype))
        raise _overflow(dtype.numpy.name, lost, dtype)


def _fits(array: Array, dtype: DType, *, is_strict: bool = False) -> bool:
    """Whether PyTorch converts all numbers of ``array`` to ``dtype``: to a float dtype any, unless ``is_strict``."""
    is_float = array.dtype.kind in "fV"
    array = array.astype(np.float64) if is_float or dtype.is_float else array
    if dtype.is_float:
        beyond = np.abs(array) > float_info(dtype).max
        return not is_strict or not (beyond & ~(np.isinf(array) & (dtype is not float8e4nv))).any()
    if array.dtype == np.bool_:
        return True
    low, high = int_limits(dtype)
    if array.dtype.kind == "i" and not dtype.signed:
        low = max(-high, -(1 << 63))  # what is negative wraps, as two's complement does
    # 2**63 is what the largest integers of 64 bits are as floats.
    return bool(((array >= low) & (array <= (float(high) if is_float else high))).all())


def _overflow(name: str, value: Number, dtype: DType) -> RefusedError:
    if dtype.is_float:
        held, cure = f"is beyond its largest, {float_info(dtype).max:g}", "give float('inf') or a wider dtype"
    else:
        low, high = int_limits(dtype)
        held, cure = (
            f"is not one of {low} to {high}",
            "give a wider dtype, or convert a tensor with .to(), which wraps",
        )
    return RefusedError(
        f"value cannot be converted to type {name} without overflow: {quoted(value)} {held}; {cure}"
    )


def require_in_range(name: str, number: int, dtype: DType) -> None:
    """Refuse an end of a range of random integers that ``dtype`` does not hold."""
    low, high = (-float_info(dtype).max, float_info(dtype).max) if dtype.is_float else int_limits(dtype)
    if not low <= number <= high:
        raise RefusedError(
            f"{name} is out of bounds for {cpp_name(dtype)}: {number} is not one of "
            f"{low:g} to {high:g}; give a wider dtype"
        )


def ranged(bounds: tuple[Any, ...], dtype: DType | None) -> tuple[Array, DType]:
    """The values and the dtype of ``torch.arange``: start + i * step, cast to the dtype as PyTorch does.

    Raises:
        UsageError: the bounds are not one to three numbers, not finite, or lead away from each other.
    """
    if not 1 <= len(bounds) <= 3:
        raise UsageError(f"torch.arange{bounds}: give an end; a start and an end; or those and a step, not 0")
    numbers = [number_of(bound, f"arange(): {quoted(bound)}") for bound in bounds]
    start, end, step = {1: (0, *numbers, 1), 2: (*numbers, 1), 3: tuple(numbers)}[len(numbers)]
    is_whole = all(isinstance(number, int) for number in numbers)
    if dtype is None:
        dtype = number_type(0 if is_whole else 0.0)
    if not step:
        raise RefusedError(f"step must be nonzero: torch.arange{bounds}; give 1 or -1")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RefusedError(f"unsupported range: {start} -> {end}; give finite numbers")
    if (end - start) * step < 0:
        raise RefusedError(
            f"upper bound and lower bound inconsistent with step sign: torch.arange{bounds}; step towards the end"
        )
    if dtype is int1:
        raise RefusedError(
            "\"arange_cpu\" not implemented for 'Bool'; give an integer dtype, then .to(torch.bool)"
        )
    size = -((start - end) // step) if is_whole else math.ceil((end - start) / step)
    if size > MOST_ELEMENTS:
        raise RefusedError(f"invalid size, possible overflow? torch.arange{bounds} has {size} elements")
    with room_for((int(size),), dtype):
        if dtype.is_float:
            values: Array = float(start) + np.arange(int(size), dtype=np.float64) * float(step)
        else:
            first, stride = (np.int64(_wrapped(int(number))) for number in (start, step))
            values = first + np.arange(int(size), dtype=np.int64) * stride
        return cast(values, dtype), dtype


def _wrapped(number: int) -> int:
    """``number`` in 64 bits with a sign."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def plain(array: Any, what: str) -> Array:
    """``array``, if all of it is in its elements: a mask is not.

    Raises:
        InvalidTypeError: it is no array, or a masked one.
    """
    if not isinstance(array, np.ndarray):
        raise InvalidTypeError(
            f"expected np.ndarray (got {type(array).__name__}): {what} takes an array; make one with np.array(), or "
            "use torch.tensor()"
        )
    if isinstance(array, np.ma.MaskedArray):
        raise InvalidTypeError(
            f"{what}: the array has a mask, which a tensor does not keep; fill it, as in array.filled(0)"
        )
    return array


@contextmanager
def room_for(shape: tuple[int, ...], dtype: DType) -> Iterator[None]:
    """Within, an array that the host has no memory for is a CapacityError."""
    try:
        yield
    except MemoryError:
        size = format_bytes(math.prod(shape) * dtype.size_bytes)
        raise CapacityError(
            f"a tensor {list(shape)} of {dtype} takes {size} on the host; make it smaller"
        ) from None
