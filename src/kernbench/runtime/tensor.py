"""Tensors as the host sees them: on the device, in shards; or on the host, an array."""

from __future__ import annotations

import math
import types
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DType, as_dtype
from kernbench.errors import DTypeError, ForcedValueError, ShapeError, UsageError
from kernbench.memory.blocks import block_of, bytes_of, upward
from kernbench.memory.shards import ShardMap
from kernbench.memory.store import Bytes
from kernbench.messages.access import Access
from kernbench.messages.commands import SourceLine
from kernbench.runtime.placement import DPPolicy
from kernbench.runtime.storage import Storage, user_line
from kernbench.runtime.views import flattened, narrowed, part, row_major, squeezed, unsqueezed, viewed

if TYPE_CHECKING:
    from kernbench.runtime.context import Context

Array = npt.NDArray[Any]
DEVICE, HOST = "ahbm", "host"


class Tensor(ABC):
    """What all tensors have: shape, dtype, a name, and the context they belong to."""

    device: str

    def __init__(self, context: Context, shape: tuple[int, ...], dtype: DType, name: str) -> None:
        self.context = context
        self.shape = shape
        self.dtype = dtype
        self.name = name

    def numel(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.dtype.size_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor, one copy of each."""
        return self.numel() * self.element_size()

    def dim(self) -> int:
        """Dimensions."""
        return len(self.shape)

    @property
    def ndim(self) -> int:
        """Dimensions."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> tuple[int, ...] | int:
        """The shape, or the extent of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def stride(self, dim: int | None = None) -> tuple[int, ...] | int:
        """Elements from one index to the next, per dimension or of one."""
        strides = self._strides()
        return strides if dim is None else strides[dim]

    def __len__(self) -> int:
        if not self.shape:
            raise UsageError(f"{self.name!r} has no dimensions, so no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.numpy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        raise UsageError(
            f"{self.name!r} == ...: a tensor is not compared; read it, as in (x.numpy() == y.numpy()).all()"
        )

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise UsageError(f"{self._label} is neither true nor false; read it, as in x.numpy().any()")
        return bool(self.item())

    @abstractmethod
    def numpy(self) -> Array:
        """The values as an array of the tensor's shape and dtype."""

    @property
    def data(self) -> Array:
        """The same as :meth:`numpy`."""
        return self.numpy()

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"{self._label} has {self.numel()} elements; item() needs one")
        return self.numpy().reshape(-1)[0].item()

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.numpy().tolist()

    def cpu(self) -> HostTensor:
        """A copy on the host."""
        return HostTensor(self.context, self.numpy().copy(), self.name)

    def to(self, device: str, *, policy: DPPolicy | None = None, name: str | None = None) -> Tensor:
        """A copy on ``device``: "ahbm", placed by ``policy``, or "host"."""
        if device == HOST:
            return self.cpu()
        there: Tensor = self.context.empty(
            self.shape, dtype=self.dtype, policy=policy, name=name or self.name, device=device
        )
        return there.copy_(self)

    @abstractmethod
    def copy_(self, source: Tensor | Array) -> Tensor:
        """Take the values of ``source``, which has the same shape and dtype."""

    def view(self, *shape: int | Sequence[int]) -> Self:
        """The same memory by another shape of as many elements; an extent of -1 is what the others leave."""
        return self._reshaped(viewed(f"view of {self._label}", self.numel(), shape))

    def view_as(self, other: Tensor) -> Self:
        """The same memory by the shape of ``other``."""
        return self.view(other.shape)

    def reshape(self, *shape: int | Sequence[int]) -> Self:
        """As :meth:`view`; of a host array with gaps, a copy where there is no such view."""
        return self._reshaped(viewed(f"reshape of {self._label}", self.numel(), shape))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """The dimensions from ``start_dim`` to ``end_dim``, both included, as one; shares memory as :meth:`reshape`."""
        return self._reshaped(flattened(f"flatten of {self._label}", self.shape, start_dim, end_dim))

    def squeeze(self, dim: int | Sequence[int] | None = None) -> Self:
        """The same memory without its dimensions of extent 1, or without those of them that ``dim`` names."""
        return self._reshaped(squeezed(f"squeeze of {self._label}", self.shape, dim))

    def unsqueeze(self, dim: int) -> Self:
        """The same memory with a dimension of extent 1 more, which becomes dimension ``dim``."""
        return self._reshaped(unsqueezed(f"unsqueeze of {self._label}", self.shape, dim))

    @abstractmethod
    def narrow(self, dim: int, start: int, length: int) -> Self:
        """The memory of the ``length`` indices of dimension ``dim`` from ``start`` on."""

    @abstractmethod
    def _reshaped(self, shape: tuple[int, ...]) -> Self:
        """The tensor by a shape of as many elements."""

    @abstractmethod
    def _strides(self) -> tuple[int, ...]:
        """Elements from one index to the next, per dimension."""

    @property
    def _label(self) -> str:
        return f"{self.name!r}{list(self.shape)}"

    def _checked(self, source: Tensor | Array) -> Array:
        """The values of ``source`` when shape and dtype are this tensor's."""
        shape, dtype = tuple(source.shape), as_dtype(source.dtype)
        what = f"copy_ into {self.name!r}"
        if shape != self.shape:
            raise ShapeError(
                f"{what}: it is {list(self.shape)} and the source is {list(shape)}; shapes must be equal"
            )
        if dtype is not self.dtype:
            raise DTypeError(
                f"{what}: it is {self.dtype} and the source is {dtype}; convert the source with astype()"
            )
        return source.numpy() if isinstance(source, Tensor) else np.asarray(source)


