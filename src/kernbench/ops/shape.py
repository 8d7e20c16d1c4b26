"""Ops that move elements without computing: broadcast_to, permute, full. Each element moved is one "add" visit.

A reshape is none of these: it moves nothing, so the kernel language only renames the shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernbench.dtypes import DType
from kernbench.errors import ShapeError
from kernbench.ops.numerics import convert
from kernbench.ops.spec import (
    Array,
    Attrs,
    Example,
    Typed,
    broadcast_shape,
    counted,
    examples,
    math_op,
    visits,
)


def _infer_broadcast(operands: tuple[Typed, ...], attrs: Attrs) -> Typed:
    (x,), shape = operands, attrs["shape"]
    if broadcast_shape(x.shape, shape) != shape:
        raise ShapeError(f"{list(x.shape)} does not broadcast to {list(shape)}")
    return Typed(shape, x.dtype)


def _evaluate_broadcast(arrays: Sequence[Array], attrs: Attrs, dtype: DType) -> Array:
    return np.array(np.broadcast_to(convert(arrays[0], dtype), attrs["shape"]), order="C")


def _infer_permute(operands: tuple[Typed, ...], attrs: Attrs) -> Typed:
    (x,), dims = operands, attrs["dims"]
    if sorted(dims) != list(range(len(x.shape))):
        raise ShapeError(
            f"dims {list(dims)} are no permutation of the {len(x.shape)} dimensions of {list(x.shape)}"
        )
    return Typed(tuple(x.shape[d] for d in dims), x.dtype)


def _evaluate_permute(arrays: Sequence[Array], attrs: Attrs, _dtype: DType) -> Array:
    return np.transpose(arrays[0], attrs["dims"])


def _example(n: int) -> Example:
    return Example((counted((n, 1)),), {"shape": (n, n)})


def _transposed(x: Array, dims: tuple[int, ...]) -> Array:
    return x.transpose(dims)


_MOVE, _SWAPPED = visits(add=1), examples(1, dims=(1, 0))
for _name in ("broadcast_to", "full"):
    math_op(_name, _infer_broadcast, _MOVE, _evaluate_broadcast, np.broadcast_to, _example, promotes=False)
math_op("permute", _infer_permute, _MOVE, _evaluate_permute, _transposed, _SWAPPED, promotes=False)
