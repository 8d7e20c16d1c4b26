"""Pointers: addresses known at issue, with the tensor they point into; and the access a block of them makes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import mul, sub
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DType, int1, int32, int64
from kernbench.errors import DTypeError, PageFaultError, ShapeError, UsageError
from kernbench.lang.affine import Strides, dimensions_of, materialise, merge, padded, span
from kernbench.lang.block import Block, active, describe
from kernbench.lang.known import LIMITS, BoxMask, Known, from_array
from kernbench.lang.source import here
from kernbench.messages.access import Access, Wrapped
from kernbench.messages.owners import Lifetime
from kernbench.ops.spec import Shape, broadcast_shape
from kernbench.wording import quoted


class TensorArg(NamedTuple):
    """A tensor as a kernel is given it: a range of virtual addresses, row-major, and the life of its memory."""

    name: str
    va: int
    dtype: DType
    shape: Shape
    size_bytes: int
    life: Lifetime | None = None


class PointerType:
    """The dtype of pointers: ``element_ty`` is what they point to. One object per element type."""

    __slots__ = ("element_ty", "itemsize")

    def __init__(self, element_ty: DType) -> None:
        self.element_ty = element_ty
        self.itemsize = element_ty.size_bytes

    @property
    def scalar(self) -> PointerType:
        """The type of one pointer: itself."""
        return self

    def is_ptr(self) -> bool:
        """Always."""
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PointerType) and other.element_ty is self.element_ty

    def __hash__(self) -> int:
        return hash((PointerType, self.element_ty))

    def __repr__(self) -> str:
        return f"pointer<{self.element_ty}>"


@dataclass(slots=True, eq=False, repr=False)
class Pointer(Block):
    """A block of addresses.

    Affine (``addresses`` is None): element ``(i, j)`` lies at ``va + i * strides[0] + j * strides[1]`` bytes, and
    ``low`` and ``high`` bound these. Dense: ``addresses``, int64. ``tensor`` is what they were derived from (None: an
    address out of an integer, which nothing can check at issue). ``wrapped`` says where an integer of the way here
    wrapped. Never changes.
    """

    dtype: PointerType
    tensor: TensorArg | None
    shape: Shape
    va: int
    strides: Strides
    low: int
    high: int
    addresses: npt.NDArray[np.int64] | None = None
    wrapped: Wrapped | None = None

    @classmethod
    def of(cls, tensor: TensorArg) -> Pointer:
        """The pointer to a tensor's first element."""
        return cls(PointerType(tensor.dtype), tensor, (), tensor.va, (), tensor.va, tensor.va)

    @classmethod
    def at(cls, addresses: Known, dtype: PointerType) -> Pointer:
        """Pointers out of integers."""
        if addresses.array is None:
            a = addresses
            return cls(dtype, None, a.shape, a.base, a.strides, a.low, a.high, None, a.wrapped)
        return cls._dense(dtype, None, addresses.array.astype(np.int64), addresses.wrapped)

    @classmethod
    def _dense(
        cls,
        dtype: PointerType,
        tensor: TensorArg | None,
        addresses: npt.NDArray[np.int64],
        wrapped: Wrapped | None,
    ) -> Pointer:
        low, high = int(addresses.min()), int(addresses.max())
        return cls(dtype, tensor, addresses.shape, 0, (), low, high, addresses, wrapped)

    def _placed(self, shape: Shape, strides: Strides) -> Pointer:
        """Affine addresses that are equal, in another shape."""
        return Pointer(
            self.dtype, self.tensor, shape, self.va, strides, self.low, self.high, None, self.wrapped
        )

    def _listed(self, addresses: npt.NDArray[np.int64]) -> Pointer:
        """Dense addresses that follow from these."""
        return Pointer._dense(self.dtype, self.tensor, addresses, self.wrapped)

    def dense(self) -> npt.NDArray[np.int64]:
        """Every address, an array of ``shape``."""
        if self.addresses is not None:
            return self.addresses
        return materialise(self.va, self.strides, self.shape)

    # -- arithmetic ---------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Pointer:
        return self._moved(other, self.dtype.itemsize)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Pointer:
        return self._moved(other, -self.dtype.itemsize)

    def __bool__(self) -> bool:
        return True  # a null pointer arrives as None

    def __getitem__(self, index: object) -> Pointer:
        try:
            dims = dimensions_of(index, len(self.shape))
        except IndexError:
            raise UsageError(
                f"{here()}: a block of pointers is indexed with ':', None and '...' only"
            ) from None
        shape = tuple(1 if d < 0 else self.shape[d] for d in dims)
        if self.addresses is not None:
            return self._listed(self.addresses.reshape(shape))
        return self._placed(shape, tuple(0 if d < 0 else self.strides[d] for d in dims))

    def widened(self, shape: Shape) -> Pointer:
        """The pointers broadcast to ``shape``."""
        if broadcast_shape(self.shape, shape) != shape:
            raise ShapeError(f"{here()}: pointers {list(self.shape)} do not broadcast to {list(shape)}")
        if self.addresses is not None:
            return self._listed(np.broadcast_to(self.addresses, shape))
        return self._placed(shape, padded(self.strides, len(shape)))

    def permuted(self, dims: tuple[int, ...]) -> Pointer:
        """The pointers with their dimensions in the order ``dims``."""
        if self.addresses is not None:
            return self._listed(np.transpose(self.addresses, dims))
        return self._placed(*(tuple(x[d] for d in dims) for x in (self.shape, self.strides)))

    def reshaped(self, shape: Shape) -> Pointer:
        """The pointers in C order, in another shape of as many."""
        return self._listed(self.dense().reshape(shape))  # cut anew, a dimension may have two strides

    def retyped(self, dtype: PointerType) -> Pointer:
        """Equal addresses that point to another element type."""
        return replace(self, dtype=dtype)

    def spread(self, shape: Shape, strides: Strides) -> Pointer:
        """A block of ``shape`` at this scalar pointer; ``strides`` in bytes."""
        low, high = span(self.va, strides, shape)
        return Pointer(self.dtype, self.tensor, shape, self.va, strides, low, high, None, self.wrapped)

    def recast(self, dtype: Any) -> Pointer | Known:
        """Pointers to another element type, or their addresses as int64."""
        if isinstance(dtype, PointerType):
            return self.retyped(dtype)
        if dtype is not int64:
            raise DTypeError(f"{here()}: a pointer casts to int64 or another pointer type, not {dtype}")
        if self.addresses is not None:
            return from_array(self.addresses, int64, self.wrapped)
        return Known(int64, self.shape, self.va, self.strides, self.low, self.high, None, self.wrapped)

    def __repr__(self) -> str:
        name = self.tensor.name if self.tensor else "?"
        return f"{self.dtype}{list(self.shape)} into {name!r}"

    def _moved(self, other: Any, step: int) -> Pointer:
        """Each address on by ``other`` times ``step`` bytes."""
        if isinstance(other, int):  # the step of a loop over blocks, and so worth a way of its own
            moved = other * step
            if self.addresses is not None:
                return self._listed(self.addresses + moved)
            shape, strides, wrapped = self.shape, self.strides, self.wrapped
            va, low, high = self.va + moved, self.low + moved, self.high + moved
        else:
            offset = self._offset(other)
            wrapped = self.wrapped or offset.wrapped
            try:
                if offset.array is not None or self.addresses is not None:
                    # compiler semantics: an offset is signed, and widened before it is scaled
                    offsets = offset.dense().astype(np.int64)
                    moved_to = np.asarray(self.dense() + offsets * step)
                    return Pointer._dense(self.dtype, self.tensor, moved_to, wrapped)
                shape, strides = merge(
                    self.shape, self.strides, offset.shape, tuple([s * step for s in offset.strides])
                )
            except (ShapeError, ValueError):
                raise ShapeError(
                    f"{here()}: pointers {list(self.shape)} and offsets {list(offset.shape)} do not broadcast; each "
                    "extent must be equal or 1"
                ) from None
            least, most = (offset.low, offset.high) if step > 0 else (offset.high, offset.low)
            va = self.va + offset.base * step
            low, high = self.low + least * step, self.high + most * step
        return Pointer(self.dtype, self.tensor, shape, va, strides, low, high, None, wrapped)

    def _offset(self, other: Any) -> Known:
        """An offset as a known integer block; a lazy one is forced."""
        if type(other) is not Known:
            other = active().known(other)
        if isinstance(other, Known) and other.dtype is int1:
            other = active().cast(other, int32)
        if not isinstance(other, Known) or other.dtype not in LIMITS:
            raise DTypeError(
                f"{here()}: a pointer moves by an integer block, not by {describe(other.shape, other.dtype)}"
                if isinstance(other, Block)
                else f"{here()}: a pointer moves by an integer block, not by {quoted(other)}"
            )
        return other


