"""Errors of ``torch.distributed``: the kinds that PyTorch raises, with its texts; and what checks an argument."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kernbench.dtypes import DType
from kernbench.errors import InvalidTypeError, InvalidValueError, RefusedError, UsageError
from kernbench.given import whole
from kernbench.torch.tensor import DeviceTensor, Tensor


def is_rank(rank: object, n_ranks: int) -> bool:
    """Whether ``rank`` is the number of one of ``n_ranks``."""
    try:
        return 0 <= whole(rank, "rank") < n_ranks
    except UsageError:
        return False


class BackendError(RefusedError):
    """What a backend of PyTorch raises as a RuntimeError."""


class SizesError(UsageError, ValueError, RuntimeError):
    """Buffers that do not fit each other: a ValueError of NCCL, a RuntimeError of gloo."""


class StateError(UsageError, AssertionError):
    """What PyTorch asserts about its own state."""


NOT_INITIALIZED = (
    "Default process group has not been initialized, please make sure to call init_process_group."
)
OURS = "ProcessGroupAhbm"  # where gloo's texts say ProcessGroupGloo


def torch_name(dtype: DType) -> str:
    """How PyTorch prints a dtype.

    >>> from kernbench import dtypes
    >>> torch_name(dtypes.float32), torch_name(dtypes.bfloat16)
    ('torch.float32', 'torch.bfloat16')
    """
    return f"torch.{dtype.numpy.name}"


def require_tensor(given: Any, name: str) -> DeviceTensor:
    """``given``, if it is a tensor on the device that was not freed."""
    if not isinstance(given, Tensor):
        raise InvalidTypeError(
            f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n"
            f"             but got {type(given)} instead."
        )
    return require_on_device(given)


def require_tensors(given: Any, name: str) -> list[DeviceTensor]:
    """``given``, if it is a list of such tensors."""
    head = f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n             but got "
    if not isinstance(given, list):
        raise InvalidTypeError(f"{head}{type(given)} instead.")
    if not all(isinstance(x, Tensor) for x in given):
        raise InvalidTypeError(f"{head}{type(given)} with elements of type {[type(x) for x in given]}.")
    return [require_on_device(x) for x in given]


def require_on_device(tensor: Tensor) -> DeviceTensor:
    """``tensor``, if it is on the device and was not freed."""
    if not isinstance(tensor, DeviceTensor):
        raise BackendError(
            f"No backend type associated with device type {tensor.device}; {tensor.name!r} is there: copy it to the "
            "device with .to('ahbm'); a part of a tensor there is x.narrow(dim, start, length)"
        )
    _ = tensor.shards  # refuses a freed one
    return tensor


def require_one_dtype(tensors: Iterable[DeviceTensor]) -> None:
    """Refuse tensors of several dtypes."""
    first: DType | None = None
    for tensor in tensors:
        if first is not None and tensor.dtype is not first:
            raise InvalidValueError(
                "Invalid usage of tensors with different dtypes"
                f"Found {torch_name(first)} and  {torch_name(tensor.dtype)}"
            )
        first = tensor.dtype
