"""Host tensors joined, split, turned, multiplied and compared as wholes, by PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from kernbench import dtypes
from kernbench.dtypes import as_dtype
from kernbench.errors import InvalidIndexError, InvalidTypeError, InvalidValueError, RefusedError
from kernbench.ops.numerics import compute_dtype
from kernbench.torch.host_functions import (
    as_array,
    dim_of,
    made,
    meeting,
    require_broadcast,
    require_same_dtype,
    scalar_for,
    tensor_operand,
)
from kernbench.torch.names import FUNCTIONS, function
from kernbench.torch.promotion import UNSIGNED_WIDE, cpp_name, scalar_type
from kernbench.torch.tensor import HostTensor, Tensor, index_of
from kernbench.torch.values import Array, cast

# -- joined and split -------------------------------------------------------------------------------------


def _listed(tensors: Any, name: str) -> list[HostTensor]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (list, tuple)):
        raise InvalidTypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    return [tensor_operand(x, name, "tensors") for x in tensors]


def _met(tensors: Sequence[HostTensor]) -> list[Array]:
    dtype = meeting(tensors)
    return [as_array(x, dtype) for x in tensors]


@function("cat", "concat", of="torch")
def cat(tensors: Any, dim: int = 0) -> HostTensor:
    """Tensors one behind the other along a dimension; one of shape [0] counts as nothing."""
    given = _listed(tensors, "cat")
    if not given:
        raise InvalidValueError("torch.cat(): expected a non-empty list of Tensors")
    for at, x in enumerate(given):
        if not x.ndim:
            raise RefusedError(
                f"zero-dimensional tensor (at position {at}) cannot be concatenated; use torch.stack"
            )
    kept = [x for x in given if x.shape != (0,)] or given[:1]
    axis = dim_of(kept[0], dim)
    for at, x in enumerate(kept[1:], start=1):
        if x.ndim != kept[0].ndim:
            raise RefusedError(
                f"Tensors must have same number of dimensions: got {kept[0].ndim} and {x.ndim}"
            )
        for d in range(x.ndim):
            if d != axis and x.shape[d] != kept[0].shape[d]:
                raise RefusedError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {kept[0].shape[d]} but got "
                    f"size {x.shape[d]} for tensor number {at} in the list."
                )
    arrays = [array for array in _met(given) if array.shape != (0,)] or _met(given[:1])
    return made(given[0], np.concatenate(arrays, axis=axis))


@function("stack", of="torch")
def stack(tensors: Any, dim: int = 0) -> HostTensor:
    """Tensors of one shape along a new dimension."""
    given = _listed(tensors, "stack")
    if not given:
        raise RefusedError("stack expects a non-empty TensorList")
    for at, x in enumerate(given):
        if x.shape != given[0].shape:
            raise RefusedError(
                f"stack expects each tensor to be equal size, but got {list(given[0].shape)} at entry 0 and "
                f"{list(x.shape)} at entry {at}"
            )
    return made(given[0], np.stack(_met(given), axis=dim_of(given[0], dim, given[0].ndim + 1)))


@function("split")
def split(input: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[HostTensor, ...]:
    """Views of parts along a dimension: of a size, the last what is left; or of the sizes given."""
    x = tensor_operand(input, "split", "tensor")
    axis = dim_of(x, dim)
    extent = x.shape[axis]
    if isinstance(split_size_or_sections, (int, np.integer)):
        size = int(split_size_or_sections)
        if size < 0 or (size == 0 and extent):
            raise RefusedError(
                f"split_size can only be 0 if dimension size is 0, but got dimension size of {extent}"
            )
        sizes = [min(size, extent - start) for start in range(0, max(extent, 1), max(size, 1))]
    else:
        sizes = list(split_size_or_sections)
        if sum(sizes) != extent or any(size < 0 for size in sizes):
            raise RefusedError(
                f"split_with_sizes expects split_sizes to sum exactly to {extent} (input tensor's size at dimension "
                f"{axis}), but got split_sizes={sizes}"
            )
    starts = [0, *accumulate(sizes)]
    return tuple(x.narrow(axis, start, size) for start, size in zip(starts, sizes, strict=False))


@function("chunk")
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[HostTensor, ...]:
    """Views of at most ``chunks`` even parts along a dimension, the last what is left."""
    x = tensor_operand(input, "chunk")
    if chunks < 1:
        raise RefusedError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    extent = x.shape[dim_of(x, dim)]
    return split(x, max(1, -(-extent // chunks)), dim)


# -- turned -----------------------------------------------------------------------------------------------


@function("transpose")
def transpose(input: Any, dim0: int, dim1: int) -> HostTensor:
    """A view with two dimensions exchanged."""
    x = tensor_operand(input, "transpose")
    a, b = dim_of(x, dim0), dim_of(x, dim1)
    return made(x, np.swapaxes(x.numpy(), a, b) if x.ndim else x.numpy())


@function("t")
def t(input: Any) -> HostTensor:
    """A view of a matrix with rows and columns exchanged; of fewer dimensions, itself."""
    x = tensor_operand(input, "t")
    if x.ndim > 2:
        raise RefusedError(f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D")
    return made(x, x.numpy().T)


@function("permute")
def permute(input: Any, *dims: int | Sequence[int]) -> HostTensor:
    """A view with the dimensions in another order."""
    x = tensor_operand(input, "permute")
    named: Any = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    if len(named) != x.ndim:
        raise RefusedError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {x.ndim} is not equal to len(dims) = {len(named)}"
        )
    axes = [dim_of(x, d) for d in named]
    if len(set(axes)) != len(axes):
        raise RefusedError("permute(): duplicate dims are not allowed.")
    return made(x, x.numpy().transpose(axes))


@function("flip")
def flip(input: Any, *dims: int | Sequence[int]) -> HostTensor:
    """A copy whose order along dimensions is reversed."""
    x = tensor_operand(input, "flip")
    named: Any = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return made(x, np.flip(x.numpy(), tuple(dim_of(x, d) for d in named)).copy())


@function("expand", of="tensor")
def expand(input: Any, *sizes: int | Sequence[int]) -> HostTensor:
    """A view in which dimensions of extent 1 are as long as ``sizes`` say; -1 keeps an extent."""
    x = tensor_operand(input, "expand")
    named: Any = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    n_new = len(named) - x.ndim
    own = (*[1] * n_new, *x.shape)
    target = [have if size == -1 else size for have, size in zip(own, named, strict=False)]
    for d, (have, size) in enumerate(zip(own, target, strict=False)):
        if n_new < 0 or have not in (1, size):
            raise RefusedError(
                f"The expanded size of the tensor ({size}) must match the existing size ({have}) at non-singleton "
                f"dimension {d}.  Target sizes: {list(named)}.  Tensor sizes: {list(x.shape)}"
            )
    return made(x, np.broadcast_to(x.numpy(), target))


@function("tril")
def tril(input: Any, diagonal: int = 0) -> HostTensor:
    """The lower triangle of matrices, zeros above."""
    x = _matrices(input, "tril")
    return made(x, np.tril(x.numpy(), diagonal))


@function("triu")
def triu(input: Any, diagonal: int = 0) -> HostTensor:
    """The upper triangle of matrices, zeros below."""
    x = _matrices(input, "triu")
    return made(x, np.triu(x.numpy(), diagonal))


def _matrices(input: Any, name: str) -> HostTensor:
    x = tensor_operand(input, name)
    if x.ndim < 2:
        raise RefusedError(f"{name}: input tensor must have at least 2 dimensions")
    return x


@function("T", of="tensor")
def reversed_dims(input: HostTensor) -> HostTensor:
    """A view with the order of dimensions reversed: of a matrix, its transpose."""
    return made(input, input.numpy().T)


@function("mT", of="tensor")
def transposed(input: HostTensor) -> HostTensor:
    """A view with the last two dimensions exchanged."""
    return transpose(_matrices(input, "mT"), -2, -1)


@function("__setitem__", of="tensor")
def set_item(input: HostTensor, index: Any, value: Any) -> None:
    """Put a number that the dtype holds, or a tensor that broadcasts, at numpy's index."""
    terms = index_of(index if isinstance(index, tuple) else (index,))
    if isinstance(value, Tensor):
        array = cast(tensor_operand(value, "x[...] = y", "value").numpy(), input.dtype)
    elif isinstance(value, (list, tuple, np.ndarray)):
        raise InvalidTypeError(
            f"can't assign a {type(value).__name__} to a tensor; make it one with torch.tensor()"
        )
    else:
        array = scalar_for(value, input, "x[...] = y")
    try:
        input.write(terms, array)
    except IndexError as error:
        raise InvalidIndexError(f"{input.name!r}{list(input.shape)}: {error}") from None
    except ValueError as error:
        raise RefusedError(f"{input.name!r}{list(input.shape)}[...] = y: {error}") from None


