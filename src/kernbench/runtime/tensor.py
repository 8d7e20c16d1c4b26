"""Tensors as the host sees them: on the device, in shards; or on the host, an array."""

from __future__ import annotations

import math
import types
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DType, as_dtype
from kernbench.errors import DTypeError, ForcedValueError, ShapeError, UsageError
from kernbench.memory.blocks import block_of, bytes_of, upward
from kernbench.memory.shards import ShardMap
from kernbench.memory.store import Bytes
from kernbench.messages.access import Access
from kernbench.runtime.placement import DPPolicy

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
        """Elements from one index to the next, per dimension or of one: row-major without gaps."""
        strides = tuple(math.prod(self.shape[d + 1 :]) for d in range(len(self.shape)))
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
            raise UsageError(
                f"{self.name!r}{list(self.shape)} is neither true nor false; read it, as in x.numpy().any()"
            )
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
            raise ShapeError(f"{self.name!r}{list(self.shape)} has {self.numel()} elements; item() needs one")
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

    def __getitem__(self, index: Any) -> Array:
        part: Array = self.array[index]
        return part

    def __repr__(self) -> str:
        values = np.array2string(self.array, threshold=8, edgeitems=3, separator=", ")
        return f"Tensor({self.name!r}, {list(self.shape)}, {self.dtype}, {HOST}, {values})"


class DeviceTensor(Tensor):
    """A tensor in the device's memory: one virtual range, shards by ``policy``.

    Reading and writing wait for the kernels launched before and take simulated time. The memory returns when the
    tensor is freed: by :meth:`free`, at the end of a ``with`` block, or when nobody refers to it any more.
    """

    device = DEVICE

    def __init__(self, context: Context, shards: ShardMap, policy: DPPolicy, name: str) -> None:
        super().__init__(context, shards.shape, shards.dtype, name)
        self.policy = policy
        self._shards = shards
        self._burial = weakref.finalize(self, context.heap.bury, shards, policy.space)
        self._burial.atexit = False

    @property
    def is_freed(self) -> bool:
        """Whether its memory was given back."""
        return not self._burial.alive

    @property
    def shards(self) -> ShardMap:
        """Where the tensor lies; UsageError after it was freed."""
        if self.is_freed:
            raise UsageError(
                f"{self.name!r}{list(self.shape)} was freed; make a new tensor, or free it later"
            )
        return self._shards

    def data_ptr(self) -> int:
        """The virtual address of its first byte."""
        return self.shards.va

    def numpy(self) -> Array:
        """Gather all shards into one array; of copies, the first.

        Raises:
            ForcedValueError: in mode ``timing``, which computes no values.
        """
        return self._read(_whole(self.shards))

    def fetch(self) -> None:
        """Move all shards to the host in simulated time, as :meth:`numpy` does, and look at no value: any mode."""
        self._fetch(_whole(self.shards))

    def copy_(self, source: Tensor | Array) -> DeviceTensor:
        """Scatter ``source`` (an array, a host tensor, or a device tensor by way of the host) to every copy."""
        shards = self.shards
        access, array = _whole(shards), self._checked(source)
        if self.nbytes:
            self.context.host_write(shards.pieces_of_all_copies(access), bytes_of(array, access))
        return self

    def __getitem__(self, index: Any) -> Any:
        """Read a part by numpy's basic indexing (integers, slices, ``...``, None); only its bytes move."""
        part = self._read(_part(self.shards, index, self.name))
        return part if part.ndim else part[()]

    def free(self) -> None:
        """Give the memory back; a second time is an error."""
        if self.is_freed:
            raise UsageError(f"{self.name!r}{list(self.shape)} was freed before; free a tensor once")
        self._burial()

    def __enter__(self) -> DeviceTensor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if not self.is_freed:
            self._burial()

    def __repr__(self) -> str:
        where = "freed" if self.is_freed else str(self.policy)
        return f"Tensor({self.name!r}, {list(self.shape)}, {self.dtype}, {DEVICE}: {where})"

    def _read(self, access: Access) -> Array:
        if self.context.machine.mode == "timing":
            raise ForcedValueError(
                f"{self.name!r}: mode 'timing' computes no values to read; use mode 'timed', or fetch() for the time "
                "of a read"
            )
        return block_of(self._fetch(access), access, self.dtype)

    def _fetch(self, access: Access) -> Bytes:
        size_bytes = access.size_bytes
        pieces = self.shards.pieces_for(upward(access)[0], pe=-1) if size_bytes else ()
        return self.context.host_read(pieces, size_bytes) if size_bytes else np.empty(0, np.uint8)


def _whole(shards: ShardMap) -> Access:
    """All of a tensor."""
    return _part(shards, ..., shards.name)


def _part(shards: ShardMap, index: Any, name: str) -> Access:
    """The access that numpy's basic indexing with ``index`` asks for."""
    terms = index if isinstance(index, tuple) else (index,)
    for term in terms:
        if isinstance(term, bool) or not (
            term is None or term is ... or isinstance(term, (int, slice, np.integer))
        ):
            raise UsageError(
                f"{name!r}[...]: {term!r} is no integer, slice, ... or None; read the tensor, then index it"
            )
    itemsize = shards.dtype.size_bytes
    if ... not in terms:
        terms = (*terms, ...)  # numpy then gives a view also for a single element, instead of reading it
    # numpy's own rules on a view of the right shape and strides; it has no memory behind it and is never read.
    start = np.zeros(1, np.dtype((np.void, itemsize)))
    strides = tuple(itemsize * math.prod(shards.shape[d + 1 :]) for d in range(len(shards.shape)))
    whole = np.lib.stride_tricks.as_strided(start, shards.shape, strides, writeable=False)
    try:
        part = whole[terms]
    except IndexError as error:
        raise UsageError(f"{name!r}{list(shards.shape)}: {error}") from None
    first = part.__array_interface__["data"][0] - start.__array_interface__["data"][0]
    return Access(
        va=shards.va + first,
        itemsize=itemsize,
        block_shape=part.shape,
        shape=part.shape,
        strides=part.strides,
        origin=(0,) * part.ndim,
    )
