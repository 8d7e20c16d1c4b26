"""What a bench gives back, the reference it is held to, and the tolerances that follow from rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from kernbench.dtypes import DType, NumberKind, as_dtype
from kernbench.errors import CapacityError, DTypeError, ShapeError, UsageError
from kernbench.given import told, whole
from kernbench.lang.source import user_line
from kernbench.messages.source_line import SourceLine
from kernbench.records import derive
from kernbench.torch.tensor import DeviceTensor, Tensor
from kernbench.units import format_bytes
from kernbench.wording import plural, quoted

Array = npt.NDArray[Any]
NO_NUMBERS = "OSUcmM"  # numpy's kinds: objects, texts, complex numbers, times


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one output should be: float64 (or integer) values, and how far each may be off (0: not at all).

    ``tolerance`` is a number for all values or an array that broadcasts to them. ``line`` is where it was made.

    >>> copied = np.arange(4)
    >>> Expected(values=copied, tolerance=0.0).values.tolist()
    [0, 1, 2, 3]

    Raises:
        UsageError: the values are no numbers, or a tolerance is negative, infinite or NaN.
        ShapeError: the tolerances do not broadcast to the values.
    """

    values: Array
    tolerance: Array | float
    line: SourceLine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        line = user_line()
        values, tolerance = np.asarray(self.values), np.asarray(self.tolerance)
        for name, array in (("values", values), ("tolerance", tolerance)):
            if array.dtype.kind in NO_NUMBERS:
                raise UsageError(f"{line}: Expected: {name} must be real numbers, not {array.dtype}")
        allowed = tolerance.astype(np.float64)
        wrong = allowed[~(np.isfinite(allowed) & (allowed >= 0))]
        if wrong.size:
            raise UsageError(
                f"{line}: Expected: a tolerance is 0 or more and finite, not {wrong[0]:g}; derive it, as with "
                "rounding() or dot_tolerance()"
            )
        try:
            np.broadcast_to(tolerance, values.shape)
        except ValueError:
            raise ShapeError(
                f"{line}: Expected: tolerance is {list(tolerance.shape)} and values are {list(values.shape)}; "
                "give one number, or one for each value"
            ) from None
        derive(self, values=values, tolerance=tolerance, line=line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a bench's ``run(torch, ...)`` gives back: its results, and how to judge them.

    ``outputs`` are the device tensors to check; ``expected`` computes, on the host and only when values exist, what
    each should be. ``reference`` says in words what the expectation is. ``flops`` counts floating-point
    operations of the whole problem; ``gemm`` names the dtype, as in "fp16", whose peak bounds it (None: no matrix
    product). ``unchecked`` says why there is nothing to check, if so: a result that nothing could have made wrong is
    not called right. ``line`` is where it was made.

    Raises:
        UsageError: an output is no tensor on the device, ``expected`` is no function, ``flops`` is no count, or what
            should be a text is none.
        DTypeError: ``gemm`` names no dtype.
    """

    outputs: tuple[DeviceTensor, ...]
    expected: Callable[[], tuple[Expected, ...]]
    reference: str
    flops: int
    gemm: DType | str | None = None
    unchecked: str = ""
    line: SourceLine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        line = user_line()
        if not callable(self.expected):
            raise UsageError(
                f"{line}: Outcome: expected must be a function that gives one Expected for each output, not "
                f"{type(self.expected).__name__}"
            )
        derive(
            self,
            outputs=_device_tensors(self.outputs, line),
            flops=whole(self.flops, f"{line}: Outcome: flops"),
            gemm=_named_dtype(self.gemm, line),
            line=line,
        )
        if not isinstance(self.reference, str):
            raise UsageError(
                f"{line}: Outcome: reference says in words what the expectation is, not {quoted(self.reference)}"
            )
        if not isinstance(self.unchecked, str):
            raise UsageError(
                f"{line}: Outcome: unchecked says in words why there is nothing to check, not {quoted(self.unchecked)}"
            )

    def references(self) -> tuple[Expected, ...]:
        """What ``expected()`` gives, one for each output and of its shape; or nothing, of a result that nobody checks.

        Raises:
            UsageError: it gives something else, or another number of them.
            ShapeError: one has not the shape of its output.
        """
        given: Any = self.expected()
        found = () if given is None else tuple(given) if isinstance(given, Iterable) else (given,)
        strangers = [type(what).__name__ for what in found if not isinstance(what, Expected)]
        if strangers:
            raise UsageError(
                f"{self.line}: Outcome: expected() must give one Expected for each output, not {strangers[0]}"
            )
        if not found:
            return ()
        if len(found) != len(self.outputs):
            raise UsageError(
                f"{self.line}: Outcome: expected() gives {len(found)} for {plural(len(self.outputs), 'output')}; give "
                "one Expected for each"
            )
        for output, expected in zip(self.outputs, found, strict=True):
            if output.shape != expected.values.shape:
                raise ShapeError(
                    f"{expected.line}: Expected: values are {list(expected.values.shape)}, and output "
                    f"{output.name!r} is {list(output.shape)}"
                )
        return found


def _device_tensors(outputs: Any, line: SourceLine) -> tuple[DeviceTensor, ...]:
    if isinstance(outputs, Tensor) or not isinstance(outputs, Iterable):
        raise UsageError(
            f"{line}: Outcome: outputs must be a tuple of tensors, as in outputs=(y,), not {type(outputs).__name__}"
        )
    tensors = tuple(outputs)
    for output in tensors:
        if not isinstance(output, DeviceTensor):
            raise UsageError(
                f"{line}: Outcome: outputs must be tensors on the device, not {type(output).__name__}"
            )
    return tensors


def _named_dtype(gemm: Any, line: SourceLine) -> DType | None:
    try:
        return None if gemm is None else as_dtype(gemm)
    except DTypeError as error:
        raise DTypeError(f"{line}: Outcome: gemm: {error}") from None


@told()
def random_values(torch: Any, *shape: int, dtype: DType | str, name: str) -> Tensor:
    """A host tensor of normal random numbers; for integers, of whole numbers from -8 to 7, or from 0 to 15.

    Raises:
        CapacityError: it is more than the whole device holds.
    """
    dtype = as_dtype(dtype)
    size_bytes = math.prod(shape) * dtype.size_bytes
    if size_bytes > torch.ahbm.memory_bytes():
        raise CapacityError(
            f"{name!r} {list(shape)} {dtype} is {format_bytes(size_bytes)}, and the device has "
            f"{format_bytes(torch.ahbm.memory_bytes())} of HBM in all; make it smaller"
        )
    if dtype.is_float:
        floats: Tensor = torch.randn(*shape, dtype=dtype, name=name, device="cpu")
        return floats
    low, high = {NumberKind.BOOL: (0, 2), NumberKind.INT: (-8, 8) if dtype.signed else (0, 16)}[dtype.kind]
    integers: Tensor = torch.randint(low, high, shape, dtype=dtype, name=name, device="cpu")
    return integers


@told()
def rounding(values: Array, dtype: DType | str) -> Array:
    """How far rounding ``values`` to ``dtype`` may move each: half a unit in the last place, or of the smallest.

    float64, of the values' shape; 0 for integers.
    """
    dtype = as_dtype(dtype)
    if not dtype.is_float:
        return np.zeros(values.shape)
    info = _finfo(dtype)
    half: Array = np.maximum(np.abs(values) * float(info.eps), float(info.smallest_subnormal)) / 2
    return half


@told()
def dot_tolerance(
    a: Array, b: Array, accumulator: DType | str, out: DType | str, *, product: Array | None = None
) -> Array:
    """How far ``a @ b``, summed in ``accumulator`` in any order and rounded to ``out``, may be off: ``[m, n]``.

    ``product`` is ``a @ b``, from who has it already.

    A sum of k products is off by at most ``k u (|a| @ |b|)``, u the accumulator's unit roundoff (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1); the result is rounded once.
    """
    accumulator = as_dtype(accumulator)
    if not accumulator.is_float:
        return np.zeros((a.shape[0], b.shape[1]))
    u = float(_finfo(accumulator).eps) / 2
    summing: Array = a.shape[1] * u * (np.abs(a) @ np.abs(b))
    return summing + rounding(np.abs(a @ b if product is None else product) + summing, out)


def _finfo(dtype: DType) -> Any:
    finfo: Callable[[Any], Any] = ml_dtypes.finfo
    return finfo(dtype.numpy)