# -- multiplied -------------------------------------------------------------------------------------------


@function("matmul")
def matmul(input: Any, other: Any) -> HostTensor:
    """The product of matrices, vectors or stacks of matrices; narrow floats are added up in fp32."""
    a, b = tensor_operand(input, "matmul"), tensor_operand(other, "matmul", "other")
    if not a.ndim or not b.ndim:
        raise RefusedError(
            f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D"
        )
    _require_multiplied(a, b)
    if a.dtype is not b.dtype:
        raise RefusedError(
            f"expected m1 and m2 to have the same dtype, but got: {cpp_name(a.dtype)} != {cpp_name(b.dtype)}; convert "
            "one with .to(dtype)"
        )
    require_broadcast([np.empty(x.shape[:-2]) for x in (a, b)])
    if a.dtype is dtypes.int1:
        raise RefusedError("\"addmm_impl_cpu_\" not implemented for 'Bool'; convert them with .int()")
    working = compute_dtype(a.dtype)
    with np.errstate(all="ignore"):
        return made(a, cast(np.asarray(np.matmul(as_array(a, working), as_array(b, working))), a.dtype))


def _require_multiplied(a: HostTensor, b: HostTensor) -> None:
    """Refuse factors whose inner extents differ."""
    rows = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] == rows:
        return
    if a.ndim == b.ndim == 1:
        raise RefusedError(
            f"inconsistent tensor size, expected tensor {list(a.shape)} and src {list(b.shape)} to have the same "
            f"number of elements, but got {a.shape[0]} and {b.shape[0]} elements respectively"
        )
    if a.ndim == b.ndim == 2:
        shapes = " and ".join("x".join(map(str, x.shape)) for x in (a, b))
        raise RefusedError(f"mat1 and mat2 shapes cannot be multiplied ({shapes})")
    raise RefusedError(
        f"size mismatch: {list(a.shape)} has rows of {a.shape[-1]} and {list(b.shape)} columns of {rows}; they must be "
        "equal"
    )


