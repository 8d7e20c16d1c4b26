"""Arithmetic, comparisons and mathematics on host tensors, element by element, by PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernbench.dtypes import int1
from kernbench.errors import RefusedError
from kernbench.ops.numerics import compute_dtype
from kernbench.torch.host_functions import (
    as_array,
    elementwise,
    enter,
    made,
    meeting,
    operand,
    require_broadcast,
    scalar_for,
    tensor_operand,
)
from kernbench.torch.names import FUNCTIONS, function
from kernbench.torch.promotion import cpp_name, scalar_type
from kernbench.torch.tensor import HostTensor, Tensor
from kernbench.torch.values import Array, cast, filling
from kernbench.wording import quoted


def _require_divisor(a: Array, b: Array) -> None:
    if b.dtype.kind in "iu" and not np.all(b):
        raise RefusedError("ZeroDivisionError: an integer is divided by 0; divide floats, or mask the zeros")


def _floor_divide(a: Array, b: Array) -> Array:
    _require_divisor(a, b)
    return np.asarray(np.floor_divide(a, b))


def _remainder(a: Array, b: Array) -> Array:
    _require_divisor(a, b)
    return np.asarray(np.remainder(a, b))


def _power(a: Array, b: Array) -> Array:
    if a.dtype == np.bool_:
        return a | ~b  # 0 ** 0 is 1
    if b.dtype.kind != "i" or not (b < 0).any():
        return np.asarray(np.power(a, b))
    if not b.ndim:
        raise RefusedError("Integers to negative integer powers are not allowed.")
    # 1 / a ** -b as an integer: 0, unless a is 1 or -1.
    unit = np.where((a == 1) | ((a == -1) & (b % 2 == 0)), 1, np.where(a == -1, -1, 0))
    return np.where(b < 0, unit, np.power(a, np.abs(b))).astype(a.dtype)


def _shift_left(a: Array, b: Array) -> Array:
    # C++ leaves open what a shift by the width or more gives; PyTorch says 0, and to the right the sign.
    bits = a.dtype.itemsize * 8
    return np.where((b < 0) | (b >= bits), 0, np.left_shift(a, np.clip(b, 0, bits - 1))).astype(a.dtype)


def _shift_right(a: Array, b: Array) -> Array:
    bits = a.dtype.itemsize * 8
    is_beyond = (b < 0) | (b >= bits)
    shifted = np.right_shift(a, np.where(is_beyond, bits - 1, b).astype(a.dtype))
    return np.asarray(shifted if a.dtype.kind == "i" else np.where(is_beyond, 0, shifted).astype(a.dtype))


def _of_floats(function: Any) -> Any:
    """``function`` of floats; integers are whole already."""
    return lambda x: function(x) if x.dtype.kind == "f" else x


def _sign(x: Array) -> Array:
    return x if x.dtype == np.bool_ else np.nan_to_num(np.sign(x), nan=0.0)  # numpy's of NaN is NaN


def _relu(x: Array) -> Array:
    if x.dtype == np.bool_:
        raise RefusedError("Boolean inputs not supported for relu")
    return np.asarray(np.maximum(x, x.dtype.type(0)))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _numpys(names: str) -> dict[str, Any]:
    """The functions that numpy has by PyTorch's names."""
    return {name: getattr(np, name) for name in names.split()}


SAME: dict[str, Any] = {
    "mul": np.multiply,
    "pow": _power,
    "sign": _sign,
    "relu": _relu,
}
NUMBERS: dict[str, Any] = {
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "abs": np.abs,
    "floor": _of_floats(np.floor),
    "ceil": _of_floats(np.ceil),
    "trunc": _of_floats(np.trunc),
}
INTEGERS: dict[str, Any] = {
    **_numpys("bitwise_and bitwise_or bitwise_xor bitwise_not"),
    "bitwise_left_shift": _shift_left,
    "bitwise_right_shift": _shift_right,
}
FLOATS: dict[str, Any] = {
    **_numpys("exp exp2 expm1 log log2 log10 log1p sqrt reciprocal sin cos tan tanh"),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": _sigmoid,
}
TRUTHS: dict[str, Any] = {
    **_numpys("logical_and logical_or logical_xor logical_not isnan isinf isfinite"),
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_HOW: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (SAME, {}),
    (NUMBERS, {"takes": "numbers"}),
    (INTEGERS, {"takes": "integers"}),
    (FLOATS, {"gives": "float"}),
    (TRUTHS, {"gives": "bool", "is_exact": True}),
]
for _functions, _how in _HOW:
    for _name, _compute in _functions.items():
        enter(_name, elementwise(_name, _compute, **_how), in_place=_functions is not TRUTHS)

