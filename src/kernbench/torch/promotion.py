"""PyTorch's type promotion: the dtype in which operands of host tensors meet."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from kernbench.dtypes import (
    DType,
    NumberKind,
    bfloat16,
    float16,
    float32,
    int1,
    int16,
    int64,
    uint16,
    uint32,
    uint64,
)
from kernbench.errors import RefusedError

Number = bool | int | float

UNSIGNED_WIDE = frozenset({uint16, uint32, uint64})  # promote with floats only

# PyTorch's own name of each dtype, in its errors; and C++'s, in errors about memory.
_NAMES = {
    "fp64": ("Double", "double"),
    "fp32": ("Float", "float"),
    "fp16": ("Half", "c10::Half"),
    "bf16": ("BFloat16", "c10::BFloat16"),
    "fp8e4nv": ("Float8_e4m3fn", "c10::Float8_e4m3fn"),
    "fp8e5": ("Float8_e5m2", "c10::Float8_e5m2"),
    "int1": ("Bool", "bool"),
    "int8": ("Char", "signed char"),
    "int16": ("Short", "short int"),
    "int32": ("Int", "int"),
    "int64": ("Long", "long int"),
    "uint8": ("Byte", "unsigned char"),
    "uint16": ("UInt16", "short unsigned int"),
    "uint32": ("UInt32", "unsigned int"),
    "uint64": ("UInt64", "long unsigned int"),
}


def scalar_type(dtype: DType) -> str:
    """What PyTorch's errors call a dtype."""
    return _NAMES[dtype.name][0]


def cpp_name(dtype: DType) -> str:
    """What C++ calls a dtype."""
    return _NAMES[dtype.name][1]


def torch_name(dtype: DType) -> str:
    """How PyTorch prints a dtype.

    >>> torch_name(float32), torch_name(bfloat16)
    ('torch.float32', 'torch.bfloat16')
    """
    return f"torch.{dtype.numpy.name}"


def promote_types(a: DType, b: DType) -> DType:
    """The smallest dtype to which PyTorch converts both.

    >>> from kernbench.dtypes import uint8
    >>> promote_types(float16, bfloat16), promote_types(int64, float16), promote_types(uint8, int1)
    (fp32, fp16, uint8)

    Raises:
        RefusedError: there is none: fp8, or an unsigned integer of 16 bits or more, with another.
    """
    if a is b:
        return a
    if (a.bits == b.bits == 8 and a.is_float and b.is_float) or 8 in (
        a.bits * a.is_float,
        b.bits * b.is_float,
    ):
        raise _not_supported("Float8 Types is", a, b)
    if a.is_float and b.is_float:
        # Of the two halves, one has the range and the other the digits: neither holds the other.
        return float32 if {a, b} == {float16, bfloat16} else max(a, b, key=lambda dtype: dtype.bits)
    if a.is_float or b.is_float:
        return a if a.is_float else b
    if a in UNSIGNED_WIDE or b in UNSIGNED_WIDE:
        raise _not_supported("uint16, uint32, uint64 types is", a, b)
    if a.signed != b.signed and int1 not in (a, b) and max(a.bits, b.bits) == 8:
        return int16
    return max(a, b, key=lambda dtype: (dtype.bits, dtype.signed))


def _not_supported(types: str, a: DType, b: DType) -> RefusedError:
    return RefusedError(
        f"Promotion for {types} not supported, attempted to promote {scalar_type(a)} and "
        f"{scalar_type(b)}; convert one of them with .to(dtype)"
    )


def result_type(tensors: Iterable[tuple[DType, int]], numbers: Iterable[Number] = ()) -> DType:
    """The dtype in which ``(dtype, dimensions)`` of tensors meet each other and Python ``numbers``.

    A tensor without dimensions counts only where its kind (bool, integer, float) is higher than that of those with
    some, and a number only where it is higher than that of all tensors.

    >>> from kernbench.dtypes import float64
    >>> result_type([(float16, 2), (float64, 0)], [3.0])
    fp16
    """
    given = list(tensors)
    groups = [
        [dtype for dtype, n_dims in given if n_dims],
        [dtype for dtype, n_dims in given if not n_dims],
        [number_type(number) for number in numbers],
    ]
    met = [reduce(promote_types, group) for group in groups if group]
    return reduce(_higher, met)


def _higher(first: DType, second: DType) -> DType:
    """``first``, unless ``second`` is of a higher kind."""
    if first.is_float or second.kind <= first.kind:
        return first
    return promote_types(first, second) if first is int1 or second.is_float else first


def number_type(number: Number) -> DType:
    """What PyTorch takes for a Python number.

    >>> number_type(True), number_type(1), number_type(1.0)
    (int1, int64, fp32)
    """
    if isinstance(number, bool):
        return int1
    return int64 if isinstance(number, int) else float32


def is_castable(source: DType, target: DType) -> bool:
    """Whether a result of dtype ``source`` may be written to a tensor of ``target``: to its kind or a higher one."""
    return source.kind <= target.kind or (source.kind is NumberKind.INT and target.is_float)
