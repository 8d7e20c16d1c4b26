"""softmax along one axis, in one op: exp(x - max(x)) / sum(exp(x - max(x))).

As in Triton, a float below fp32 gives fp32, because max does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernbench.dtypes import DType
from kernbench.errors import DTypeError
from kernbench.ops.numerics import compute_dtype, convert
from kernbench.ops.reduce import check_not_empty
from kernbench.ops.spec import Array, Attrs, Typed, examples, math_op, visits


def _infer(operands: tuple[Typed, ...], attrs: Attrs) -> Typed:
    (x,) = operands
    if not x.dtype.is_float:
        raise DTypeError(f"needs a float block, not {x.dtype}; cast it with .to(tl.float32)")
    check_not_empty(x.shape, attrs["axis"])
    return Typed(x.shape, compute_dtype(x.dtype))


def _evaluate(arrays: Sequence[Array], attrs: Attrs, dtype: DType) -> Array:
    (x,) = arrays
    axis = attrs["axis"]
    wide = np.asarray(convert(x, dtype), order="C")  # numpy's order of summation follows the memory's
    exponential = np.exp(wide - np.fmax.reduce(wide, axis=axis, keepdims=True))
    return np.asarray(exponential / np.add.reduce(exponential, axis=axis, keepdims=True))


def _reference(x: Array, axis: int) -> Array:
    return np.asarray(np.exp(x) / np.exp(x).sum(axis, keepdims=True))


_WORK = visits(max=1, add=2, exp=1, div=1)
math_op("softmax", _infer, _WORK, _evaluate, _reference, examples(1, axis=1), promotes=False)
