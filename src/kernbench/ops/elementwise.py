"""Ops that make one element from one element of each operand, after broadcasting.

Operands meet in a common dtype (``numerics.promote``). Floats below fp32 compute in fp32 and round once;
integers wrap; division and remainder of integers truncate, as in C.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from kernbench.dtypes import DType, as_dtype, float16, float32, float64, int1, int32
from kernbench.errors import DTypeError, ShapeError
from kernbench.ops.numerics import compute_dtype, convert, promote
from kernbench.ops.spec import Array, Attrs, Shape, Typed, broadcast_shape, examples, math_op, visits
from kernbench.wording import plural

Rule = Callable[[DType], DType]


def common_dtype(dtypes: Sequence[DType], *, divides: bool = False) -> DType:
    """The dtype in which all operands meet."""
    if len(dtypes) == 1:
        return dtypes[0]
    return reduce(lambda a, b: promote(a, b, divides=divides), dtypes)


def _shape(operands: Sequence[Typed]) -> Shape:
    return reduce(broadcast_shape, (x.shape for x in operands))


def _met(arrays: Sequence[Array], divides: bool = False) -> tuple[list[Array], DType]:
    """Operands in their common dtype, then in the dtype that computes; and that one."""
    common, compute = _meeting(tuple([x.dtype for x in arrays]), divides)
    return [convert(convert(x, common), compute) for x in arrays], compute


@lru_cache(maxsize=1024)
def _meeting(dtypes: tuple[np.dtype[Any], ...], divides: bool) -> tuple[DType, DType]:
    """The common dtype of operands in ``dtypes``, and the one that computes."""
    common = common_dtype([as_dtype(dtype) for dtype in dtypes], divides=divides)
    return common, compute_dtype(common)


def _same(dtype: DType) -> DType:
    return dtype


def _float(dtype: DType) -> DType:
    if not dtype.is_float:
        raise DTypeError(f"needs a float block, not {dtype}; cast it with .to(tl.float32)")
    return dtype


def _int(dtype: DType) -> DType:
    if dtype.is_float:
        raise DTypeError(f"needs an integer block, not {dtype}; cast it with .to(tl.int32)")
    return dtype


def _truth(_dtype: DType) -> DType:
    return int1


def elementwise(
    name: str,
    function: Callable[..., Array],
    rule: Rule = _same,
    *,
    divides: bool = False,
    **per_element: int,
) -> None:
    """Register an op: ``function`` on arrays of the computing dtype, ``rule`` from common to result dtype.

    ``function`` is a numpy function or made of them, of one to three arrays; it is the op's reference too.
    """

    n_operands = getattr(function, "nin", None) or len(inspect.signature(function).parameters)

    def infer(operands: tuple[Typed, ...], _attrs: Attrs) -> Typed:
        if len(operands) != n_operands:  # numpy would write into what is too many
            raise ShapeError(f"takes {plural(n_operands, 'operand')}, not {len(operands)}")
        return Typed(_shape(operands), rule(common_dtype([x.dtype for x in operands], divides=divides)))

    def evaluate(arrays: Sequence[Array], _attrs: Attrs, dtype: DType) -> Array:
        met, _ = _met(arrays, divides)
        return convert(np.asarray(function(*met)), dtype)

    example = examples(n_operands, np.int32 if rule is _int else np.float32)
    math_op(name, infer, visits(**per_element), evaluate, function, example, divides=divides)


def _add(a: Array, b: Array) -> Array:
    return np.bitwise_xor(a, b) if a.dtype == np.bool_ else np.add(a, b)  # one bit wraps


def _subtract(a: Array, b: Array) -> Array:
    return np.bitwise_xor(a, b) if a.dtype == np.bool_ else np.subtract(a, b)


def _negate(x: Array) -> Array:
    return x if x.dtype == np.bool_ else np.negative(x)  # of a float, its sign bit alone: -(+0.0) is -0.0


def _shift_left(a: Array, b: Array) -> Array:
    return np.bitwise_and(a, ~b) if a.dtype == np.bool_ else np.left_shift(a, b)


def _truncating_divide(a: Array, b: Array) -> Array:
    quotient = np.floor_divide(a, b)
    inexact = np.multiply(quotient, b) != a
    return np.asarray(quotient + (inexact & ((a < 0) != (b < 0)) & (b != 0)).astype(a.dtype))


def _reciprocal_root(x: Array) -> Array:
    return np.asarray(x.dtype.type(1) / np.sqrt(x))


def _sigmoid(x: Array) -> Array:
    one = x.dtype.type(1)
    return np.asarray(one / (one + np.exp(_negate(x))))


elementwise("add", _add, add=1)
elementwise("sub", _subtract, add=1)
elementwise("mul", np.multiply, mul=1)
elementwise("neg", _negate, add=1)
elementwise("abs", np.abs, add=1)
elementwise("floordiv", _truncating_divide, _int, divides=True, div=1)
elementwise("mod", np.fmod, divides=True, div=1)  # fmod truncates, for integers too

elementwise("exp", np.exp, _float, exp=1)
elementwise("exp2", np.exp2, _float, exp=1)
elementwise("log", np.log, _float, exp=1)
elementwise("log2", np.log2, _float, exp=1)
elementwise("sin", np.sin, _float, exp=1)
elementwise("cos", np.cos, _float, exp=1)
elementwise("sqrt", np.sqrt, _float, rsqrt=1)
elementwise("rsqrt", _reciprocal_root, _float, rsqrt=1)
elementwise("floor", np.floor, _float, add=1)
elementwise("ceil", np.ceil, _float, add=1)
elementwise("sigmoid", _sigmoid, _float, add=1, exp=1, div=1)

elementwise("and", np.bitwise_and, _int, add=1)
elementwise("or", np.bitwise_or, _int, add=1)
elementwise("xor", np.bitwise_xor, _int, add=1)
elementwise("invert", np.invert, _int, add=1)
elementwise("shl", _shift_left, _int, add=1)

elementwise("lt", np.less, _truth, cmp=1)
elementwise("le", np.less_equal, _truth, cmp=1)
elementwise("gt", np.greater, _truth, cmp=1)
elementwise("ge", np.greater_equal, _truth, cmp=1)
elementwise("eq", np.equal, _truth, cmp=1)
elementwise("ne", np.not_equal, _truth, cmp=1)


# Shift to the right: the left operand's own sign says whether its sign bit moves in, whatever the two meet in.


def _infer_shr(operands: tuple[Typed, ...], _attrs: Attrs) -> Typed:
    return Typed(_shape(operands), _int(common_dtype([x.dtype for x in operands])))


def _evaluate_shr(arrays: Sequence[Array], _attrs: Attrs, dtype: DType) -> Array:
    (a, b), met = _met(arrays)
    if as_dtype(arrays[0].dtype).signed and not met.signed:
        a, b = (x.view(f"i{x.itemsize}") for x in (a, b))
    return convert(np.asarray(np.right_shift(a, b)), dtype)


math_op("shr", _infer_shr, visits(add=1), _evaluate_shr, np.right_shift, examples(2, np.int32))


# Division: integers meet in fp32.


def _quotient_dtype(dtype: DType) -> DType:
    return dtype if dtype.is_float else float32


def _infer_div(operands: tuple[Typed, ...], _attrs: Attrs) -> Typed:
    return Typed(_shape(operands), _quotient_dtype(common_dtype([x.dtype for x in operands], divides=True)))


def _evaluate_div(arrays: Sequence[Array], _attrs: Attrs, dtype: DType) -> Array:
    (a, b), compute = _met(arrays, divides=True)
    quotient_dtype = _quotient_dtype(compute)
    return convert(np.asarray(np.divide(convert(a, quotient_dtype), convert(b, quotient_dtype))), dtype)


math_op("div", _infer_div, visits(div=1), _evaluate_div, np.divide, examples(2), divides=True)


# Largest, smallest, clamp: a NaN loses against a number unless ``propagate_nan``.


def _infer_extreme(operands: tuple[Typed, ...], _attrs: Attrs) -> Typed:
    return Typed(_shape(operands), common_dtype([x.dtype for x in operands]))


def _upper(propagate_nan: bool) -> Callable[[Array, Array], Array]:
    return np.maximum if propagate_nan else np.fmax


def _lower(propagate_nan: bool) -> Callable[[Array, Array], Array]:
    return np.minimum if propagate_nan else np.fmin


def _evaluate_maximum(arrays: Sequence[Array], attrs: Attrs, dtype: DType) -> Array:
    met, _ = _met(arrays)
    return convert(np.asarray(_upper(attrs.get("propagate_nan", False))(*met)), dtype)


def _evaluate_minimum(arrays: Sequence[Array], attrs: Attrs, dtype: DType) -> Array:
    met, _ = _met(arrays)
    return convert(np.asarray(_lower(attrs.get("propagate_nan", False))(*met)), dtype)


def _evaluate_clamp(arrays: Sequence[Array], attrs: Attrs, dtype: DType) -> Array:
    (x, low, high), _ = _met(arrays)
    nan = attrs.get("propagate_nan", False)
    return convert(np.asarray(_lower(nan)(_upper(nan)(x, low), high)), dtype)


math_op("maximum", _infer_extreme, visits(max=1), _evaluate_maximum, np.maximum, examples(2))
math_op("minimum", _infer_extreme, visits(max=1), _evaluate_minimum, np.minimum, examples(2))
math_op("clamp", _infer_extreme, visits(max=2), _evaluate_clamp, np.clip, examples(3))


# Fused multiply and add: one rounding (two in fp64, for which numpy has no wider type).


def _infer_fma(operands: tuple[Typed, ...], _attrs: Attrs) -> Typed:
    return Typed(_shape(operands), _float(common_dtype([x.dtype for x in operands])))


def _evaluate_fma(arrays: Sequence[Array], _attrs: Attrs, dtype: DType) -> Array:
    (a, b, c), compute = _met(arrays)
    if compute is float64:
        return np.asarray(a * b + c)
    product, addend = np.multiply(a, b, dtype=np.float64), c.astype(np.float64)  # exact: 2 * 24 bits
    return convert(_odd_sum(product, addend), dtype)


def _odd_sum(a: Array, b: Array) -> Array:
    """``a + b`` in fp64, rounded to odd, so that rounding it to fp32 or less is as good as rounding once."""
    total = np.asarray(a + b)
    b_part = total - a
    lost = (a - (total - b_part)) + (b - b_part)
    is_even = (np.atleast_1d(total).view(np.uint64) & np.uint64(1)).reshape(total.shape) == 0
    nudged = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
    return np.where(np.isfinite(lost) & (lost != 0) & is_even, nudged, total)


math_op("fma", _infer_fma, visits(fma=1), _evaluate_fma, lambda a, b, c: a * b + c, examples(3))


# where(condition, x, y)


def _infer_where(operands: tuple[Typed, ...], _attrs: Attrs) -> Typed:
    return Typed(_shape(operands), common_dtype([x.dtype for x in operands[1:]]))


def _evaluate_where(arrays: Sequence[Array], _attrs: Attrs, dtype: DType) -> Array:
    condition, x, y = arrays
    return np.where(convert(condition, int1), convert(x, dtype), convert(y, dtype))


math_op("where", _infer_where, visits(cmp=1), _evaluate_where, np.where, examples(3), n_conditions=1)


# Casts


def _infer_cast(operands: tuple[Typed, ...], attrs: Attrs) -> Typed:
    return Typed(operands[0].shape, attrs["dtype"])


def _infer_bitcast(operands: tuple[Typed, ...], attrs: Attrs) -> Typed:
    (x,), dtype = operands, attrs["dtype"]
    if x.dtype.bits != dtype.bits:
        raise DTypeError(
            f"{x.dtype} has {x.dtype.bits} bits and {dtype} has {dtype.bits}; a bitcast needs as many"
        )
    return Typed(x.shape, dtype)


def _evaluate_bitcast(arrays: Sequence[Array], _attrs: Attrs, dtype: DType) -> Array:
    return np.asarray(arrays[0], order="C").view(dtype.numpy)


def _evaluate_cast(arrays: Sequence[Array], _attrs: Attrs, dtype: DType) -> Array:
    return convert(arrays[0], dtype)


def _bits(x: Array, dtype: DType) -> Array:
    return x.astype(np.float32).view(dtype.numpy)


_IN_FP16, _IN_INT32 = examples(1, dtype=float16), examples(1, dtype=int32)
math_op("cast", _infer_cast, visits(add=1), _evaluate_cast, lambda x, dtype: x, _IN_FP16, promotes=False)
math_op("bitcast", _infer_bitcast, visits(add=1), _evaluate_bitcast, _bits, _IN_INT32, promotes=False)
