"""Handles: values that do not exist yet when the kernel names them, because they depend on memory."""

from __future__ import annotations

from typing import NoReturn, Protocol

from kernbench.dtypes import DType
from kernbench.errors import UsageError
from kernbench.lang.block import Block, active, describe
from kernbench.lang.known import Known, dimensions
from kernbench.lang.pointer import Pointer
from kernbench.lang.port import KernelPort
from kernbench.lang.source import here
from kernbench.messages.access import Wrapped
from kernbench.messages.commands import Operand
from kernbench.messages.source_line import SourceLine
from kernbench.ops.numerics import Number
from kernbench.ops.spec import Shape


class Maker(Protocol):
    """The program that made a value, as its handles know it."""

    port: KernelPort

    def release(self, version: int) -> None:
        """The last handle of ``version`` is gone."""

    def origin(self, version: int) -> tuple[str, SourceLine]:
        """Shape and dtype of a value that a handle still names, and the line that made it."""


class Value:
    """The life of one value in TCM: it is released when the last handle that names it is gone.

    Lifetimes follow reference counts: whatever keeps a frame alive (a debugger, a kept traceback) prolongs them.
    """

    __slots__ = ("program", "version")

    def __init__(self, version: int, program: Maker) -> None:
        self.version = version
        self.program = program

    def __del__(self) -> None:
        self.program.release(self.version)


class TensorHandle(Block):
    """A lazy value in TCM. ``known`` is its value once something has forced it; ``wrapped`` as of a known block."""

    __slots__ = ("dtype", "known", "operand", "shape", "value", "wrapped")
    space = "tcm"

    def __init__(self, operand: Operand, value: Value) -> None:
        self.operand = operand
        self.value = value
        self.shape: Shape = operand.shape
        self.dtype: DType = operand.dtype
        self.known: Known | None = None
        self.wrapped: Wrapped | None = None

    def __getitem__(self, index: object) -> TensorHandle:
        return self.reshaped(tuple(1 if d < 0 else self.shape[d] for d in dimensions(self, index)))

    def reshaped(self, shape: Shape) -> TensorHandle:
        """A value's elements by another shape of as many, in C order: nothing moves, and it costs nothing."""
        at = self.operand
        operand = Operand(shape=shape, dtype=at.dtype, space=at.space, version=at.version, address=at.address)
        view = TensorHandle(operand, self.value)
        view.wrapped = self.wrapped
        if self.known is not None:
            view.known = self.known.reshaped(shape)
        return view

    def __bool__(self) -> bool:
        return bool(active().known(self))

    def __int__(self) -> int:
        return int(active().known(self))

    def __index__(self) -> int:
        index: int = active().known(self).__index__()
        return index

    def __float__(self) -> float:
        return float(active().known(self))

    def item(self) -> Number:
        """The only element, as a Python number; forces the value."""
        number: Number = active().known(self).item()
        return number

    def __repr__(self) -> str:
        return f"<{describe(self.shape, self.dtype)}, version {self.operand.version}>"


class Ref(Block):
    """A block in memory that has not been moved: an operand of ``tl.composite``. Made by ``tl.ref``."""

    __slots__ = ("dtype", "operand", "pointer", "shape")
    space = "hbm"

    def __init__(self, operand: Operand, pointer: Pointer) -> None:
        self.operand = operand
        self.pointer = pointer
        self.shape: Shape = operand.shape
        self.dtype: DType = operand.dtype

    def __bool__(self) -> NoReturn:
        raise UsageError(f"{here()}: a tl.ref has no value; tl.load(ref) moves it into TCM")

    def __repr__(self) -> str:
        return f"<{describe(self.shape, self.dtype)} in memory>"


class Future:
    """Work under way; ``tl.wait`` waits for it."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value