def access_of(pointer: Pointer, mask: Known | None, verb: str) -> Access | None:
    """The access of the active lanes of a pointer block; None when there are none.

    ``verb`` ("reads", "writes") is for messages.

    Raises:
        PageFaultError: an active lane lies outside of the tensor the pointers were derived from.
    """
    if mask is not None and mask.is_constant:
        if not mask.base:
            return None
        mask = None
    box = mask.box if isinstance(mask, BoxMask) else None
    is_affine = pointer.addresses is None and (mask is None or box is not None)
    # min() answers for nearly all blocks, whose strides are positive; only the others are looked at by dimension.
    if not is_affine or (pointer.strides and min(pointer.strides) <= 0 and _needs_dense(pointer, verb)):
        return _dense_access(pointer, mask, verb)
    va, shape, origin = pointer.va, pointer.shape, (0,) * len(pointer.shape)
    if box is not None:
        origin = box.lows
        shape = tuple(map(sub, box.highs, origin))
        va += sum(map(mul, origin, pointer.strides))
    # Of lanes that write one address the last one counts, and runs do not keep the order of lanes.
    if verb == "writes" and len(shape) > 1 and _may_overlap(shape, pointer.strides, pointer.dtype.itemsize):
        return _dense_access(pointer, mask, verb)
    # If the bounds of all lanes lie inside, the lanes do. They may be too wide, though (they were added up on the way
    # here), and a mask keeps lanes off, so outside of the tensor the active lanes themselves decide.
    if box is not None or not _is_inside(pointer, pointer.low, pointer.high):
        _check(pointer, *span(va, pointer.strides, shape), verb)
    return Access(
        va=va,
        itemsize=pointer.dtype.itemsize,
        block_shape=pointer.shape,
        shape=shape,
        strides=pointer.strides,
        origin=origin,
        wrapped=pointer.wrapped,
    )


