"""Tensors as the host sees them: on the device, in shards; or on the host, an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from kernbench.device.array import DeviceArray
from kernbench.device.storage import Storage
from kernbench.dtypes import DType, as_dtype
from kernbench.errors import InvalidIndexError, ShapeError, UsageError
from kernbench.lang.affine import row_major
from kernbench.torch.device_name import DEVICE, HOST
from kernbench.torch.names import METHODS
from kernbench.torch.promotion import torch_name
from kernbench.torch.tensor_base import Array, Tensor, TensorContext, on_device
from kernbench.torch.values import cast
from kernbench.torch.views import narrowed

__all__ = ["Array", "DeviceTensor", "HostTensor", "Tensor", "index_of"]


class HostTensor(Tensor):
    """An array on the host: what is copied to the device, at no simulated time until it is."""

    device = HOST

    def __init__(self, context: TensorContext, array: Array, name: str) -> None:
        self.context, self.home = context, context.ahbm
        self.shape, self.dtype, self.name = array.shape, as_dtype(array.dtype), name
        self.array = array

    def numpy(self) -> Array:
        """The array itself: writing to it writes to the tensor."""
        return self.array

    def cpu(self) -> HostTensor:
        """Itself."""
        return self

    def contiguous(self) -> HostTensor:
        """Itself, or a copy without gaps between its elements."""
        return self if self.is_contiguous() else HostTensor(self.context, self.array.copy("C"), self.name)

    def is_contiguous(self) -> bool:
        """Whether its elements lie in order, without gaps."""
        return self.array.flags.c_contiguous

    def write(self, index: Any, array: Any) -> None:
        """Put ``array``, in its dtype, at ``index``."""
        if not self.array.flags.writeable:
            raise UsageError(f"{self.name!r}: its array is read-only; write to x.clone()")
        self.array[index] = array

    def copy_(self, source: Tensor | Array) -> HostTensor:
        """Take the values of ``source``; from the device, a simulated read."""
        self.array[...] = self._checked(source)
        return self

    def view(self, *shape: int | Sequence[int]) -> Self:
        """A view of the memory by another shape, as the array's strides allow."""
        view = super().view(*shape)
        if view.numel() and not np.may_share_memory(view.array, self.array):
            raise ShapeError(
                f"view of {self._label}: shape {list(view.shape)} is not compatible with its strides "
                f"{list(self._strides())}; use reshape(), which copies"
            )
        return view

    def narrow(self, dim: int, start: int, length: int) -> Self:
        """The memory of the ``length`` indices of dimension ``dim`` from ``start`` on."""
        dim, first = narrowed(f"narrow of {self._label}", self.shape, dim, start, length)
        index = (*[slice(None)] * dim, slice(first, first + length))
        return type(self)(self.context, self.array[index], self.name)

    def __getitem__(self, index: Any) -> HostTensor:
        """The part at numpy's index, in the same memory where that is a view; tensors and arrays are indices too."""
        terms = index if isinstance(index, tuple) else (index,)
        found = self._indexed(terms if any(term is ... for term in terms) else (*terms, ...))
        return HostTensor(self.context, found, self.name)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._apply("__setitem__", "x[...] = y", self, index, value)

    def _indexed(self, terms: tuple[Any, ...]) -> Array:
        try:
            found: Array = self.array[index_of(terms)]
        except IndexError as error:
            raise InvalidIndexError(f"{self._label}: {error}") from None
        return found

    def _apply(self, name: str, said: str, *operands: Any, **how: Any) -> Any:
        return METHODS[name](*operands, **how)

    def _converted(self, dtype: DType, *, copy: bool = False) -> HostTensor:
        """The tensor in ``dtype``, as PyTorch converts on a CPU."""
        if self.dtype is dtype and not copy:
            return self
        return HostTensor(self.context, np.array(cast(self.array, dtype)), self.name)

    def __copy__(self) -> HostTensor:
        return HostTensor(self.context, self.array, self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> HostTensor:
        return self._converted(self.dtype, copy=True)

    def _reshaped(self, shape: tuple[int, ...]) -> Self:
        return type(self)(self.context, self.array.reshape(shape), self.name)

    def _strides(self) -> tuple[int, ...]:
        return tuple(n // self.element_size() for n in self.array.strides)

    def __repr__(self) -> str:
        values = np.array2string(self.array, threshold=8, edgeitems=3, separator=", ")
        return f"Tensor({self.name!r}, {list(self.shape)}, {self.dtype}, {HOST}, {values})"


class DeviceTensor(Tensor, DeviceArray):
    """A tensor in the device's memory by PyTorch's names, or a view of one: see :class:`DeviceArray`."""

    device = DEVICE

    def __init__(
        self, context: TensorContext, storage: Storage, shape: tuple[int, ...], start_bytes: int = 0
    ) -> None:
        DeviceArray.__init__(self, context.ahbm, storage, shape, start_bytes)
        self.context = context

    def narrow(self, dim: int, start: int, length: int) -> Self:
        """The memory of the ``length`` indices of dimension ``dim`` from ``start`` on, where that is one range."""
        what = f"narrow of {self._label}"
        dim, first = narrowed(what, self.shape, dim, start, length)
        shape = (*self.shape[:dim], int(length), *self.shape[dim + 1 :])
        if math.prod(self.shape[:dim]) > 1 and 0 < math.prod(shape) < self.numel():
            shown = ", ".join([*":" * dim, f"{first}:{first + length}"])
            raise ShapeError(
                f"{what}: that part of dimension {dim} is not one range of memory, as a view on the device is; "
                f"narrow dimension 0, or read the part, as in x[{shown}]"
            )
        return self._viewed(shape, first * math.prod(self.shape[dim + 1 :]) * self.element_size())

    def numpy(self) -> Array:
        """Gather its shards into one array; of copies, the first.

        Raises:
            ForcedValueError: in mode ``timing``, which computes no values.
        """
        return self.read()

    def cpu(self) -> HostTensor:
        """A copy on the host."""
        return HostTensor(self.context, self.numpy().copy(), self.name)

    def contiguous(self) -> Self:
        """Itself: on the device a tensor is one range."""
        return self

    def is_contiguous(self) -> bool:
        """True."""
        return True

    def copy_(self, source: Tensor | Array) -> DeviceTensor:
        """Scatter ``source`` (an array, a host tensor, or a device tensor by way of the host) to every copy."""
        self._living_storage()
        self.write(self._checked(source))
        return self

    def __getitem__(self, index: Any) -> HostTensor:
        """A part on the host, by numpy's basic indexing (integers, slices, ``...``, None); only its bytes move."""
        return HostTensor(self.context, self.read(index).copy(), self.name)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise on_device(
            self, "x[...] = y", "write with copy_, as in x.narrow(0, i, 1).copy_(y), or in a kernel"
        )

    def _apply(self, name: str, said: str, *operands: Any, **how: Any) -> Any:
        raise on_device(self, said)

    def _converted(self, dtype: DType, *, copy: bool = False) -> DeviceTensor:
        if self.dtype is dtype and not copy:
            return self
        kind = torch_name(dtype)
        cure = f"convert a copy on the host, as in x.cpu().to({kind}).to('ahbm'), or in a kernel"
        raise on_device(self, f"x.to({kind})", cure)

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceTensor:
        raise on_device(self, "deepcopy(x)", "copy it with x.to('ahbm', copy=True)")

    def __repr__(self) -> str:
        where = "freed" if self.is_freed else str(self.policy)
        return f"Tensor({self.name!r}, {list(self.shape)}, {self.dtype}, {DEVICE}: {where})"

    def _reshaped(self, shape: tuple[int, ...]) -> Self:
        return self._viewed(shape)

    def _strides(self) -> tuple[int, ...]:
        return row_major(self.shape)

    def _viewed(self, shape: tuple[int, ...], start_bytes: int = 0) -> Self:
        """A view of ``shape`` from byte ``start_bytes`` of this one on."""
        return type(self)(self.context, self._living_storage(), shape, self._start_bytes + start_bytes)


def index_of(terms: tuple[Any, ...]) -> tuple[Any, ...]:
    """``terms`` as numpy indexes with them."""
    return tuple(_index_term(term) for term in terms)


def _index_term(term: Any) -> Any:
    if isinstance(term, DeviceTensor):
        raise on_device(term, "x[y]")
    if not isinstance(term, HostTensor):
        return term
    if term.dtype.is_float:
        raise InvalidIndexError("tensors used as indices must be long, int, byte or bool tensors")
    return term.numpy()