_divide = elementwise("div", np.true_divide, gives="float")
_add = elementwise("add", np.add)
_subtract = elementwise("sub", np.subtract)
_negate = elementwise("neg", np.negative)
_larger = elementwise("maximum", np.maximum)
_smaller = elementwise("minimum", np.minimum)
_CURE = "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> HostTensor:
    """The quotient: of integers a float; whole, and in their own dtype, with ``rounding_mode`` "floor" or "trunc"."""
    if rounding_mode is None:
        return _divide(input, other)
    if rounding_mode == "floor":
        found: HostTensor = FUNCTIONS["floor_divide"](input, other)
        return found
    if rounding_mode != "trunc":
        raise RefusedError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {quoted(rounding_mode)}"
        )
    quotient = _divide(input, other)
    dtype = meeting([operand(input, "div"), operand(other, "div")])
    return made(quotient, cast(np.trunc(quotient.numpy()), dtype))


def add(input: Any, other: Any, *, alpha: Any = 1) -> HostTensor:
    """The sum of ``input`` and ``alpha`` times ``other``; of bools, "or"."""
    return _add(input, other if alpha == 1 else _times(input, other, alpha))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> HostTensor:
    """The difference of ``input`` and ``alpha`` times ``other``; of bools there is none."""
    are_bools = [isinstance(x, bool) or getattr(x, "dtype", None) is int1 for x in (input, other)]
    if all(are_bools):
        raise RefusedError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
            "operator instead."
        )
    if any(are_bools):
        raise RefusedError(f"Subtraction, the `-` operator, with a bool tensor is not supported. {_CURE}")
    return _subtract(input, other if alpha == 1 else _times(input, other, alpha))


def _times(input: Any, other: Any, alpha: Any) -> Any:
    """``alpha`` times ``other``, in the dtype in which that meets ``input``."""
    if not isinstance(other, Tensor):
        return other * alpha
    product: HostTensor = FUNCTIONS["mul"](other, alpha)
    return product


def neg(input: Any) -> HostTensor:
    """The negative; of bools there is none."""
    if getattr(input, "dtype", None) is int1:
        raise RefusedError(f"Negation, the `-` operator, on a bool tensor is not supported. {_CURE}")
    return _negate(input)


def square(input: Any) -> HostTensor:
    """The element times itself."""
    squared: HostTensor = FUNCTIONS["pow"](tensor_operand(input, "square"), 2)
    return squared


def round_(input: Any, *, decimals: int = 0) -> HostTensor:
    """The nearest whole number, of two the even one."""
    x = tensor_operand(input, "round")
    if x.dtype.is_int:
        return made(x, x.numpy().copy())
    return made(x, cast(np.round(as_array(x, compute_dtype(x.dtype)), decimals), x.dtype))


def maximum(input: Any, other: Any) -> HostTensor:
    """The larger of two elements; a NaN is larger than all."""
    return _larger(tensor_operand(input, "maximum"), tensor_operand(other, "maximum", "other"))


def minimum(input: Any, other: Any) -> HostTensor:
    """The smaller of two elements; a NaN is smaller than all."""
    return _smaller(tensor_operand(input, "minimum"), tensor_operand(other, "minimum", "other"))


def clamp(input: Any, min: Any = None, max: Any = None) -> HostTensor:
    """``input``, but nothing below ``min`` or above ``max``, where they are given: numbers or tensors."""
    x = tensor_operand(input, "clamp")
    if min is None and max is None:
        raise RefusedError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [operand(bound, "clamp") for bound in (min, max) if bound is not None]
    dtype = meeting([x, *bounds])
    for bound in bounds:
        if not isinstance(bound, Tensor):
            filling(bound, dtype)
    if min is not None:
        x = _larger(x, min)
    return x if max is None else _smaller(x, max)


def where(condition: Any, input: Any, other: Any) -> HostTensor:
    """Elements of ``input`` where ``condition`` is true, of ``other`` elsewhere."""
    mask = tensor_operand(condition, "where", "condition")
    if mask.dtype is not int1:
        raise RefusedError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{scalar_type(mask.dtype)}; compare it, as in x != 0"
        )
    chosen = [operand(x, "where") for x in (input, other)]
    dtype = meeting(chosen)
    for x in chosen:
        if not isinstance(x, Tensor):
            filling(x, dtype)
    arrays = [mask.numpy(), *(as_array(x, dtype) for x in chosen)]
    require_broadcast(arrays)
    return made(mask, np.where(*arrays))


def masked_fill(input: Any, mask: Any, value: Any) -> HostTensor:
    """``input`` with ``value`` where ``mask`` is true."""
    x, given = tensor_operand(input, "masked_fill"), tensor_operand(mask, "masked_fill", "mask")
    if given.dtype is not int1:
        raise RefusedError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {cpp_name(given.dtype)}; "
            "compare it, as in mask != 0"
        )
    filled = scalar_for(value, x, "masked_fill")
    require_broadcast([x.numpy(), given.numpy()])
    return made(x, np.where(given.numpy(), filled, x.numpy()))


def fill_(input: Any, value: Any) -> HostTensor:
    """Put ``value`` in every element."""
    x = tensor_operand(input, "fill_")
    x.write(..., scalar_for(value, x, "fill_"))
    return x


for _call in (add, sub, neg, square, maximum, minimum, clamp, masked_fill):
    enter(_call.__name__, _call)
enter("div", div)
enter("round", round_)
enter("clip", clamp)
function("where")(where)
function("fill_", of="tensor")(fill_)
function("zero_", of="tensor")(lambda x: fill_(x, 0))