@function("mm")
def mm(input: Any, mat2: Any) -> HostTensor:
    """The product of two matrices."""
    for x, name in ((input, "self"), (mat2, "mat2")):
        if tensor_operand(x, "mm", name).ndim != 2:
            raise RefusedError(f"{name} must be a matrix")
    return matmul(input, mat2)


@function("dot")
def dot(input: Any, tensor: Any) -> HostTensor:
    """The product of two vectors."""
    a, b = tensor_operand(input, "dot"), tensor_operand(tensor, "dot", "tensor")
    if a.ndim != 1 or b.ndim != 1:
        raise RefusedError(f"1D tensors expected, but got {a.ndim}D and {b.ndim}D tensors")
    if a.dtype is not b.dtype:
        raise RefusedError(
            f"dot : expected both vectors to have same dtype, but found {scalar_type(a.dtype)} and "
            f"{scalar_type(b.dtype)}"
        )
    return matmul(a, b)


@function("outer")
def outer(input: Any, vec2: Any) -> HostTensor:
    """The products of all pairs of elements of two vectors."""
    a, b = tensor_operand(input, "outer"), tensor_operand(vec2, "outer", "vec2")
    for x, name in ((a, "self"), (b, "vec2")):
        if x.ndim != 1:
            raise RefusedError(f"outer: Expected 1-D argument {name}, but got {x.ndim}-D")
    product: HostTensor = FUNCTIONS["mul"](a.unsqueeze(1), b)
    return product


# -- compared ---------------------------------------------------------------------------------------------


@function("isclose")
def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> HostTensor:
    """Where ``abs(input - other) <= atol + rtol * abs(other)``."""
    a, b = tensor_operand(input, "isclose"), tensor_operand(other, "isclose", "other")
    require_same_dtype(a, b)
    one, two = (as_array(x, dtypes.float64) for x in (a, b))
    require_broadcast([one, two])
    return made(a, np.isclose(one, two, rtol=rtol, atol=atol, equal_nan=equal_nan))


@function("allclose")
def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether :func:`isclose` holds of all elements."""
    tensor_operand(input, "allclose")
    tensor_operand(other, "allclose", "other")
    return bool(isclose(input, other, rtol, atol, equal_nan).numpy().all())


@function("equal")
def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have one shape and the same values."""
    a, b = tensor_operand(input, "equal"), tensor_operand(other, "equal", "other")
    if a.shape != b.shape:
        return False
    dtype = meeting([a, b])
    return bool((as_array(a, dtype) == as_array(b, dtype)).all())


# -- copied and converted ---------------------------------------------------------------------------------


@function("clone")
def clone(input: Any) -> HostTensor:
    """A copy."""
    x = tensor_operand(input, "clone")
    return made(x, x.numpy().copy())


@function("numel", of="torch")
def numel(input: Any) -> int:
    """Elements of a tensor, wherever it is."""
    return int(input.numel())


@function("is_tensor", of="torch")
def is_tensor(obj: Any) -> bool:
    """Whether it is a tensor, wherever it is."""
    return isinstance(obj, Tensor)


for _dtype in dtypes.DTYPES:
    if _dtype not in UNSIGNED_WIDE and not _dtype.is_fp8():  # for these PyTorch has no methods
        function(scalar_type(_dtype).lower(), of="tensor")(lambda x, dtype=_dtype: x.to(dtype))


@function("type", of="tensor")
def type_(input: Any, dtype: Any) -> Tensor:
    """The tensor in ``dtype``."""
    return tensor_operand(input, "type").to(as_dtype(dtype))
