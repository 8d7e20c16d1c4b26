"""Known values: what follows from program ids, arguments, constexprs and shapes alone, computed at once, at no cost.

Index blocks stay affine (base and a stride per dimension) and masks stay boxes as long as they can, in Python ints;
anything else is a dense numpy array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DTYPES, DType, NumberKind, int1, int32
from kernbench.errors import ShapeError, UsageError
from kernbench.lang.affine import (
    Box,
    Strides,
    at_zero,
    below_zero,
    dimensions_of,
    intersect,
    materialise,
    merge,
    padded,
    span,
    widen,
)
from kernbench.lang.block import Block, active, describe
from kernbench.lang.source import here
from kernbench.messages.access import Wrapped
from kernbench.messages.commands import IMMEDIATE, Operand
from kernbench.ops.numerics import Number, as_array, int_limits, promote
from kernbench.ops.spec import Shape

# Affine blocks are computed in int64 when they become dense, so uint64 keeps to its range.
LIMITS = {
    dtype: (int_limits(dtype)[0], min(int_limits(dtype)[1], (1 << 63) - 1))
    for dtype in DTYPES
    if dtype.kind is NumberKind.INT
}

Rule = Callable[["Known", "Known"], "Known | None"]


def _other(a: Known, b: Any) -> Known | None:
    """``b`` as an affine integer block that meets ``a`` as it is; None when that takes the general way."""
    if a.array is not None or a.dtype not in LIMITS:
        return None
    if (
        isinstance(b, int) and type(b) is not bool
    ):  # to Python a bool is an int; to the compiler it is an int1
        low, high = LIMITS[a.dtype]
        return Known(a.dtype, (), b, (), b, b) if low <= b <= high else None
    if type(b) is not Known or b.array is not None:
        return None
    if b.dtype is a.dtype:
        return b
    if b.dtype not in LIMITS:
        return None
    # Met unsigned, a negative element is a huge one: the affine form would say otherwise.
    meets_at = promote(a.dtype, b.dtype)
    fits = meets_at.signed or (a.low >= 0 and b.low >= 0)
    return b if fits else None


def _merged(a: Known, strides_a: Strides, b: Known, strides_b: Strides) -> tuple[Shape, Strides]:
    try:
        return merge(a.shape, strides_a, b.shape, strides_b)
    except ShapeError as error:
        raise ShapeError(f"{here()}: {error}") from None


def _affine(
    a: Known, b: Known, shape: Shape, base: int, strides: Strides, low: int, high: int
) -> Known | None:
    """An affine result in the dtype of both; None when an element would wrap."""
    dtype = a.dtype if a.dtype is b.dtype else promote(a.dtype, b.dtype)
    least, most = LIMITS[dtype]
    if low < least or high > most:
        # The bounds came from those of the operands, as if these were independent: x - x spans more by them than it
        # does. Only now it is worth asking what the elements really span.
        low, high = span(base, strides, shape)
        if low < least or high > most:
            return None
    return Known(dtype, shape, base, strides, low, high, None, a.wrapped or b.wrapped)


def _sum(a: Known, b: Known) -> Known | None:
    shape, strides = _merged(a, a.strides, b, b.strides)
    return _affine(a, b, shape, a.base + b.base, strides, a.low + b.low, a.high + b.high)


def _difference(a: Known, b: Known) -> Known | None:
    shape, strides = _merged(a, a.strides, b, _negated(b.strides))
    return _affine(a, b, shape, a.base - b.base, strides, a.low - b.high, a.high - b.low)


def _negated(strides: Strides) -> Strides:
    return tuple([-s for s in strides])


def _product(a: Known, b: Known) -> Known | None:
    if any(b.strides):
        if any(a.strides):
            return None  # i * j is affine in neither
        a, b = b, a
    factor = b.base
    low, high = (a.low * factor, a.high * factor) if factor >= 0 else (a.high * factor, a.low * factor)
    shape, strides = _merged(a, tuple([s * factor for s in a.strides]), b, b.strides)
    return _affine(a, b, shape, a.base * factor, strides, low, high)


def _may_divide(a: Known, b: Known) -> bool:
    """Whether C's and Python's ``a / b`` agree: nothing negative."""
    return not any(b.strides) and b.base > 0 and a.low >= 0 and a.dtype.signed == b.dtype.signed


def _quotient(a: Known, b: Known) -> Known | None:
    if not _may_divide(a, b):
        return None
    divisor = b.base
    base, low, high = a.base // divisor, a.low // divisor, a.high // divisor
    if low == high:  # all in one quotient, as tl.arange(0, 64) // 64: a constant, whatever the strides
        strides: Strides = (0,) * len(a.strides)
        base = low
    elif all(s % divisor == 0 for s in a.strides):
        strides = tuple([s // divisor for s in a.strides])
    else:
        return None
    shape, strides = _merged(a, strides, b, b.strides)
    return _affine(a, b, shape, base, strides, low, high)


def _remainder(a: Known, b: Known) -> Known | None:
    if not _may_divide(a, b):
        return None
    divisor = b.base
    skipped = a.low // divisor
    if skipped == a.high // divisor:  # no element passes a multiple of the divisor: the block only moves down
        base, strides = a.base - skipped * divisor, a.strides
        low, high = a.low - skipped * divisor, a.high - skipped * divisor
    elif all(s % divisor == 0 for s in a.strides):
        base = low = high = a.base % divisor
        strides = (0,) * len(a.strides)
    else:
        return None
    shape, strides = _merged(a, strides, b, b.strides)
    return _affine(a, b, shape, base, strides, low, high)


def _mask(shape: Shape, found: bool | Box | None) -> Known | None:
    if found is None:
        return None
    if isinstance(found, bool):
        return constant(found, int1, shape)
    return BoxMask(shape, found)


def _below(slack: int, a: Known, b: Known) -> Known | None:
    """``a - b < slack``."""
    shape, strides = _merged(a, a.strides, b, _negated(b.strides))
    return _mask(shape, below_zero(a.base - b.base - slack, strides, shape))


def _above(slack: int, a: Known, b: Known) -> Known | None:
    """``b - a < slack``."""
    return _below(slack, b, a)


def _equal(a: Known, b: Known) -> Known | None:
    shape, strides = _merged(a, a.strides, b, _negated(b.strides))
    return _mask(shape, at_zero(a.base - b.base, strides, shape))


def _other_mask(a: Known, b: Any) -> Known | None:
    """``b`` as a known mask beside a mask; None when that takes the general way."""
    return b if a.dtype is int1 and isinstance(b, Known) and b.dtype is int1 else None


def _both(a: Known, b: Known) -> Known | None:
    """``a & b`` of masks."""
    for one, other in ((a, b), (b, a)):
        if one.is_constant:
            shape, _ = _merged(a, (), b, ())
            return other.widened(shape) if one.base else constant(False, int1, shape)
    if isinstance(a, BoxMask) and isinstance(b, BoxMask):
        shape, _ = _merged(a, (), b, ())
        box = intersect(widen(a.box, a.shape, shape), widen(b.box, b.shape, shape))
        return constant(False, int1, shape) if box is None else BoxMask(shape, box)
    return None


def _applied(rule: Rule, a: Known, b: Any) -> Known | None:
    """What ``rule`` gives of ``a`` and ``b``; None when that takes the general way."""
    other = _other(a, b)
    return None if other is None else rule(a, other)


def _operator(
    name: str, rule: Rule, meet: Callable[[Known, Any], Known | None] = _other
) -> Callable[[Known, Any], Any]:
    """Block's operator ``name``, but for what ``rule`` gives where it is not None, of operands that ``meet``."""
    general = getattr(Block, name)

    def apply(self: Known, other: Any) -> Any:
        known = meet(self, other)
        out = None if known is None else rule(self, known)
        return general(self, other) if out is None else out

    return apply


