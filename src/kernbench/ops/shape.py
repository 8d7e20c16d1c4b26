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
    OPS,
    Array,
    Attrs,
    Example,
    OpSpec,
    Typed,
    Unit,
    broadcast_shape,
    counted,
    examples,
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


for _name in ("broadcast_to", "full"):
    OPS.register(_name)(
        OpSpec(
            unit=Unit.MATH,
            infer=_infer_broadcast,
            work=visits(add=1),
            evaluate=_evaluate_broadcast,
            promotes=False,
            reference=np.broadcast_to,
            example=lambda n: Example((counted((n, 1)),), {"shape": (n, n)}),
        )
    )
OPS.register("permute")(
    OpSpec(
        unit=Unit.MATH,
        infer=_infer_permute,
        work=visits(add=1),
        evaluate=_evaluate_permute,
        promotes=False,
        reference=lambda x, dims: x.transpose(dims),
        example=examples(1, dims=(1, 0)),
    )
)
