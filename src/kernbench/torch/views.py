"""Views by PyTorch's rules: arithmetic on shapes, without any memory.

``what`` begins an error, as in "view of 'x'[2, 3]".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernbench.errors import ShapeError
from kernbench.wording import quoted

Shape = tuple[int, ...]


def viewed(what: str, n_elem: int, wanted: tuple[int | Sequence[int], ...]) -> Shape:
    """The shape that ``view(2, -1)`` or ``view((2, -1))`` asks for, of ``n_elem`` elements.

    >>> viewed("view of 'x'[6]", 6, (2, -1))
    (2, 3)
    """
    extents = _extents(what, wanted)
    what = f"{what}: shape {extents}"
    n_open, known = extents.count(-1), math.prod(n for n in extents if n != -1)
    if n_open > 1:
        raise ShapeError(f"{what}: only one dimension can be inferred; write all but one")
    if n_open and known == n_elem == 0:
        raise ShapeError(f"{what}: -1 can be any value where there are 0 elements; write it out")
    fits = n_elem % known == 0 if n_open and known else n_elem == known
    if not fits:
        raise ShapeError(
            f"{what} is invalid for input of size {n_elem}; its extents must multiply to {n_elem}"
        )
    return tuple(n_elem // known if n == -1 else n for n in extents)


def _extents(what: str, wanted: tuple[int | Sequence[int], ...]) -> list[int]:
    """What ``view(2, -1)`` and ``view((2, -1))`` say, checked one by one."""
    if not wanted:
        raise ShapeError(f"{what}: no shape is given; write one, such as (2, -1)")
    extents: Any = wanted[0] if len(wanted) == 1 and isinstance(wanted[0], (tuple, list)) else wanted
    for extent in extents:
        if not isinstance(extent, (int, np.integer)) or extent < -1:
            raise ShapeError(
                f"{what}: {quoted(extent)} is no extent; write integers of 0 or more, and -1 for one of them"
            )
    return [int(extent) for extent in extents]


def flattened(what: str, shape: Shape, start_dim: int, end_dim: int) -> Shape:
    """``shape`` with the dimensions from ``start_dim`` to ``end_dim``, both included, as one."""
    first, last = (_from_front(what, dim, len(shape)) for dim in (start_dim, end_dim))
    if first > last:
        raise ShapeError(f"{what}: start_dim {start_dim} comes after end_dim {end_dim}; give them in order")
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def squeezed(what: str, shape: Shape, dim: int | Sequence[int] | None) -> Shape:
    """``shape`` without its dimensions of extent 1, or without those of them that ``dim`` names."""
    if dim is None:
        return tuple(n for n in shape if n != 1)
    dims = [_from_front(what, d, len(shape)) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    return tuple(n for d, n in enumerate(shape) if n != 1 or d not in dims)


def unsqueezed(what: str, shape: Shape, dim: int) -> Shape:
    """``shape`` with a dimension of extent 1 that becomes dimension ``dim``."""
    at = _from_front(what, dim, len(shape) + 1)
    return (*shape[:at], 1, *shape[at:])


def narrowed(what: str, shape: Shape, dim: int, start: int, length: int) -> tuple[int, int]:
    """``dim`` and ``start``, both counted from the front, of the ``length`` indices of ``dim`` from ``start`` on."""
    if not shape:
        raise ShapeError(f"{what}: it has no dimension to narrow; view it as [1]")
    dim = _from_front(what, dim, len(shape))
    size = shape[dim]
    if not isinstance(start, (int, np.integer)) or not -size <= start <= size:
        raise ShapeError(
            f"{what}: start {quoted(start)} is out of range; give an integer from {-size} to {size}"
        )
    if not isinstance(length, (int, np.integer)) or length < 0:
        raise ShapeError(f"{what}: length {quoted(length)} is no length; give an integer of 0 or more")
    first = int(start) % size if start < 0 else int(start)
    if first + length > size:
        raise ShapeError(
            f"{what}: start ({start}) + length ({length}) exceeds dimension size ({size}); narrow less"
        )
    return dim, first


def _from_front(what: str, dim: int, n_dims: int) -> int:
    n_dims = max(n_dims, 1)  # PyTorch lets a scalar have dimension 0
    if not isinstance(dim, (int, np.integer)) or not -n_dims <= dim < n_dims:
        raise ShapeError(
            f"{what}: dimension out of range: {quoted(dim)}; give one from {-n_dims} to {n_dims - 1}"
        )
    return int(dim) % n_dims
