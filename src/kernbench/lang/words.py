"""Python's own words in a kernel (range, min, max, print), and Triton's hints and debugging words.

``tl`` re-exports Triton's; ``jit`` puts Python's in the place of the builtins of a kernel.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from functools import reduce
from typing import Any

from kernbench.dtypes import int32, int64
from kernbench.errors import UsageError
from kernbench.lang.block import Block
from kernbench.lang.context import running
from kernbench.lang.known import Known, extreme, scalar
from kernbench.lang.source import here
from kernbench.ops.numerics import number_dtype


def static_range(arg1: Any, arg2: Any = None, step: Any = None) -> builtins.range:
    """``range`` over constants: the loop variable is a plain int."""
    return builtins.range(*_bounds(arg1, arg2, step))


def _bounds(arg1: Any, arg2: Any, step: Any) -> tuple[int, int, int]:
    """Loop bounds as ints, of any sign; a lazy one is forced."""
    start, stop = (0, arg1) if arg2 is None else (arg1, arg2)
    return start.__index__(), stop.__index__(), 1 if step is None else step.__index__()


class range:  # noqa: N801 - Triton's name
    """``range`` whose variable is an int32 scalar (int64 if a bound is); the compiler's hints have no effect.

    A bound that is lazy is forced.
    """

    def __init__(self, arg1: Any, arg2: Any = None, step: Any = None, **hints: Any) -> None:
        self._steps = builtins.range(*_bounds(arg1, arg2, step))
        dtypes = [
            x.dtype if isinstance(x, Block) else number_dtype(x)
            for x in (arg1, 0 if arg2 is None else arg2, 1 if step is None else step)
        ]
        self._dtype = int64 if any(dtype.bits == 64 for dtype in dtypes) else int32

    def __iter__(self) -> Iterator[Known]:
        kind = self._dtype
        return (scalar(i, kind) for i in self._steps)

    def __reversed__(self) -> Iterator[Known]:
        kind = self._dtype
        return (scalar(i, kind) for i in reversed(self._steps))

    def __len__(self) -> int:
        return len(self._steps)


def multiple_of(input: Any, values: Any) -> Any:
    """A hint that the first element of a known block is a multiple of ``values``; checked, not trusted."""
    first = _first(input)
    for value in values if isinstance(values, (tuple, list)) else (values,):
        if first is not None and first % int(value):
            raise UsageError(
                f"{here()}: tl.multiple_of says {int(value)}, but the first element is {first}; correct it"
            )
    return input


def max_contiguous(input: Any, values: Any) -> Any:
    """A hint that a known block counts up by one in runs of ``values``; checked, not trusted."""
    if isinstance(input, Known) and len(input.shape) == 1 and input.numel > 1:
        (value,) = values if isinstance(values, (tuple, list)) else (values,)
        elements, run = input.dense(), builtins.min(int(value), input.numel)
        steps = elements[1:] - elements[:-1] == 1
        steps[run - 1 :: run] = True
        if not steps.all():
            raise UsageError(
                f"{here()}: tl.max_contiguous says runs of {run}, which the block does not have; correct it"
            )
    return input


def max_constancy(input: Any, values: Any) -> Any:
    """A hint without effect."""
    return input


def _first(x: Any) -> int | None:
    if isinstance(x, Known):
        return int(x.base if x.array is None and x.base is not None else x.dense().reshape(-1)[0])
    return None


def assume(condition: Any) -> None:
    """A hint; one that is known to be false is an error."""
    if isinstance(condition, (Known, bool)) and not condition:
        raise UsageError(f"{here()}: tl.assume of something false")


def debug_barrier() -> None:
    """No effect: a program is one thread of commands."""


def static_assert(condition: Any, message: str = "") -> None:
    """Fail unless ``condition``, which must be known."""
    if not condition:
        raise AssertionError(message or "tl.static_assert failed")


def static_print(*values: Any, sep: str = " ", end: str = "", file: Any = None, flush: bool = False) -> None:
    """Print what is known, with PE and simulated time; a handle prints as its type."""
    program = running()
    program.flush()
    program.port.print(sep.join(str(v) for v in values))


def device_print(prefix: str, *values: Any, hex: bool = False) -> None:
    """Print values, with PE and simulated time; forces lazy ones."""
    kernel_print(prefix, *values)


def kernel_print(*values: Any, sep: str = " ", end: str = "", file: Any = None, flush: bool = False) -> None:
    """What ``print`` means in a kernel: with PE and simulated time; forces lazy values."""
    program = running()
    program.flush()
    program.port.print(sep.join(str(program.known(v)) for v in values))


def clock() -> int:
    """Simulated time in picoseconds, once PE_CPU has issued everything so far.

    Reading it again at the same instant costs a readback, so a loop until some time ends. In mode ``data``, where no
    time passes, it is 0, and moves only once a program has read it 1,024 times.
    """
    program = running()
    program.flush()
    return program.port.clock_ps()


def smaller(x: Any, y: Any, **attrs: Any) -> Block:
    """The smaller of each pair, at once where bounds of known integers decide it."""
    decided = extreme(x, y, largest=False)
    return running().apply("minimum", (x, y), attrs) if decided is None else decided


def larger(x: Any, y: Any, **attrs: Any) -> Block:
    """The larger of each pair, at once where bounds of known integers decide it."""
    decided = extreme(x, y, largest=True)
    return running().apply("maximum", (x, y), attrs) if decided is None else decided


def python_min(*values: Any, **named: Any) -> Any:
    """What ``min`` means in a kernel: ``tl.minimum`` as soon as a block is among the values."""
    if len(values) < 2 or named or not any(isinstance(v, Block) for v in values):
        return builtins.min(*values, **named)
    return reduce(smaller, values)


def python_max(*values: Any, **named: Any) -> Any:
    """What ``max`` means in a kernel: ``tl.maximum`` as soon as a block is among the values."""
    if len(values) < 2 or named or not any(isinstance(v, Block) for v in values):
        return builtins.max(*values, **named)
    return reduce(larger, values)
