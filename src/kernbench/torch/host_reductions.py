"""Sums, extremes and truths of host tensors, over all elements or along dimensions, by PyTorch's names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernbench.dtypes import DType, as_dtype, int1, int64, uint8
from kernbench.errors import InvalidIndexError, RefusedError
from kernbench.ops.numerics import compute_dtype
from kernbench.torch.host_elementwise import maximum, minimum
from kernbench.torch.host_functions import as_array, dim_of, made, tensor_operand
from kernbench.torch.names import function
from kernbench.torch.promotion import scalar_type
from kernbench.torch.tensor import HostTensor, Tensor
from kernbench.torch.values import Array, cast

Dims = int | Sequence[int] | None


class Extreme(NamedTuple):
    """The extremes along a dimension, and where they are."""

    values: HostTensor
    indices: HostTensor


def _axes(x: HostTensor, dim: Dims) -> tuple[int, ...]:
    """The dimensions that ``dim`` names: all, if it is None or names none."""
    named = [dim] if isinstance(dim, (int, np.integer)) else list(dim or range(x.ndim))
    axes = tuple(dim_of(x, d) for d in named)
    if len(set(axes)) != len(axes):
        raise RefusedError(f"dim {axes[-1]} appears multiple times in the list of dims")
    return axes if x.ndim else ()


def _reduce(x: HostTensor, compute: Callable[..., Any], dim: Dims, keepdim: bool, dtype: DType) -> HostTensor:
    """``compute`` of ``x`` along dimensions, in ``dtype``."""
    axes = _axes(x, dim)
    with np.errstate(all="ignore"):
        found = compute(as_array(x, compute_dtype(dtype)), axis=axes, keepdims=keepdim)
    return made(x, cast(np.asarray(found), dtype))


def _sum_dtype(x: HostTensor, dtype: Any) -> DType:
    """The dtype of a sum of ``x``: of integers int64, unless ``dtype`` is given."""
    return as_dtype(dtype) if dtype is not None else int64 if x.dtype.is_int else x.dtype


def _total(name: str, compute: Callable[..., Any]) -> None:
    """Register a sum or a product: of integers in int64, unless a dtype is given."""

    def apply(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> HostTensor:
        x = tensor_operand(input, name)
        return _reduce(x, compute, dim, keepdim, _sum_dtype(x, dtype))

    function(name)(apply)


_total("sum", np.sum)
_total("prod", np.prod)


@function("mean")
def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> HostTensor:
    """The mean, of floats or with a float ``dtype``."""
    x = tensor_operand(input, "mean")
    wanted = x.dtype if dtype is None else as_dtype(dtype)
    if not wanted.is_float:
        raise RefusedError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: "
            f"{scalar_type(wanted)}; convert it with .float(), or give dtype=torch.float32"
        )
    return _reduce(x, _mean, dim, keepdim, wanted)


def _mean(array: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    return np.sum(array, axis=axis, keepdims=keepdims) / array.dtype.type(_n_along(array, axis))


def _n_along(array: Array, axis: tuple[int, ...]) -> int:
    return math.prod(array.shape[d] for d in axis)


def _spread(name: str, is_root: bool) -> None:
    """Register a variance or, as its root, a standard deviation: of a sample unless told otherwise."""

    def apply(
        input: Any, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
    ) -> HostTensor:
        x = tensor_operand(input, name)
        if not x.dtype.is_float:
            raise RefusedError(
                "std and var only support floating point and complex dtypes; convert it with .float()"
            )
        lost = int(unbiased) if correction is None else correction

        def variance(array: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
            squares = np.square(array - _mean(array, axis, keepdims=True))
            n_free = max(0, _n_along(array, axis) - lost)
            found = np.sum(squares, axis=axis, keepdims=keepdims) / array.dtype.type(n_free)
            return np.sqrt(found) if is_root else found

        return _reduce(x, variance, dim, keepdim, x.dtype)

    function(name)(apply)


_spread("var", is_root=False)
_spread("std", is_root=True)


def _extreme(name: str, compute: Callable[..., Any], find: Callable[..., Any], between: Any) -> None:
    """Register an extreme: of all, along a dimension with its place, or of two tensors; a NaN is one."""

    def of_all(input: Any, dim: Any = None, keepdim: bool = False) -> HostTensor | Extreme:
        if isinstance(dim, Tensor):
            both: HostTensor = between(input, dim)
            return both
        x = tensor_operand(input, name)
        if dim is None:
            if not x.numel():
                raise RefusedError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
                    "dim with the 'dim' argument."
                )
            return _reduce(x, compute, None, keepdim, x.dtype)
        axis = dim_of(x, dim)
        _require_some(name, x, (axis,))
        places = _places(find, x, axis, keepdim)
        return Extreme(_reduce(x, compute, axis, keepdim, x.dtype), places)

    def along(input: Any, dim: Dims = (), keepdim: bool = False) -> HostTensor:
        x = tensor_operand(input, f"a{name}")
        _require_some(f"a{name}", x, _axes(x, dim))
        return _reduce(x, compute, dim, keepdim, x.dtype)

    def place(input: Any, dim: int | None = None, keepdim: bool = False) -> HostTensor:
        x = tensor_operand(input, f"arg{name}")
        if x.dtype is int1:
            raise RefusedError(f"arg{name}(): does not support bool input; convert it with .int()")
        if not x.numel() and dim is None:
            raise InvalidIndexError(
                f"arg{name}(): Expected reduction dim to be specified for input.numel() == 0."
            )
        axis = None if dim is None else dim_of(x, dim)
        _require_some(f"arg{name}", x, _axes(x, axis))
        return _places(find, x, axis, keepdim)

    function(name)(of_all)
    function(f"a{name}")(along)
    function(f"arg{name}")(place)


def _require_some(name: str, x: HostTensor, axes: Sequence[int]) -> None:
    empty = next((d for d in axes if not x.shape[d]), None)
    if empty is not None:
        raise InvalidIndexError(f"{name}(): Expected reduction dim {empty} to have non-zero size.")


def _places(find: Callable[..., Any], x: HostTensor, axis: int | None, keepdim: bool) -> HostTensor:
    array = as_array(x, compute_dtype(x.dtype))
    found = find(array, axis=axis if x.ndim else None, keepdims=keepdim)
    return made(x, np.asarray(found, int64.numpy))


_extreme("max", np.max, np.argmax, maximum)
_extreme("min", np.min, np.argmin, minimum)


def _truth(name: str, compute: Callable[..., Any]) -> None:
    """Register "any" or "all"; of uint8 it is uint8, as in PyTorch."""

    def apply(input: Any, dim: Dims = None, keepdim: bool = False) -> HostTensor:
        x = tensor_operand(input, name)
        found = _reduce(x, compute, dim, keepdim, int1)
        return made(x, cast(found.numpy(), uint8)) if x.dtype is uint8 else found

    function(name)(apply)


_truth("any", np.any)
_truth("all", np.all)


@function("cumsum")
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> HostTensor:
    """The sums of all elements up to each, along a dimension."""
    x = tensor_operand(input, "cumsum")
    wanted = _sum_dtype(x, dtype)
    array = as_array(x, compute_dtype(wanted))
    return made(x, cast(np.cumsum(array, axis=dim_of(x, dim)) if x.ndim else array, wanted))


@function("softmax")
def softmax(input: Any, dim: int, dtype: Any = None) -> HostTensor:
    """The exponentials along a dimension, divided by their sum."""
    x = tensor_operand(input, "softmax")
    wanted = x.dtype if dtype is None else as_dtype(dtype)
    if not wanted.is_float:
        raise RefusedError(
            f"\"softmax_kernel_impl\" not implemented for '{scalar_type(wanted)}'; give dtype=torch.float32"
        )
    axis = dim_of(x, dim)
    array = np.atleast_1d(as_array(x, compute_dtype(wanted)))
    with np.errstate(all="ignore"):
        raised = np.exp(array - np.max(array, axis=axis, keepdims=True, initial=-np.inf))
        shares = raised / np.sum(raised, axis=axis, keepdims=True)
    return made(x, cast(shares.reshape(x.shape), wanted))