class HostTensor(Tensor):
    """An array on the host: what is copied to the device, at no simulated time until it is."""

    device = HOST

    def __init__(self, context: Context, array: Array, name: str) -> None:
        super().__init__(context, array.shape, as_dtype(array.dtype), name)
        self.array = array

    def numpy(self) -> Array:
        """The array itself: writing to it writes to the tensor."""
        return self.array

    def copy_(self, source: Tensor | Array) -> HostTensor:
        """Take the values of ``source``; from the device, a simulated read."""
        self.array[...] = self._checked(source)
        return self

    def view(self, *shape: int | Sequence[int]) -> Self:
        """The same memory by another shape, as the array's strides allow."""
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

    def __getitem__(self, index: Any) -> Array:
        found: Array = self.array[index]
        return found

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

    device = DEVICE

    def __init__(
        self, context: Context, storage: Storage, shape: tuple[int, ...], start_bytes: int = 0
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
        return self._read(self._part(...))

    def fetch(self) -> None:
        """Move its bytes to the host in simulated time, as :meth:`numpy` does, and look at no value: any mode."""
        self._fetch(self._part(...))

    def copy_(self, source: Tensor | Array) -> DeviceTensor:
        """Scatter ``source`` (an array, a host tensor, or a device tensor by way of the host) to every copy."""
        access, array = self._part(...), self._checked(source)
        if self.nbytes:
            self.context.host_write(self.shards.pieces_of_all_copies(access), bytes_of(array, access))
            if self.context.machine.watch is not None:
                self.context.machine.watch.host_wrote(self.shards, access)
        return self

    def __getitem__(self, index: Any) -> Any:
        """Read a part by numpy's basic indexing (integers, slices, ``...``, None); only its bytes move."""
        found = self._read(self._part(index))
        return found if found.ndim else found[()]

    def free(self) -> None:
        """Give the memory back, that of all views of it too; a second time is an error."""
        if self.is_freed:
            raise UsageError(f"{self._label} was freed before, {self.freed}; free a tensor once")
        self._storage.free(f"at {user_line()}")

    def __enter__(self) -> DeviceTensor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if not self.is_freed:
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

    def _read(self, access: Access) -> Array:
        if self.context.machine.mode == "timing":
            raise ForcedValueError(
                f"{self.name!r}: mode 'timing' computes no values to read; use mode 'timed', or fetch() for the time "
                "of a read"
            )
        fetched, watch = self._fetch(access), self.context.machine.watch
        if watch is not None and self.nbytes:
            watch.host_reads(self.shards, access, user_line())
        return block_of(fetched, access, self.dtype)

    def _fetch(self, access: Access) -> Bytes:
        size_bytes = access.size_bytes
        pieces = self.shards.pieces_for(upward(access)[0], pe=-1) if size_bytes else ()
        return self.context.host_read(pieces, size_bytes) if size_bytes else np.empty(0, np.uint8)
