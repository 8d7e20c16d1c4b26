"""How the operands of functions of host tensors meet, by PyTorch's rules, and what is computed element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kernbench.dtypes import DType, float32, int1
from kernbench.errors import InvalidIndexError, InvalidTypeError, RefusedError
from kernbench.ops.numerics import compute_dtype
from kernbench.torch.names import function
from kernbench.torch.promotion import Number, is_castable, result_type, scalar_type
from kernbench.torch.tensor import DeviceTensor, HostTensor, Tensor
from kernbench.torch.tensor_base import on_device
from kernbench.torch.values import Array, cast, filling, number_of, plain
from kernbench.wording import quoted

Operand = HostTensor | Number


# -- operands ---------------------------------------------------------------------------------------------


def tensor_operand(value: Any, name: str, argument: str = "input") -> HostTensor:
    """``value``, if it is a tensor on the host."""
    if isinstance(value, DeviceTensor):
        raise on_device(value, f"torch.{name}")
    if not isinstance(value, HostTensor):
        raise InvalidTypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(value).__name__}")
    return value


def operand(value: Any, name: str, like: Tensor | None = None) -> Operand:
    """``value``, if it is a tensor on the host, an array beside one, or a number."""
    if isinstance(value, Tensor):
        return tensor_operand(value, name)
    if isinstance(value, np.ndarray) and isinstance(like, HostTensor):
        return made(like, plain(value, name))
    return number_of(value, f"{name}(): argument {quoted(value)}")


def meeting(operands: Sequence[Operand]) -> DType:
    """The dtype in which operands meet."""
    tensors = [x for x in operands if isinstance(x, Tensor)]
    numbers = [x for x in operands if not isinstance(x, Tensor)]
    return result_type([(x.dtype, x.ndim) for x in tensors], numbers)


def as_array(x: Operand, dtype: DType) -> Array:
    """The values of an operand in ``dtype``."""
    if isinstance(x, Tensor):
        return cast(x.numpy(), dtype)
    if isinstance(x, float):
        return cast(np.asarray(x), dtype)
    return cast(np.asarray(x % (1 << 64), np.uint64).view(np.uint64 if x >= 1 << 63 else np.int64), dtype)


def made(like: HostTensor, array: Any) -> HostTensor:
    """A host tensor of ``array``, of the context and with the name of another."""
    return HostTensor(like.context, np.asarray(array), like.name)


def require_broadcast(arrays: Sequence[Array]) -> None:
    """Refuse arrays that do not broadcast, by the last dimension that differs."""
    shape: tuple[int, ...] = ()
    for array in arrays:
        n_dims = max(len(shape), array.ndim)
        for behind, (a, b) in enumerate(zip(reversed(shape), reversed(array.shape), strict=False), start=1):
            if a != b and 1 not in (a, b):
                raise RefusedError(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton "
                    f"dimension {n_dims - behind}: {list(shape)} and {list(array.shape)}"
                )
        shape = np.broadcast_shapes(shape, array.shape)


def require_same_dtype(a: HostTensor, b: HostTensor) -> None:
    """Refuse two dtypes where PyTorch promotes none."""
    if a.dtype is not b.dtype:
        raise RefusedError(
            f"{scalar_type(a.dtype)} did not match {scalar_type(b.dtype)}; convert one with .to(dtype)"
        )


def dim_of(x: HostTensor, dim: Any, n_dims: int | None = None) -> int:
    """``dim`` counted from the front of ``n_dims`` dimensions, those of ``x`` if none are given."""
    n = max(1, x.ndim if n_dims is None else n_dims)
    if not isinstance(dim, (int, np.integer)):
        raise InvalidTypeError(f"dim must be an integer, not {quoted(dim)}")
    if not -n <= dim < n:
        raise InvalidIndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return int(dim) % n


# -- element by element -----------------------------------------------------------------------------------


def elementwise(
    name: str,
    compute: Callable[..., Any],
    *,
    gives: str = "same",
    takes: str = "all",
    is_exact: bool = False,
) -> Callable[..., HostTensor]:
    """The operation ``name`` on each element of operands that broadcast.

    ``compute`` gets arrays of the dtype in which operands meet (fp32 for narrower floats), and its result is cast to
    what it ``gives``: "same", "float" (fp32 where operands meet in integers) or "bool". ``takes`` is "all", "numbers"
    (no bools) or "integers" (and bools). Where ``is_exact``, numbers are rounded to the operands' dtype before.
    """

    def apply(*operands: Any) -> HostTensor:
        like = next((x for x in operands if isinstance(x, Tensor)), None)
        given = [operand(x, name, like) for x in operands]
        tensors = [x for x in given if isinstance(x, HostTensor)]
        if not tensors:
            tensor_operand(operands[0], name)
        dtype = meeting(given)
        _require_taken(name, dtype, takes)
        if gives == "float" and dtype.is_int:
            dtype = float32
        working = compute_dtype(dtype)
        arrays = [cast(as_array(x, dtype), working) if is_exact else as_array(x, working) for x in given]
        require_broadcast(arrays)
        with np.errstate(all="ignore"):
            result = np.asarray(compute(*arrays))
        return made(tensors[0], result if gives == "bool" else cast(result, dtype))

    apply.__qualname__ = apply.__name__ = name
    return apply


def enter(name: str, call: Callable[..., HostTensor], *, in_place: bool = True) -> None:
    """Register ``call``, of ``torch`` and of tensors; as ``name_`` it writes the result to its first operand."""
    function(name)(call)
    if in_place:
        function(f"{name}_", of="tensor")(lambda x, *args, **how: _written(name, x, call(x, *args, **how)))


def _require_taken(name: str, dtype: DType, takes: str) -> None:
    if takes == "integers" and dtype.is_float:
        raise RefusedError(
            f"\"{name}_cpu\" not implemented for '{scalar_type(dtype)}'; give integers or bools"
        )
    if takes == "numbers" and dtype is int1:
        raise RefusedError(f"\"{name}_cpu\" not implemented for 'Bool'; convert it with .int() first")


def _written(name: str, x: HostTensor, result: HostTensor) -> HostTensor:
    """``x`` with the values of ``result``."""
    if not is_castable(result.dtype, x.dtype):
        raise RefusedError(
            f"result type {scalar_type(result.dtype)} can't be cast to the desired output type "
            f"{scalar_type(x.dtype)}; make a new tensor, with {name}()"
        )
    if result.shape != x.shape:
        raise RefusedError(
            f"output with shape {list(x.shape)} doesn't match the broadcast shape {list(result.shape)}; make a new "
            f"tensor, with {name}()"
        )
    x.write(..., cast(result.numpy(), x.dtype))
    return x


def scalar_for(value: Any, x: HostTensor, name: str) -> Array:
    """``value`` as an array without dimensions of the dtype of ``x``, which must hold it."""
    if isinstance(value, Tensor):
        given = tensor_operand(value, name, "value")
        if given.ndim:
            raise RefusedError(
                f"{name} only supports a 0-dimensional value tensor, but got tensor with {given.ndim} dimension(s)."
            )
        return cast(given.numpy(), x.dtype)
    return filling(number_of(value, f"{name}(): argument 'value'"), x.dtype)
