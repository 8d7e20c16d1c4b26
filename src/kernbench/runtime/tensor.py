"""Tensors as the host sees them: on the device, in shards; or on the host, an array."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np

from kernbench.dtypes import DType, as_dtype
from kernbench.errors import ForcedValueError, InvalidIndexError, ShapeError, UsageError
from kernbench.lang.source import user_line
from kernbench.memory.blocks import block_of, bytes_of, upward
from kernbench.memory.page_table import Pieces
from kernbench.memory.shards import ShardMap
from kernbench.memory.store import Bytes
from kernbench.messages.access import Access
from kernbench.messages.source_line import SourceLine
from kernbench.runtime.device import Device
from kernbench.runtime.device_name import DEVICE, HOST
from kernbench.runtime.placement import DPPolicy
from kernbench.runtime.promotion import torch_name
from kernbench.runtime.storage import Storage
from kernbench.runtime.tensor_base import Array, Tensor, TensorContext, on_device
from kernbench.runtime.values import cast
from kernbench.runtime.views import narrowed, part, row_major

__all__ = ["Array", "DeviceTensor", "HostTensor", "Tensor", "index_of"]


class Uses(Protocol):
    """An observer of what the host does with tensors of the device; it may raise."""

    def used(self, tensor: DeviceTensor, how: str) -> None:
        """``tensor`` is "read", "written", "freed" or "used in a launch"."""

    def synchronized(self) -> None:
        """All that was launched is complete."""


class DeviceContext(TensorContext, Protocol):
    """A context as its tensors on the device know it: also copies to and from there, behind what was launched."""

    machine: Device
    uses: Uses

    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        """Copy to the device, after all that was launched."""

    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        """Copy from the device, after all that was launched."""


class HostTensor(Tensor):
    """An array on the host: what is copied to the device, at no simulated time until it is."""

    device = HOST

    def __init__(self, context: TensorContext, array: Array, name: str) -> None:
        super().__init__(context, array.shape, as_dtype(array.dtype), name)
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
        return self.context.methods[name](*operands, **how)

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


class DeviceTensor(Tensor):
    """A tensor in the device's memory, or a view of one: a range of virtual addresses, row-major without gaps.

    ``policy`` placed the memory; a view has its own shape and the name of what it was made from. Reading and writing
    wait for the kernels launched before and take simulated time. The memory returns, for the tensor and all its
    views, when one of them is freed, by :meth:`free` or at the end of a ``with`` block; when nobody refers to any of
    them any more; or when their context ends.
    """

    context: DeviceContext
    device = DEVICE

    def __init__(
        self, context: DeviceContext, storage: Storage, shape: tuple[int, ...], start_bytes: int = 0
    ) -> None:
        shards = storage.shards
        super().__init__(context, shape, shards.dtype, shards.name)
        self._storage = storage
        self._start_bytes = start_bytes

    @property
    def policy(self) -> DPPolicy:
        """Where the memory was placed."""
        return self._storage.policy

    @property
    def made(self) -> SourceLine:
        """Where in the user's program the memory was asked for."""
        return self._storage.life.made

    @property
    def freed(self) -> str:
        """How and where the memory was freed, as in "at my_bench.py:12"; empty before."""
        return self._storage.freed

    @property
    def is_freed(self) -> bool:
        """Whether the memory was given back."""
        return bool(self.freed)

    @property
    def shards(self) -> ShardMap:
        """Where the memory lies, of a view all that it shares; UsageError after it was freed."""
        return self._living_storage().shards

    @property
    def holders(self) -> tuple[int, ...]:
        """The numbers of the PEs that hold a part of its bytes, in order."""
        return self.shards.holders_of(self.data_ptr(), self.nbytes)

    def data_ptr(self) -> int:
        """The virtual address of its first byte."""
        return self.shards.va + self._start_bytes

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
        return self.numpy_for(user_line())

    def numpy_for(self, line: SourceLine) -> Array:
        """Gather its shards as :meth:`numpy` does; what is told of the read names ``line`` of the user's program."""
        return self._read(self._part(...), line)

    def cpu(self) -> HostTensor:
        """A copy on the host."""
        return HostTensor(self.context, self.numpy().copy(), self.name)

    def contiguous(self) -> Self:
        """Itself: on the device a tensor is one range."""
        return self

    def is_contiguous(self) -> bool:
        """True."""
        return True

    def fetch(self) -> None:
        """Move its bytes to the host in simulated time, as :meth:`numpy` does, and look at no value: any mode."""
        self._fetch(self._part(...))

    def copy_(self, source: Tensor | Array) -> DeviceTensor:
        """Scatter ``source`` (an array, a host tensor, or a device tensor by way of the host) to every copy."""
        access, array = self._part(...), self._checked(source)
        self.context.uses.used(self, "written")
        if self.nbytes:
            self.context.host_write(self.shards.pieces_of_all_copies(access), bytes_of(array, access))
            if self.context.machine.watch is not None:
                self.context.machine.watch.host_wrote(self.shards, access)
        return self

    def __getitem__(self, index: Any) -> HostTensor:
        """A part on the host, by numpy's basic indexing (integers, slices, ``...``, None); only its bytes move."""
        return HostTensor(self.context, self._read(self._part(index), user_line()).copy(), self.name)

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

    def free(self) -> None:
        """Give the memory back, that of all views of it too; a second time is an error."""
        if self.is_freed:
            raise UsageError(f"{self._label} was freed before, {self.freed}; free a tensor once")
        self.context.uses.used(self, "freed")
        self._storage.free(f"at {user_line()}")

    def __enter__(self) -> DeviceTensor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if not self.is_freed:
            self.context.uses.used(self, "freed")
            self._storage.free(f"at the end of its with block at {user_line()}")

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

    def _living_storage(self) -> Storage:
        if self.is_freed:
            raise UsageError(f"{self._label} was freed {self.freed}; make a new tensor, or free it later")
        return self._storage

    def _part(self, index: Any) -> Access:
        return part(self.name, self.data_ptr(), self.shape, self.dtype, index)

    def _read(self, access: Access, line: SourceLine) -> Array:
        if self.context.machine.mode == "timing":
            raise ForcedValueError(
                f"{self.name!r}: mode 'timing' computes no values to read; use mode 'timed', or fetch() for the time "
                "of a read"
            )
        fetched, watch = self._fetch(access), self.context.machine.watch
        if watch is not None and self.nbytes:
            watch.host_reads(self.shards, access, line)
        return block_of(fetched, access, self.dtype)

    def _fetch(self, access: Access) -> Bytes:
        self.context.uses.used(self, "read")
        size_bytes = access.size_bytes
        pieces = self.shards.pieces_for(upward(access)[0], pe=-1) if size_bytes else ()
        return self.context.host_read(pieces, size_bytes) if size_bytes else np.empty(0, np.uint8)


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
