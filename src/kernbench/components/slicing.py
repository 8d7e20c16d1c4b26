"""Parts of an access: what a tile of a block touches. Pure arithmetic."""

from __future__ import annotations

import numpy as np

from kernbench.messages.access import Access

Box = tuple[tuple[int, int], ...]
"""``(start, stop)`` along each dimension of a block."""


def slice_access(access: Access, box: Box) -> Access:
    """The part of ``access`` inside ``box`` of its block, as an access of a block of the box's shape.

    Lanes that were inactive stay so. The slices of boxes that tile the block move every byte exactly once, except
    along a broadcast dimension (stride 0), whose bytes each slice moves again.
    """
    block_shape = tuple(stop - start for start, stop in box)
    if access.addresses is not None:
        return _slice_dense(access, box, block_shape)
    va, shape, origin = access.va, [], []
    for (start, stop), first, extent, stride in zip(
        box, access.origin, access.shape, access.strides, strict=True
    ):
        low, high = max(start, first), min(stop, first + extent)
        active = max(0, high - low)
        va += (low - first) * stride if active else 0
        shape.append(active)
        origin.append(low - start if active else 0)
    return Access(
        va=va,
        itemsize=access.itemsize,
        block_shape=block_shape,
        shape=tuple(shape),
        strides=access.strides,
        origin=tuple(origin),
        wrapped=access.wrapped,
    )


def _slice_dense(access: Access, box: Box, block_shape: tuple[int, ...]) -> Access:
    assert access.addresses is not None
    assert access.lanes is not None
    places = np.unravel_index(access.lanes, access.block_shape)
    inside = np.ones(len(access.lanes), dtype=bool)
    for place, (start, stop) in zip(places, box, strict=True):
        inside &= (place >= start) & (place < stop)
    moved = tuple(place[inside] - start for place, (start, _) in zip(places, box, strict=True))
    addresses = access.addresses[inside]
    return Access(
        va=access.va,
        itemsize=access.itemsize,
        block_shape=block_shape,
        shape=(len(addresses),),
        strides=(),
        origin=access.origin,
        addresses=addresses,
        lanes=np.ravel_multi_index(moved, block_shape).astype(np.int64),
        wrapped=access.wrapped,
    )


def aligned_box(box: Box, shape: tuple[int, ...]) -> Box:
    """What ``box`` of a block means for an operand of ``shape`` that broadcasts to it, last dimensions aligned.

    >>> aligned_box(((0, 4), (8, 16)), (1, 32)), aligned_box(((0, 4), (8, 16)), (32,))
    (((0, 1), (8, 16)), ((8, 16),))
    """
    return tuple(
        (0, 1) if extent == 1 else part
        for part, extent in zip(box[len(box) - len(shape) :], shape, strict=True)
    )


def row_boxes(shape: tuple[int, ...], n_elem: int) -> list[Box]:
    """Boxes of at most ``n_elem`` elements (one, if less) that tile a block, in C order: last dimensions whole first.

    >>> row_boxes((4, 8), 16)
    [((0, 2), (0, 8)), ((2, 4), (0, 8))]
    """
    room = n_elem
    extents: list[int] = []
    for extent in reversed(shape):
        step = max(1, min(extent, room))
        extents.insert(0, step)
        room = room // step if step == extent else 1
    boxes: list[Box] = [()]
    for extent, step in zip(shape, extents, strict=True):
        parts = [(at, min(at + step, extent)) for at in range(0, extent, step)]
        boxes = [(*box, part) for box in boxes for part in parts]
    return boxes
