"""Arguments of ``tl`` that are no blocks: dtypes and extents, as a kernel writes them."""

from __future__ import annotations

from typing import Any

from kernbench.dtypes import DType, as_dtype
from kernbench.errors import DTypeError, ShapeError
from kernbench.lang.source import here
from kernbench.ops.spec import Shape
from kernbench.wording import quoted


def dtype_of(spec: Any) -> DType:
    """A dtype argument; a wrong one is an error that names the kernel's line."""
    try:
        return as_dtype(spec)
    except DTypeError as error:
        raise DTypeError(f"{here()}: {error}") from None


def extent_tuple(shape: Any, what: str) -> Shape:
    """A shape argument: one extent or several, whatever counts as an integer.

    Raises:
        ShapeError: an extent is negative.
    """
    extents = shape if isinstance(shape, (tuple, list)) else (shape,)
    try:
        out = tuple([e if type(e) is int else e.__index__() for e in extents])
    except AttributeError:
        raise ShapeError(f"{here()}: {what} must be integers, not {quoted(shape)}") from None
    if any(e < 0 for e in out):
        raise ShapeError(f"{here()}: {what} {list(out)} has a negative extent")
    return out
