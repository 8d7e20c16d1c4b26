"""Tensors as the device knows them, whatever shows them to users: a range of its memory, with a shape."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from kernbench.device.placement import DPPolicy
from kernbench.device.protocol import Device
from kernbench.device.storage import Storage
from kernbench.dtypes import DType
from kernbench.errors import ForcedValueError, UsageError
from kernbench.lang.affine import row_major
from kernbench.lang.source import user_line
from kernbench.memory.blocks import block_of, bytes_of, upward
from kernbench.memory.page_table import Pieces
from kernbench.memory.shards import ShardGrid, ShardMap
from kernbench.memory.store import Bytes
from kernbench.messages.access import Access
from kernbench.messages.source_line import SourceLine
from kernbench.wording import quoted

Values = npt.NDArray[Any]  # Any: of whatever dtype


class Home(Protocol):
    """An open device as its tensors know it: copies behind what was launched, and launches."""

    machine: Device
    uses: Uses

    def launch(
        self, kernel: object, grid: object, args: Sequence[object], meta: Mapping[str, object]
    ) -> None:
        """Run ``kernel`` on every program of ``grid``; returns at once."""

    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        """Copy to the device, after all that was launched."""

    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        """Copy from the device, after all that was launched."""


class Uses(Protocol):
    """An observer of what the host does with tensors of the device; it may raise."""

    def used(self, tensor: DeviceArray, how: str) -> None:
        """``tensor`` is "read", "written", "freed" or "used in a launch"."""

    def synchronized(self) -> None:
        """All that was launched is complete."""


class KernelOperand:
    """A tensor that a kernel may be given, of the open device ``home``; none reaches one that is no DeviceArray."""

    name: str
    home: Home
    shape: tuple[int, ...]
    dtype: DType

    @property
    def n_elem(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor, one copy of each."""
        return math.prod(self.shape) * self.dtype.size_bytes


