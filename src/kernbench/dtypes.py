"""Element types: size, numpy type, accumulate type; one object per type, many spellings."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import ml_dtypes
import numpy as np

from kernbench.errors import DTypeError
from kernbench.given import told
from kernbench.registry import did_you_mean
from kernbench.wording import quoted


class NumberKind(IntEnum):
    """Order of promotion: a scalar of a lower or equal kind takes the tensor's dtype."""

    BOOL = 0
    INT = 1
    FLOAT = 2


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type. ``name`` is canonical; identity is equality. In memory int1 takes one byte."""

    name: str
    kind: NumberKind
    bits: int
    numpy: np.dtype[Any]
    signed: bool = True
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_bytes", max(1, self.bits // 8))

    @property
    def is_float(self) -> bool:
        """True for fp64 ... fp8."""
        return self.kind is NumberKind.FLOAT

    @property
    def is_int(self) -> bool:
        """True for signed and unsigned integers and int1."""
        return self.kind is not NumberKind.FLOAT

    # What kernels ask of a dtype, by Triton's names.

    @property
    def scalar(self) -> DType:
        """The dtype of one element: itself."""
        return self

    @property
    def value(self) -> DType:
        """Itself, as a constexpr."""
        return self

    @property
    def primitive_bitwidth(self) -> int:
        """Bits of an element."""
        return self.bits

    def is_floating(self) -> bool:
        """True for fp64 ... fp8."""
        return self.is_float

    def is_fp8(self) -> bool:
        """True for both fp8 types."""
        return self.is_float and self.bits == 8

    def is_fp16(self) -> bool:
        """True for fp16."""
        return self.name == "fp16"

    def is_bf16(self) -> bool:
        """True for bf16."""
        return self.name == "bf16"

    def is_fp32(self) -> bool:
        """True for fp32."""
        return self.name == "fp32"

    def is_fp64(self) -> bool:
        """True for fp64."""
        return self.name == "fp64"

    def is_int_signed(self) -> bool:
        """True for int8 ... int64."""
        return self.is_int and self.signed

    def is_int_unsigned(self) -> bool:
        """True for uint8 ... uint64 and int1."""
        return self.is_int and not self.signed

    def is_ptr(self) -> bool:
        """Never: a pointer has a type of its own."""
        return False

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)  # a copy, pickled or not, is the one object of its type


def _float(name: str, bits: int, numpy_type: Any) -> DType:
    return DType(name, NumberKind.FLOAT, bits, np.dtype(numpy_type))


def _int(name: str, bits: int, signed: bool) -> DType:
    return DType(name, NumberKind.INT, bits, np.dtype(name), signed)


float64 = _float("fp64", 64, np.float64)
float32 = _float("fp32", 32, np.float32)
float16 = _float("fp16", 16, np.float16)
bfloat16 = _float("bf16", 16, ml_dtypes.bfloat16)
float8e4nv = _float("fp8e4nv", 8, ml_dtypes.float8_e4m3fn)
float8e5 = _float("fp8e5", 8, ml_dtypes.float8_e5m2)
int1 = DType("int1", NumberKind.BOOL, 1, np.dtype(np.bool_), signed=False)
int8, int16, int32, int64 = (_int(f"int{b}", b, True) for b in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (_int(f"uint{b}", b, False) for b in (8, 16, 32, 64))

DTYPES: tuple[DType, ...] = (
    float64,
    float32,
    float16,
    bfloat16,
    float8e4nv,
    float8e5,
    int1,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

_SPELLINGS: dict[str, DType] = {d.name: d for d in DTYPES} | {
    "float64": float64,
    "double": float64,
    "f64": float64,
    "float32": float32,
    "float": float32,
    "f32": float32,
    "float16": float16,
    "half": float16,
    "f16": float16,
    "bfloat16": bfloat16,
    "fp8": float8e4nv,
    "e4m3": float8e4nv,
    "fp8e4m3": float8e4nv,
    "float8e4nv": float8e4nv,
    "float8_e4m3fn": float8e4nv,
    "e5m2": float8e5,
    "fp8e5m2": float8e5,
    "float8e5": float8e5,
    "float8_e5m2": float8e5,
    "bool": int1,
    "i1": int1,
    "i8": int8,
    "i16": int16,
    "i32": int32,
    "i64": int64,
    "int": int64,
    "long": int64,
    "u8": uint8,
    "u16": uint16,
    "u32": uint32,
    "u64": uint64,
}
_BY_NUMPY: dict[np.dtype[Any], DType] = {d.numpy: d for d in DTYPES}


DTypeLike = DType | str | np.dtype[Any] | type


def as_dtype(spec: DTypeLike) -> DType:
    """The dtype that ``spec`` names: one of ours, a spelling, or a numpy type.

    >>> as_dtype("bfloat16"), as_dtype(np.float32)
    (bf16, fp32)
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, str):
        if spec not in _SPELLINGS:
            raise DTypeError(f"unknown dtype {quoted(spec)}; {did_you_mean(spec, _SPELLINGS)}")
        return _SPELLINGS[spec]
    try:
        return _BY_NUMPY[np.dtype(spec)]
    except Exception:  # whatever numpy, or an object that it looks at, raises
        raise DTypeError(
            f"no KernBench dtype for {quoted(spec)}; known: {', '.join(d.name for d in DTYPES)}"
        ) from None


@told()
def accumulate_type(dtype: DType) -> DType:
    """What ``tl.dot`` accumulates ``dtype`` in: fp32 (fp64 for fp64, int32 for integers)."""
    if dtype is float64:
        return float64
    return float32 if dtype.is_float else int32
