"""dot: ``[m, k] @ [k, n] (+ acc)``, accumulated in fp32 (fp64 for fp64, int32 for int8) by one BLAS call.

``dot_form`` is what that call multiplies; Phase 2 keeps it for a value that is multiplied again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from kernbench.dtypes import (
    DType,
    accumulate_type,
    as_dtype,
    bfloat16,
    float16,
    float32,
    float64,
    int8,
    int64,
)
from kernbench.errors import DTypeError, ShapeError
from kernbench.ops.numerics import compute_dtype, convert
from kernbench.ops.spec import OPS, Array, Attrs, Example, OpSpec, Typed, Unit, counted


def dot_form(array: Array) -> Array:
    """``array`` as the multiplication takes it, C-contiguous: fp32; fp64 for fp64 and, exactly, for int8."""
    return np.asarray(convert(array, _wide(array.dtype)), order="C")


@lru_cache(maxsize=64)
def _wide(numpy_dtype: np.dtype[Any]) -> DType:
    dtype = as_dtype(numpy_dtype)
    return float64 if dtype.is_int else compute_dtype(dtype)


def evaluate_dot(a_form: Array, b_form: Array, acc: Array | None, out_dtype: DType) -> Array:
    """``a @ b (+ acc)`` of two :func:`dot_form` arrays, in ``out_dtype``, C-contiguous.

    ``out_dtype`` int32 wraps. ``acc`` is in ``out_dtype`` or in the accumulator's dtype. numpy's warnings are the
    caller's to silence.
    """
    product = np.matmul(a_form, b_form)
    if out_dtype.is_int:
        product = convert(product, int64)  # exact: |product| < 2**53 for any k that fits a PE
    if acc is not None:
        product += acc if acc.dtype is product.dtype else convert(acc, as_dtype(product.dtype))
    return np.asarray(convert(product, out_dtype), order="C")


def _infer(operands: tuple[Typed, ...], attrs: Attrs) -> Typed:
    a, b, *acc = operands
    out = attrs.get("out_dtype")
    if out is None and acc and acc[0].dtype is float16:
        out = float16
    dtype = _result_dtype(a.dtype, b.dtype, out)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise ShapeError(f"a is {list(a.shape)} and b is {list(b.shape)}; both must have 2 dimensions")
    (m, k), (rows, n) = a.shape, b.shape
    if k != rows:
        raise ShapeError(
            f"a is {list(a.shape)} and b is {list(b.shape)}; a's {k} columns must equal b's {rows} rows"
        )
    if not m * n * k:
        raise ShapeError(f"a is {list(a.shape)} and b is {list(b.shape)}; every extent must be 1 or more")
    if acc:
        _check_accumulator(acc[0], Typed((m, n), dtype))
    return Typed((m, n), dtype)


def _result_dtype(a: DType, b: DType, out: DType | None) -> DType:
    """As the compiler types it: only fp16 and fp8 operands heed ``out``."""
    both_fp8 = a.is_float and b.is_float and a.bits == b.bits == 8
    if a is not b and not both_fp8:
        raise DTypeError(f"a is {a} and b is {b}; both must have one dtype: cast one of them")
    if a.is_int and a is not int8:
        raise DTypeError(f"the only integers that multiply are int8, not {a}")
    heeds_out = a is float16 or both_fp8
    if a.is_float and (out is bfloat16 or (heeds_out and out not in (None, float16, float32))):
        raise DTypeError(f"{a} does not accumulate in {out}; leave out_dtype away and cast the result")
    return float16 if heeds_out and out is float16 else accumulate_type(a)


def _check_accumulator(acc: Typed, result: Typed) -> None:
    if acc.shape != result.shape:
        raise ShapeError(
            f"acc is {list(acc.shape)} and the product is {list(result.shape)}; they must be equal"
        )
    if acc.dtype is not result.dtype:
        raise DTypeError(f"acc is {acc.dtype} and the product is {result.dtype}; they must be equal")


def _macs(operands: tuple[Typed, ...], result: Typed, _attrs: Attrs) -> dict[str, int]:
    (m, n), k = result.shape, operands[0].shape[1]
    return {"mac": m * n * k}


def _evaluate(arrays: Sequence[Array], _attrs: Attrs, dtype: DType) -> Array:
    a, b = arrays[:2]
    return evaluate_dot(dot_form(a), dot_form(b), arrays[2] if len(arrays) == 3 else None, dtype)


def _example(n: int) -> Example:
    return Example((counted((n, 2 * n)), counted((2 * n, n))), {})


OPS.register("dot")(
    OpSpec(
        unit=Unit.GEMM,
        infer=_infer,
        work=_macs,
        evaluate=_evaluate,
        promotes=False,
        reference=np.matmul,
        example=_example,
    )
)