class DeviceArray(KernelOperand):
    """A tensor in the device's memory, or a view of one: a range of virtual addresses, row-major without gaps.

    ``policy`` placed the memory; a view has its own shape and the name of what it was made from. Reading and writing
    wait for the kernels launched before and take simulated time. The memory returns, for the tensor and all its
    views, when one of them is freed, by :meth:`free` or at the end of a ``with`` block; when nobody refers to any of
    them any more; or when the device is closed.

    >>> import kernbench as kb
    >>> device = kb.simulate("tiny").device
    >>> x = device.empty((2, 3), kb.as_dtype("fp32"), name="x")
    >>> x.write(np.ones((2, 3), np.float32))
    >>> x.read((0, ...)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, home: Home, storage: Storage, shape: tuple[int, ...], start_bytes: int = 0) -> None:
        self.home = home
        self._storage, self._start_bytes = storage, start_bytes
        self.name, self.shape, self.dtype = storage.shards.name, shape, storage.shards.dtype

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
        return self._storage.life.freed

    @property
    def is_freed(self) -> bool:
        """Whether the memory was given back."""
        return bool(self._storage.life.freed)

    @property
    def shards(self) -> ShardMap:
        """Where the memory lies, of a view all that it shares; UsageError after it was freed."""
        return self._living_storage().shards

    @property
    def holders(self) -> tuple[int, ...]:
        """The numbers of the PEs that hold a part of its bytes, in order."""
        return self.shards.holders_of(self.data_ptr(), self.nbytes)

    @property
    def parts(self) -> ShardGrid:
        """The parts that its policy deals, of a view those of all that it shares: several may lie in one shard."""
        return self._living_storage().parts

    @property
    def part_pes(self) -> tuple[int, ...]:
        """The numbers of the PEs that its policy deals a part of its bytes to, in order: where its programs run."""
        return self.parts.holders_of(self._start_bytes, self.nbytes)

    def data_ptr(self) -> int:
        """The virtual address of its first byte."""
        return self.shards.va + self._start_bytes

    def write(self, values: Values) -> None:
        """Scatter ``values``, of its shape and dtype, to every copy of its bytes; returns when the last has landed."""
        access = self._part(...)
        self.home.uses.used(self, "written")  # before the copy, which it may refuse
        if self.nbytes:
            self.home.host_write(self.shards.pieces_of_all_copies(access), bytes_of(values, access))
            if self.home.machine.watch is not None:
                self.home.machine.watch.host_wrote(self.shards, access)

    def read(self, index: object = ..., line: SourceLine | None = None) -> Values:
        """Gather a part, by numpy's basic indexing, into one array; of copies, the first. Only its bytes move.

        What is told of the read names ``line`` of the user's program, the one that is running if it is None.

        Raises:
            ForcedValueError: in mode ``timing``, which computes no values.
        """
        access = self._part(index)
        if self.home.machine.mode == "timing":
            raise ForcedValueError(
                f"{self.name!r}: mode 'timing' computes no values to read; use mode 'timed', or fetch() for the time "
                "of a read"
            )
        line = line or user_line()
        fetched, watch = self._fetch(access), self.home.machine.watch
        if watch is not None and self.nbytes:
            watch.host_reads(self.shards, access, line)
        return block_of(fetched, access, self.dtype)

    def fetch(self) -> None:
        """Move its bytes to the host in simulated time, as :meth:`read` does, and look at no value: any mode."""
        self._fetch(self._part(...))

    def free(self) -> None:
        """Give the memory back, that of all views of it too; a second time is an error."""
        if self.is_freed:
            raise UsageError(
                f"{self.name!r}{list(self.shape)} was freed before, {self.freed}; free a tensor once"
            )
        self._free(f"at {user_line()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if not self.is_freed:
            self._free(f"at the end of its with block at {user_line()}")

    def _free(self, freed: str) -> None:
        self.home.uses.used(self, "freed")
        self._storage.free(freed)

    def _living_storage(self) -> Storage:
        if self.is_freed:
            raise UsageError(
                f"{self.name!r}{list(self.shape)} was freed {self.freed}; make a new tensor, or free it later"
            )
        return self._storage

    def _part(self, index: object) -> Access:
        return part(self.name, self.data_ptr(), self.shape, self.dtype, index)

    def _fetch(self, access: Access) -> Bytes:
        self.home.uses.used(self, "read")
        size_bytes = access.size_bytes
        if not size_bytes:
            return np.empty(0, np.uint8)
        return self.home.host_read(self.shards.pieces_for(upward(access)[0], pe=-1), size_bytes)


def part(name: str, va: int, shape: tuple[int, ...], dtype: DType, index: object) -> Access:
    """The access that numpy's basic indexing with ``index`` asks for, of the row-major tensor at ``va``."""
    terms = index if isinstance(index, tuple) else (index,)
    for term in terms:
        if isinstance(term, bool) or not (
            term is None or term is ... or isinstance(term, (int, slice, np.integer))
        ):
            raise UsageError(
                f"{name!r}[...]: {quoted(term)} is no integer, slice, ... or None; read the tensor, then index it"
            )
    itemsize = dtype.size_bytes
    if ... not in terms:
        terms = (*terms, ...)  # numpy then gives a view also for a single element, instead of reading it
    # numpy's own rules on a view of the right shape and strides; it has no memory behind it and is never read.
    start = np.zeros(1, np.dtype((np.void, itemsize)))
    strides = tuple(itemsize * n for n in row_major(shape))
    whole = np.lib.stride_tricks.as_strided(start, shape, strides, writeable=False)
    try:
        box = whole[terms]
    except IndexError as error:
        raise UsageError(f"{name!r}{list(shape)}: {error}") from None
    first = box.__array_interface__["data"][0] - start.__array_interface__["data"][0]
    return Access(
        va=va + first,
        itemsize=itemsize,
        block_shape=box.shape,
        shape=box.shape,
        strides=box.strides,
        origin=(0,) * box.ndim,
    )