def _needs_dense(pointer: Pointer, verb: str) -> bool:
    """Runs go forward; and lanes that write one address must keep their order."""
    return any(
        stride < 0 or (stride == 0 and verb == "writes" and extent > 1)
        for extent, stride in zip(pointer.shape, pointer.strides, strict=True)
    )


def _may_overlap(shape: Shape, strides: tuple[int, ...], itemsize: int) -> bool:
    """Whether two lanes may lie on one address: not where each dimension steps over all that the finer ones reach."""
    reach = itemsize
    for stride, extent in sorted(zip(strides, shape, strict=True)):
        if extent > 1:
            if stride < reach:
                return True
            reach += stride * (extent - 1)
    return False


def _dense_access(pointer: Pointer, mask: Known | None, verb: str) -> Access | None:
    every = pointer.dense().reshape(-1)
    lanes = np.arange(every.size) if mask is None else np.flatnonzero(mask.dense())
    if not len(lanes):
        return None
    addresses = every[lanes]
    low, high = int(addresses.min()), int(addresses.max())
    _check(pointer, low, high, verb)
    return Access(
        va=low,
        itemsize=pointer.dtype.itemsize,
        block_shape=pointer.shape,
        shape=(len(lanes),),
        strides=(),
        origin=(),
        addresses=addresses,
        lanes=lanes.astype(np.int64),
        wrapped=pointer.wrapped,
    )


def _is_inside(pointer: Pointer, low: int, high: int) -> bool:
    tensor = pointer.tensor
    return tensor is None or (
        tensor.va <= low and high + pointer.dtype.itemsize <= tensor.va + tensor.size_bytes
    )


def _check(pointer: Pointer, low: int, high: int, verb: str) -> None:
    tensor = pointer.tensor
    if tensor is None or _is_inside(pointer, low, high):
        return
    end = tensor.va + tensor.size_bytes
    va = low if low < tensor.va else high
    cure = "check its shape and strides" if verb == "names" else "add a mask that keeps such lanes off"
    if pointer.wrapped is not None:
        cure = pointer.wrapped.cure
    raise PageFaultError(
        f"{here()}: {active().port.pe_name} {verb} VA {va:#x}, outside of tensor {tensor.name!r} "
        f"{describe(tensor.shape, tensor.dtype)} at VA [{tensor.va:#x}, {end:#x}); {cure}"
    )
