"""Arithmetic on affine index blocks: element ``(i, j, ...)`` is ``base + i * strides[0] + j * strides[1] + ...``.

Pure functions on Python ints and tuples; a dimension of extent 1 has stride 0. What leaves this form is dense.
"""

from __future__ import annotations

from math import prod
from operator import add
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kernbench.ops.spec import Shape, broadcast_shape

Strides = tuple[int, ...]
ALL = slice(None)


class Box(NamedTuple):
    """The lanes ``lows[d] <= i_d < highs[d]``; at least one."""

    lows: tuple[int, ...]
    highs: tuple[int, ...]


def merge(shape_a: Shape, strides_a: Strides, shape_b: Shape, strides_b: Strides) -> tuple[Shape, Strides]:
    """Shape and strides of the sum of two affine blocks."""
    # Kernels add scalars to index blocks, and blocks of one shape, a thousand times for every broadcast.
    if shape_a == shape_b:
        return shape_a, tuple(map(add, strides_a, strides_b))
    if not shape_b:
        return shape_a, strides_a
    if not shape_a:
        return shape_b, strides_b
    shape = broadcast_shape(shape_a, shape_b)
    rank = len(shape)
    return shape, tuple(map(add, padded(strides_a, rank), padded(strides_b, rank)))


def padded(strides: Strides, rank: int) -> Strides:
    """``strides`` with zeros in front, for ``rank`` dimensions."""
    return strides if len(strides) == rank else (0,) * (rank - len(strides)) + strides


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Elements from one index to the next, per dimension, without gaps.

    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(prod(shape[d + 1 :]) for d in range(len(shape)))


def span(base: int, strides: Strides, shape: Shape) -> tuple[int, int]:
    """Smallest and largest element."""
    low = high = base
    for extent, stride in zip(shape, strides, strict=True):
        if stride > 0:
            high += stride * (extent - 1)
        elif stride < 0:
            low += stride * (extent - 1)
    return low, high


def materialise(base: int, strides: Strides, shape: Shape) -> npt.NDArray[np.int64]:
    """All elements, as int64."""
    out = np.full(shape, base, np.int64)
    for d, stride in enumerate(strides):
        if stride:
            steps = np.arange(shape[d], dtype=np.int64) * stride
            out += steps.reshape((-1,) + (1,) * (len(shape) - d - 1))
    return out


def below_zero(base: int, strides: Strides, shape: Shape) -> bool | Box | None:
    """Where ``base + i * strides < 0``: everywhere, nowhere, in a box, or (None) in no such simple region."""
    low, high = span(base, strides, shape)
    if high < 0:
        return True
    if low >= 0:
        return False
    varying = [d for d, stride in enumerate(strides) if stride]
    if len(varying) != 1:
        return None  # the border runs across two dimensions, as that of i + j < n
    (d,) = varying
    stride = strides[d]
    lows, highs = [0] * len(shape), list(shape)
    if stride > 0:
        highs[d] = -(base // stride)  # the first i with base + i * stride >= 0
    else:
        lows[d] = base // -stride + 1  # the first i with base + i * stride < 0
    return Box(tuple(lows), tuple(highs))


def at_zero(base: int, strides: Strides, shape: Shape) -> bool | Box | None:
    """Where ``base + i * strides == 0``; answers as :func:`below_zero`."""
    low, high = span(base, strides, shape)
    if low == high:
        return low == 0
    if low > 0 or high < 0:
        return False
    varying = [d for d, stride in enumerate(strides) if stride]
    if len(varying) != 1:
        return None
    (d,) = varying
    if base % strides[d]:
        return False
    at = -base // strides[d]
    lows, highs = [0] * len(shape), list(shape)
    lows[d], highs[d] = at, at + 1
    return Box(tuple(lows), tuple(highs))


def widen(box: Box, shape: Shape, target: Shape) -> Box:
    """``box`` of a block of ``shape``, broadcast to ``target``."""
    if shape == target:
        return box
    front = len(target) - len(shape)
    lows, highs = [0] * front, list(target[:front])
    for d, extent in enumerate(shape):
        grows = (
            extent == 1 and target[front + d] != 1
        )  # a box holds a lane, so of extent 1 it holds the only one
        lows.append(0 if grows else box.lows[d])
        highs.append(target[front + d] if grows else box.highs[d])
    return Box(tuple(lows), tuple(highs))


def intersect(a: Box, b: Box) -> Box | None:
    """The lanes in both; None when there is none."""
    lows = tuple(map(max, a.lows, b.lows))
    highs = tuple(map(min, a.highs, b.highs))
    for low, high in zip(lows, highs, strict=True):
        if low >= high:
            return None
    return Box(lows, highs)


def dimensions_of(index: object, rank: int) -> tuple[int, ...]:
    """What ``block[index]`` does, for ``:``, ``None`` and ``...``: the source dimension of each (-1: a new one).

    Raises:
        IndexError: the index asks for more than new dimensions.
    """
    parts = index if type(index) is tuple else (index,)
    n_old = sum(part is not None and part is not Ellipsis for part in parts)
    out: list[int] = []
    at = 0
    for part in parts:
        if part is None:
            out.append(-1)
        elif part is Ellipsis:
            out.extend(range(at, at + rank - n_old))
            at += rank - n_old
        elif isinstance(part, slice) and part == ALL and at < rank:
            out.append(at)
            at += 1
        else:
            raise IndexError
    out.extend(range(at, rank))
    return tuple(out)
