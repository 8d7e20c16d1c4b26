"""Where a kernel's integers wrap, as the compiler's do: remembered beside a block, for the message of a fault."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kernbench.dtypes import DType
from kernbench.lang.known import LIMITS, Known
from kernbench.lang.source import here
from kernbench.messages.access import Wrapped

# They take Python's integers, which do not wrap, and arrays.
_OPS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "shl": operator.lshift,
}


def may_wrap(op: str, dtype: DType) -> bool:
    """Whether ``op`` in ``dtype`` can leave a range that int64 would hold."""
    return op in _OPS and dtype.bits < 64 and dtype in LIMITS


def inherited(blocks: Sequence[Any]) -> Wrapped | None:
    """Where the first of ``blocks`` that wrapped did."""
    return next((block.wrapped for block in blocks if block.wrapped is not None), None)


def wrapped_in(op: str, blocks: Sequence[Known], result: Known) -> Wrapped | None:
    """Where ``result``, ``op`` of known blocks, or something that it was made from wrapped; None if nothing did."""
    before = inherited(blocks)
    if before is not None or not may_wrap(op, result.dtype) or not result.numel:
        return before
    (low, high), (a, b) = LIMITS[result.dtype], blocks
    # What an op gives of two ranges is between what it gives of their ends; a shift may be beyond all reason.
    if op != "shl" and all(low <= _OPS[op](x, y) <= high for x in _bounds(a) for y in _bounds(b)):
        return None
    exact = _OPS[op](a.dense().astype(np.int64), b.dense().astype(np.int64))
    return Wrapped(here(), result.dtype, True) if (exact != result.dense()).any() else None


def _bounds(block: Known) -> tuple[int, int]:
    """The smallest and the largest element."""
    if block.array is None:
        return int(block.low), int(block.high)
    return int(block.array.min()), int(block.array.max())