@dataclass(slots=True, eq=False, repr=False)
class Known(Block):
    """A value known at issue.

    Affine (``array`` is None): element ``(i, j)`` is ``base + i * strides[0] + j * strides[1]``; with all
    strides 0 it is a constant, of any dtype; with shape ``()`` a scalar. ``low`` and ``high`` bound an integer's
    elements. Dense: ``array``, of the dtype's numpy type. A mask that is a box is a :class:`BoxMask`. Never changes.
    ``made`` is the handle of it in TCM, once a program has needed it there; ``wrapped`` says where an integer that it
    was computed from wrapped.
    """

    dtype: DType
    shape: Shape
    base: Any
    strides: Strides
    low: Any
    high: Any
    array: npt.NDArray[Any] | None = None
    wrapped: Wrapped | None = None
    made: Block | None = field(default=None, init=False)
    _carried: Operand | None = field(default=None, init=False)

    # -- forms --------------------------------------------------------------------------------------------

    @property
    def is_constant(self) -> bool:
        """Whether all elements are known to be equal."""
        return self.array is None and not any(self.strides)

    def dense(self) -> npt.NDArray[Any]:
        """All elements, an array of ``shape``."""
        if self.array is not None:
            return self.array
        if any(self.strides):
            return materialise(self.base, self.strides, self.shape).astype(self.dtype.numpy)
        return np.full(self.shape, as_array(self.base, self.dtype))

    def operand(self) -> Operand:
        """What a command carries: an array that broadcasts to ``shape``."""
        if self._carried is None:  # a mask or an index in many commands is written out once
            value = as_array(self.base, self.dtype) if self.is_constant else self.dense()
            self._carried = Operand(shape=self.shape, dtype=self.dtype, space=IMMEDIATE, value=value)
        return self._carried

    # -- shape --------------------------------------------------------------------------------------------

    def __getitem__(self, index: object) -> Known:
        dims = dimensions(self, index)
        shape = tuple(1 if d < 0 else self.shape[d] for d in dims)
        if self.array is not None:
            return Known(self.dtype, shape, None, (), None, None, self.array.reshape(shape), self.wrapped)
        strides = tuple(0 if d < 0 else self.strides[d] for d in dims)
        return self._placed(shape, strides)

    def reshaped(self, shape: Shape) -> Known:
        """The elements in C order, in another shape of as many."""
        if self.is_constant:
            return self._placed(shape, (0,) * len(shape))
        return from_array(self.dense().reshape(shape), self.dtype, self.wrapped)

    def widened(self, shape: Shape) -> Known:
        """The block broadcast to ``shape``, which it must fit."""
        if self.array is not None:
            return from_array(np.broadcast_to(self.array, shape), self.dtype, self.wrapped)
        return self._placed(shape, padded(self.strides, len(shape)))

    def permuted(self, dims: tuple[int, ...]) -> Known:
        """The block with its dimensions in the order ``dims``."""
        if self.array is not None:
            return from_array(np.transpose(self.array, dims), self.dtype, self.wrapped)
        return self._placed(*(tuple(x[d] for d in dims) for x in (self.shape, self.strides)))

    def _placed(self, shape: Shape, strides: Strides) -> Known:
        """Affine elements of equal values in another shape."""
        return Known(self.dtype, shape, self.base, strides, self.low, self.high, None, self.wrapped)

    def recast(self, dtype: DType) -> Known | None:
        """The block in another integer dtype that holds all its elements; None when it takes an evaluation."""
        if self.array is None and self.dtype in LIMITS and dtype in LIMITS:
            low, high = LIMITS[dtype]
            if low <= self.low and self.high <= high:
                return Known(
                    dtype, self.shape, self.base, self.strides, self.low, self.high, None, self.wrapped
                )
        return None

    # -- arithmetic that stays affine ---------------------------------------------------------------------

    __add__, __radd__ = _operator("__add__", _sum), _operator("__radd__", _sum)
    __sub__ = _operator("__sub__", _difference)
    __mul__, __rmul__ = _operator("__mul__", _product), _operator("__rmul__", _product)
    __floordiv__, __mod__ = _operator("__floordiv__", _quotient), _operator("__mod__", _remainder)

    def __rsub__(self, other: Any) -> Any:
        negated = _applied(_product, self, -1)
        out = None if negated is None else _applied(_sum, negated, other)
        return active().operate("sub", other, self) if out is None else out

    def __neg__(self) -> Any:
        out = _applied(_product, self, -1)
        return active().apply("neg", (self,)) if out is None else out

    # -- comparisons that stay boxes ----------------------------------------------------------------------

    __lt__, __le__ = _operator("__lt__", partial(_below, 0)), _operator("__le__", partial(_below, 1))
    __gt__, __ge__ = _operator("__gt__", partial(_above, 0)), _operator("__ge__", partial(_above, 1))
    __eq__ = _operator("__eq__", _equal)
    __and__ = _operator("__and__", _both, _other_mask)

    def __ne__(self, other: Any) -> Any:
        out = _applied(_equal, self, other)
        if out is not None and type(out) is Known:
            return constant(not out.base, int1, out.shape)
        return active().operate("ne", self, other)

    # -- Python's view of a scalar ------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self._scalar("bool()"))

    def __int__(self) -> int:
        return int(self._scalar("int()"))

    def __index__(self) -> int:
        if self.dtype.is_float:
            raise UsageError(f"{here()}: {self.dtype} is no index; cast it with .to(tl.int32)")
        return int(self._scalar("an index"))

    def __float__(self) -> float:
        return float(self._scalar("float()"))

    def item(self) -> Number:
        """The only element, as a Python number."""
        value = self._scalar(".item()")
        if self.dtype.kind is NumberKind.BOOL:
            return bool(value)
        return float(value) if self.dtype.is_float else int(value)

    def __hash__(self) -> int:
        # A scalar is the key that its number is: kernels look into dicts by tl.program_id(0).
        return hash(self.base) if not self.shape and self.array is None else id(self)

    def __str__(self) -> str:
        if self.numel == 1:
            return str(self.item())
        return str(self.dense())

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.numel == 1 and spec else str(self), spec)

    def __repr__(self) -> str:
        return f"{describe(self.shape, self.dtype)}({self.item() if self.numel == 1 else '...'})"

    def _scalar(self, what: str) -> Any:
        if self.numel != 1:
            raise UsageError(
                f"{here()}: {what} of {describe(self.shape, self.dtype)} is ambiguous; it needs a scalar: reduce the "
                "block first, or use & | ~ and tl.where on blocks"
            )
        return self.base if self.is_constant else self.dense().reshape(-1)[0]


