"""An access and its block: bytes in memory order on one side, an array of lanes on the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DType, int1
from kernbench.messages.access import Access

Block = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]


def upward(access: Access) -> tuple[Access, tuple[int, ...]]:
    """``access`` with every stride turned to climb, and the dimensions that were turned."""
    if min(access.strides, default=0) >= 0:
        return access, ()
    turned = tuple(d for d, stride in enumerate(access.strides) if stride < 0)
    return (
        Access(
            va=access.va + sum((access.shape[d] - 1) * access.strides[d] for d in turned if access.shape[d]),
            itemsize=access.itemsize,
            block_shape=access.block_shape,
            shape=access.shape,
            strides=tuple(abs(stride) for stride in access.strides),
            origin=access.origin,
        ),
        turned,
    )


def block_of(buffer: Bytes, access: Access, dtype: DType, fill: Block | None = None) -> Block:
    """The block ``[*access.block_shape]`` of ``dtype`` that a load makes of ``buffer``.

    ``buffer`` holds the access's bytes in memory order. Lanes outside of the active box become ``fill``, an
    array of ``dtype`` that broadcasts to the block, or zero for None. The block is C-contiguous.
    """
    elements = buffer != 0 if dtype is int1 else buffer.view(dtype.numpy)
    if access.addresses is not None:
        block = _filled(access.block_shape, dtype, fill)
        block.reshape(-1)[access.lanes] = elements
        return block
    box = elements.reshape(access.shape) if _is_in_c_order(access) else _box(elements, access)
    if access.shape == access.block_shape:
        return np.ascontiguousarray(box).reshape(access.block_shape)  # of no dimensions, it has made one
    block = _filled(access.block_shape, dtype, fill)
    block[_active(access)] = box
    return block


def bytes_of(block: Block, access: Access) -> Bytes:
    """The bytes a store of ``block`` moves, in memory order; of lanes on one address the last one's."""
    if block.shape != access.block_shape:
        block = np.broadcast_to(block, access.block_shape)
    if _is_in_c_order(access):
        box = block if access.shape == access.block_shape else block[_active(access)]
        return np.ascontiguousarray(box).reshape(-1).view(np.uint8)
    if access.addresses is not None:
        return np.ascontiguousarray(block.reshape(-1)[access.lanes]).view(np.uint8)
    climbing, turned = upward(access)
    order = climbing.runs()[3]
    box = np.flip(block[_active(access)], turned)
    moved = box[tuple(slice(None) if d in order else -1 for d in range(box.ndim))] if box.size else box
    by_memory = sorted(order)
    elements = moved.transpose([by_memory.index(d) for d in order]) if box.size else moved
    return np.ascontiguousarray(elements).reshape(-1).view(np.uint8)


def _is_in_c_order(access: Access) -> bool:
    """Whether the lanes lie in memory as they do in the block, each on bytes of its own: nearly always."""
    if access.addresses is not None:
        return False
    coarser = None
    for extent, stride in zip(access.shape, access.strides, strict=True):
        if extent != 1:
            if stride <= 0 or (coarser is not None and stride > coarser):
                return False
            coarser = stride
    return True


def _active(access: Access) -> tuple[slice, ...]:
    """Where the active box lies in the block."""
    return tuple(slice(at, at + n) for at, n in zip(access.origin, access.shape, strict=True))


def _box(elements: Block, access: Access) -> Block:
    """The active box ``[*access.shape]``: a view of ``elements``, which are in memory order."""
    if 0 in access.shape:
        return elements[:0].reshape(access.shape)
    climbing, turned = upward(access)
    order = climbing.runs()[3]
    in_memory = elements.reshape([access.shape[d] for d in order])
    in_block = in_memory.transpose([order.index(d) for d in sorted(order)])
    spread = in_block[tuple(slice(None) if d in order else None for d in range(len(access.shape)))]
    return np.flip(np.broadcast_to(spread, access.shape), turned)


def _filled(shape: tuple[int, ...], dtype: DType, fill: Block | None) -> Block:
    block = np.zeros(shape, dtype.numpy)
    if fill is not None:
        block[...] = fill
    return block
