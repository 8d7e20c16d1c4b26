"""``torch.distributed.ReduceOp``: how tensors are reduced, and which dtypes an op takes."""

from __future__ import annotations

import enum
from typing import Any

from kernbench.ccl.algorithm import BITWISE
from kernbench.dist.errors import BackendError
from kernbench.dtypes import DType
from kernbench.errors import InvalidValueError, UnknownAttributeError
from kernbench.registry import did_you_mean
from kernbench.wording import quoted

# PyTorch's own names of integers that no average can be written back to.
_SCALAR_TYPES = {
    "int8": "Char",
    "uint8": "Byte",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "int1": "Bool",
}


class _Names(enum.EnumMeta):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = [op for op in cls.__members__]  # noqa: C416  # mypy
        raise UnknownAttributeError(f"ReduceOp has no {name!r} here; {did_you_mean(name, known)}")


class ReduceOp(enum.Enum, metaclass=_Names):
    """How tensors are reduced; the value is the algorithms' name for it. A sum of bools is "any", as over gloo."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        raise InvalidValueError(f"ReduceOp({quoted(value)}): name one of them, as in ReduceOp.SUM")

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "prod"
    MIN = "min"
    MAX = "max"
    BAND = "band"
    BOR = "bor"
    BXOR = "bxor"


def require_op_on(op: ReduceOp, dtype: DType) -> None:
    """Refuse to write an average to integers, and to take floats bit by bit."""
    if op is ReduceOp.AVG and not dtype.is_float:
        kind = _SCALAR_TYPES.get(dtype.name, dtype.numpy.name)
        raise BackendError(f"result type Float can't be cast to the desired output type {kind}")
    if op.value in BITWISE and dtype.is_float:
        raise BackendError(f"Cannot use ReduceOp.{op.name} with non-integral dtype")