class BoxMask(Known):
    """A mask that holds in a box of lanes: not everywhere, not nowhere."""

    __slots__ = ("box",)

    def __init__(self, shape: Shape, box: Box) -> None:
        super().__init__(int1, shape, None, (), False, True)
        self.box = box

    @property
    def is_constant(self) -> bool:
        """Never: a box that is all or nothing is a constant."""
        return False

    def dense(self) -> npt.NDArray[Any]:
        """All elements."""
        out = np.zeros(self.shape, np.bool_)
        out[tuple(map(slice, self.box.lows, self.box.highs))] = True
        return out

    def __getitem__(self, index: object) -> Known:
        dims = dimensions(self, index)
        return BoxMask(
            tuple(1 if d < 0 else self.shape[d] for d in dims),
            Box(
                tuple(0 if d < 0 else self.box.lows[d] for d in dims),
                tuple(1 if d < 0 else self.box.highs[d] for d in dims),
            ),
        )

    def widened(self, shape: Shape) -> Known:
        """The mask broadcast to ``shape``."""
        return BoxMask(shape, widen(self.box, self.shape, shape))

    def permuted(self, dims: tuple[int, ...]) -> Known:
        """The mask with its dimensions in the order ``dims``."""
        lows, highs = (tuple(x[d] for d in dims) for x in self.box)
        return BoxMask(tuple(self.shape[d] for d in dims), Box(lows, highs))


