"""What an op is: the unit it runs on, its shape rule, its work and its meaning in numpy. No speed.

``OPS`` holds every op by name; ``compute`` is the one evaluator that ``timed`` and ``data`` modes both call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DType
from kernbench.errors import ShapeError, UsageError
from kernbench.registry import Registry

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Attrs = Mapping[str, Any]


class Example(NamedTuple):
    """A call on which an op is tried: its operands and its attributes."""

    operands: tuple[Array, ...]
    attrs: Attrs


class Unit(Enum):
    """The PE unit that runs an op."""

    MATH = "pe_math"
    GEMM = "pe_gemm"


class Typed(NamedTuple):
    """A block as a shape rule sees it."""

    shape: Shape
    dtype: DType

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One op.

    ``infer(operands, attrs)`` is the result's shape and dtype, or a ShapeError or DTypeError that says what
    does not fit. ``work(operands, result, attrs)`` maps a rate class ("add", "exp", ...; "mac" on PE_GEMM) to
    element visits. ``evaluate(arrays, attrs, dtype)`` computes the result, of any memory order, in ``dtype``.

    How Python numbers among the operands get a dtype: the first ``n_conditions`` operands stand apart; the others
    promote together, ``divides`` by the rules of a division; not at all where ``promotes`` is False.

    ``reference(*arrays, **attrs)`` is numpy's own word for it, which tests ask in fp64 (or integers); ``example(n)``
    are operands and attributes for them, of work that grows with ``n``.
    """

    unit: Unit
    infer: Callable[[tuple[Typed, ...], Attrs], Typed]
    work: Callable[[tuple[Typed, ...], Typed, Attrs], dict[str, int]]
    evaluate: Callable[[Sequence[Array], Attrs, DType], Array]
    promotes: bool = True
    divides: bool = False
    n_conditions: int = 0
    reference: Callable[..., Any] | None = None
    example: Callable[[int], Example] | None = None

    def tried(self, name: str, n: int) -> Example:
        """Operands and attributes on which tests try the op, registered as ``name``.

        Raises:
            UsageError: it has no example or no reference; says what to write.
        """
        if self.example is None:
            raise UsageError(
                f"op {name!r} has no example; write OpSpec(..., example=examples(2)) with its number of operands, "
                "and its attributes by name"
            )
        if self.reference is None:
            raise UsageError(
                f"op {name!r} has no reference; write OpSpec(..., reference=np.hypot) with the numpy function that "
                "it must agree with"
            )
        return self.example(n)


OPS: Registry[OpSpec] = Registry("op", "an OpSpec", lambda thing: isinstance(thing, OpSpec))


def evaluate(op: str, operands: Sequence[Array], attrs: Attrs, out_dtype: DType) -> Array:
    """The value of ``op``: a C-contiguous array of ``out_dtype``.

    ``operands`` are arrays in the numpy type of their dtype; they broadcast against each other as numpy does.
    Overflow, division by zero and NaN follow IEEE 754 silently, as on a device.
    """
    with np.errstate(all="ignore"):
        return compute(op, operands, attrs, out_dtype)


def compute(op: str, operands: Sequence[Array], attrs: Attrs, out_dtype: DType) -> Array:
    """As :func:`evaluate`, where numpy's warnings are the caller's to silence: for one op that costs as much as it."""
    return np.asarray(OPS[op].evaluate(operands, attrs, out_dtype), order="C")


@lru_cache(maxsize=4096)
def plan(
    op: str, operands: tuple[Typed, ...], attrs: tuple[tuple[str, Any], ...]
) -> tuple[Typed, dict[str, int]]:
    """Result and work of ``op``; the same dict for the same question, so never to be changed."""
    spec = OPS[op]
    named = dict(attrs)
    result = spec.infer(operands, named)
    return result, spec.work(operands, result, named)


def n_elem(shape: Shape) -> int:
    """Elements of a block."""
    n = 1
    for extent in shape:
        n *= extent
    return n


def broadcast_shape(a: Shape, b: Shape) -> Shape:
    """The shape that ``a`` and ``b`` broadcast to, last dimensions aligned.

    >>> broadcast_shape((64, 1), (32,))
    (64, 32)

    Raises:
        ShapeError: two extents differ and neither is 1.
    """
    if a == b or not b:
        return a
    if not a:
        return b
    rank = max(len(a), len(b))
    wide_a, wide_b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    for d, (extent_a, extent_b) in enumerate(zip(wide_a, wide_b, strict=True)):
        if extent_a != extent_b and extent_a != 1 and extent_b != 1:
            raise ShapeError(
                f"{list(a)} and {list(b)} do not broadcast; dimension {d} is {extent_a} in one and {extent_b} in the "
                "other, and must be equal or 1"
            )
    return tuple(max(x, y) if x and y else 0 for x, y in zip(wide_a, wide_b, strict=True))


def visits(**per_element: int) -> Callable[[tuple[Typed, ...], Typed, Attrs], dict[str, int]]:
    """A work rule: so many visits of each class for every element of the result."""

    def work(_operands: tuple[Typed, ...], result: Typed, _attrs: Attrs) -> dict[str, int]:
        n = n_elem(result.shape)
        return {rate_class: count * n for rate_class, count in per_element.items()}

    return work


def visits_in(**per_element: int) -> Callable[[tuple[Typed, ...], Typed, Attrs], dict[str, int]]:
    """A work rule: so many visits of each class for every element of the first operand."""

    def work(operands: tuple[Typed, ...], _result: Typed, _attrs: Attrs) -> dict[str, int]:
        n = n_elem(operands[0].shape)
        return {rate_class: count * n for rate_class, count in per_element.items()}

    return work


def math_op(
    name: str,
    infer: Callable[[tuple[Typed, ...], Attrs], Typed],
    work: Callable[[tuple[Typed, ...], Typed, Attrs], dict[str, int]],
    evaluate: Callable[[Sequence[Array], Attrs, DType], Array],
    reference: Callable[..., Any],
    example: Callable[[int], Example],
    **rules: Any,
) -> None:
    """Register an op of PE_MATH: the fields of :class:`OpSpec`, ``rules`` of promotion by name."""
    spec = OpSpec(Unit.MATH, infer, work, evaluate, reference=reference, example=example, **rules)
    OPS.register(name)(spec)


def examples(n_operands: int, numbers: type = np.float32, /, **attrs: Any) -> Callable[[int], Example]:
    """Calls with the first ``n_operands`` of blocks ``[n, n]``, ``[1, n]``, ``[n, 1]``, of small numbers above zero.

    >>> [x.shape for x in examples(2)(4).operands]
    [(4, 4), (1, 4)]
    """

    def example(n: int) -> Example:
        shapes = ((n, n), (1, n), (n, 1))[:n_operands]
        return Example(tuple(counted(shape, numbers) for shape in shapes), attrs)

    return example


def counted(shape: Shape, dtype: type = np.float32) -> Array:
    """A block of 1, 2, ... 7, 1, 2, ...; of floats, quarters of these."""
    numbers = np.arange(n_elem(shape)).reshape(shape) % 7 + 1
    return np.asarray(numbers / 4 if issubclass(dtype, np.floating) else numbers, dtype)
