"""Reductions along one axis or over all elements: sum, max, min.

As the compiler types them: a sum keeps a float's dtype (it accumulates in fp32 and rounds once) and widens integers
below 32 bits, unless it is told its dtype; max and min of a narrow dtype come as fp32 or int32. NaN loses against a
number in max and min.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kernbench.dtypes import DType, as_dtype, float32, int1, int32, uint32
from kernbench.errors import ShapeError
from kernbench.ops.numerics import compute_dtype, convert
from kernbench.ops.spec import Array, Attrs, Shape, Typed, examples, math_op, n_elem, visits_in


def check_axis(shape: Shape, axis: int) -> int:
    """``axis`` counted from the front.

    Raises:
        ShapeError: the block has no such axis.
    """
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"axis {axis} is outside of {list(shape)}, which has {len(shape)} dimensions")
    return axis % len(shape)


def check_not_empty(shape: Shape, axis: int | None) -> None:
    """See to it that there is something along ``axis`` (None: in all of the block) to choose from.

    Raises:
        ShapeError: there is nothing.
    """
    if (n_elem(shape) if axis is None else shape[check_axis(shape, axis)]) == 0:
        raise ShapeError(f"{list(shape)} has nothing along axis {axis}; every extent must be 1 or more")


def reduced_shape(shape: Shape, axis: int | None, keep_dims: bool) -> Shape:
    """The shape after reducing ``axis`` (None: all of them)."""
    if axis is None:
        return (1,) * len(shape) if keep_dims else ()
    at = check_axis(shape, axis)
    return shape[:at] + ((1,) if keep_dims else ()) + shape[at + 1 :]


def _sum_dtype(dtype: DType) -> DType:
    if dtype.is_float or dtype.bits >= 32:
        return dtype
    return int32 if dtype.signed else uint32


def _extreme_dtype(dtype: DType) -> DType:
    if dtype.bits >= 32:
        return dtype
    return float32 if dtype.is_float else int32


def _reduction(name: str, ufunc: np.ufunc, rule: Callable[[DType], DType], **per_element: int) -> None:
    def infer(operands: tuple[Typed, ...], attrs: Attrs) -> Typed:
        (x,) = operands
        dtype = attrs.get("dtype") or rule(x.dtype)
        if ufunc.identity is None:
            check_not_empty(x.shape, attrs.get("axis"))
        return Typed(reduced_shape(x.shape, attrs.get("axis"), attrs.get("keep_dims", False)), dtype)

    def evaluate(arrays: Sequence[Array], attrs: Attrs, dtype: DType) -> Array:
        (x,) = arrays
        compute = compute_dtype(attrs.get("dtype") or rule(as_dtype(x.dtype)))
        axis: Any = attrs.get("axis")
        wide = np.asarray(convert(x, compute), order="C")  # numpy's order of summation follows the memory's
        combine = np.logical_xor if compute is int1 else ufunc  # one bit wraps
        out = combine.reduce(wide, axis=axis, keepdims=attrs.get("keep_dims", False), dtype=compute.numpy)
        return convert(np.asarray(out), dtype)

    def reference(x: Array, axis: int | None, keep_dims: bool) -> Any:
        return ufunc.reduce(x, axis=axis, keepdims=keep_dims)

    example = examples(1, axis=1, keep_dims=True)
    math_op(name, infer, visits_in(**per_element), evaluate, reference, example, promotes=False)


_reduction("sum", np.add, _sum_dtype, add=1)
_reduction("max", np.fmax, _extreme_dtype, max=1)
_reduction("min", np.fmin, _extreme_dtype, max=1)