def scalar(value: Number, dtype: DType) -> Known:
    """A known scalar; ``value`` fits ``dtype`` exactly."""
    return Known(dtype, (), value, (), value, value)


def constant(value: Any, dtype: DType, shape: Shape) -> Known:
    """A block of one value, which fits ``dtype`` exactly."""
    return Known(dtype, shape, value, (0,) * len(shape), value, value)


def from_array(array: npt.NDArray[Any], dtype: DType, wrapped: Wrapped | None = None) -> Known:
    """A dense block; a single element becomes a constant."""
    if array.size == 1:
        element = array.reshape(-1)[0]
        value = bool(element) if dtype is int1 else float(element) if dtype.is_float else int(element)
        return Known(dtype, array.shape, value, (0,) * array.ndim, value, value, None, wrapped)
    return Known(dtype, array.shape, None, (), None, None, array, wrapped)


def arange(start: int, end: int) -> Known:
    """``[start, end)`` as an int32 block."""
    return Known(int32, (end - start,), start, (1 if end - start > 1 else 0,), start, end - 1)


def dimensions(block: Block, index: object) -> tuple[int, ...]:
    """The dimension of ``block`` at each place of its index; -1 for a new one."""
    try:
        return dimensions_of(index, len(block.shape))
    except IndexError:
        raise UsageError(
            f"{here()}: a block is indexed with ':', None and '...' only; tl.load reads part of a tensor"
        ) from None


def extreme(a: Any, b: Any, *, largest: bool) -> Known | None:
    """The larger (or smaller) of two integer blocks where their bounds decide it; None where they do not."""
    if not isinstance(a, Known):
        a, b = b, a
    other = _other(a, b) if isinstance(a, Known) else None
    if other is None or a.dtype is not other.dtype:
        return None  # the result is in the dtype where the two meet
    for one, two in ((a, other), (other, a)):
        if one.low >= two.high if largest else one.high <= two.low:
            shape, strides = _merged(one, one.strides, two, (0,) * len(two.shape))
            return Known(one.dtype, shape, one.base, strides, one.low, one.high, None, one.wrapped)
    return None


def known_number(value: Number, dtype: DType) -> Known:
    """A Python number as a scalar of ``dtype``, rounded to it (an integer wraps)."""
    if isinstance(value, float):
        return _known_float(value.hex(), dtype)
    if dtype in LIMITS and LIMITS[dtype][0] <= value <= LIMITS[dtype][1]:
        return scalar(int(value), dtype)
    return from_array(as_array(value, dtype), dtype)


@lru_cache(maxsize=1024)
def _known_float(text: str, dtype: DType) -> Known:
    """A float by its hexadecimal text, which unlike its value tells -0.0 from 0.0."""
    return from_array(as_array(float.fromhex(text), dtype), dtype)
