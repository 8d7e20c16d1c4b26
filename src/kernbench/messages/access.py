"""An access: which bytes of virtual memory a load or store touches, as affine runs or as a dense list.

The same object is what a kernel asks for, what PE_DMA times and what Phase 2 moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, NewType

import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DType
from kernbench.messages.source_line import SourceLine

VirtualAddress = NewType("VirtualAddress", int)
PhysicalAddress = NewType("PhysicalAddress", int)


class Wrapped(NamedTuple):
    """Where the integers that an address was computed from left their ``dtype``, or may have, and wrapped."""

    line: SourceLine
    dtype: DType
    is_certain: bool

    @property
    def cure(self) -> str:
        """What to do, for the message of a fault."""
        cure = "compute it in int64, as in x.to(tl.int64) * y"
        if self.is_certain:
            return f"an offset left {self.dtype} at {self.line} and wrapped: {cure}"
        return f"an offset was computed in {self.dtype} at {self.line}; if it wrapped there, {cure}"


Runs = tuple[int, int, tuple[tuple[int, int], ...], tuple[int, ...]]


@dataclass(slots=True, eq=False, kw_only=True)
class Access:
    """Element ``(i, j, ...)`` of the active box lies at ``va + sum(i_d * strides[d])``.

    ``block_shape`` is the shape the kernel sees; the active box has shape ``shape`` and starts at ``origin``
    within it (a mask that is a box); lanes outside move no bytes. A dense access (gather, scatter, ragged
    mask) has ``addresses``: the VA of each active lane in C order, ``lanes``: their flat positions in
    the block (int64 arrays), and empty ``strides``; its ``shape`` is ``(number of active lanes,)``.
    Frozen by convention: made once, shared by timing and values. ``wrapped`` is for the message of a fault.
    """

    va: int
    itemsize: int
    block_shape: tuple[int, ...]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    origin: tuple[int, ...]
    addresses: npt.NDArray[np.int64] | None = None
    lanes: npt.NDArray[np.int64] | None = None
    wrapped: Wrapped | None = None
    _runs: Runs | None = field(default=None, init=False)

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two affine accesses the same apart from their VA."""
        return (self.itemsize, self.shape, self.strides)

    def bounds(self) -> tuple[int, int]:
        """The half-open VA interval that holds every byte touched; ``(va, va)`` when none is."""
        if self.addresses is not None:
            if not len(self.addresses):
                return (self.va, self.va)
            return (int(self.addresses.min()), int(self.addresses.max()) + self.itemsize)
        if 0 in self.shape:
            return (self.va, self.va)
        low = high = self.va
        for extent, stride in zip(self.shape, self.strides, strict=True):
            reach = (extent - 1) * stride
            low, high = (low + reach, high) if reach < 0 else (low, high + reach)
        return (low, high + self.itemsize)

    def runs(self) -> Runs:
        """An affine access in memory order: ``(va, run_bytes, outer, order)``.

        ``outer`` is ``((count, stride), ...)``, outermost (largest stride) first: the runs start at
        ``va + sum(i_d * stride_d)``. A dimension of stride 0 (broadcast) is left out: its bytes move once.
        ``order`` lists the block's dimensions with stride != 0 in memory order, so that the bytes of the
        runs, one after the other, are a C-contiguous array of the shape ``[shape[d] for d in order]``.
        Negative strides are turned round by the caller.
        """
        if self._runs is None:
            self._runs = self._as_runs()
        return self._runs

    def _as_runs(self) -> Runs:
        order = sorted(
            (d for d in range(len(self.shape)) if self.strides[d] != 0 and self.shape[d] != 1),
            key=lambda d: (-self.strides[d], d),
        )
        run = self.itemsize
        outer: list[tuple[int, int]] = []
        for d in reversed(order):
            if not outer and self.strides[d] == run:
                run *= self.shape[d]
            elif outer and outer[0][0] * outer[0][1] == self.strides[d]:
                outer[0] = (outer[0][0] * self.shape[d], outer[0][1])
            else:
                outer.insert(0, (self.shape[d], self.strides[d]))
        return self.va, run, tuple(outer), tuple(order)

    @property
    def size_bytes(self) -> int:
        """Bytes that move."""
        size = self.itemsize
        for extent, stride in zip(self.shape, self.strides or (1,) * len(self.shape), strict=True):
            size *= extent if stride != 0 or extent == 0 else 1
        return size

    def overlaps(self, other: Access) -> bool:
        """Whether the two may share a byte: exact for boxes of one row pitch, else by interval."""
        low, high = self.bounds()
        other_low, other_high = other.bounds()
        if low >= other_high or other_low >= high:
            return False
        if self.addresses is not None or other.addresses is not None:
            return True
        return _pitched_boxes_overlap(self, other)


def _pitched_boxes_overlap(a: Access, b: Access) -> bool:
    (va_a, run_a, outer_a, _), (va_b, run_b, outer_b, _) = a.runs(), b.runs()
    pitches = {outer[-1][1] for outer in (outer_a, outer_b) if outer}
    if len(outer_a) > 1 or len(outer_b) > 1 or len(pitches) != 1:
        return True
    (pitch,) = pitches
    rows_a, rows_b = (outer[0][0] if outer else 1 for outer in (outer_a, outer_b))
    base = min(va_a, va_b)
    (row_a, col_a), (row_b, col_b) = divmod(va_a - base, pitch), divmod(va_b - base, pitch)
    if col_a + run_a > pitch or col_b + run_b > pitch:
        return True
    return (
        row_a < row_b + rows_b and row_b < row_a + rows_a and col_a < col_b + run_b and col_b < col_a + run_a
    )
