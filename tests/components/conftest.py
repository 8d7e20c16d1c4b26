"""Commands and specs, for all tests of components."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import pytest

from kernbench.config.load import load_config
from kernbench.config.schema import Config
from kernbench.dtypes import DType, float16, float32
from kernbench.messages.access import Access
from kernbench.messages.commands import (
    Command,
    DmaReadCmd,
    DmaWriteCmd,
    GemmCmd,
    MathCmd,
    Operand,
    Space,
    WaitCmd,
)
from kernbench.messages.source_line import SourceLine

LINE = SourceLine("kernel.py", 7)
C = TypeVar("C", bound=Command)


class Kit:
    """Makes commands, numbered in the order they are made, and values by version."""

    def __init__(self) -> None:
        self.seq = itertools.count()
        self.version = itertools.count()

    def made(self, kind: type[C], **more: Any) -> C:
        return kind(**more).numbered(next(self.seq), 0, LINE)

    def value(self, shape: tuple[int, ...], dtype: DType = float16) -> Operand:
        return Operand(shape=shape, dtype=dtype, space=Space.TCM, version=next(self.version))

    @staticmethod
    def known(shape: tuple[int, ...], dtype: DType = float32) -> Operand:
        return Operand(shape=shape, dtype=dtype, space=Space.IMMEDIATE, value=0)

    @staticmethod
    def ref(shape: tuple[int, ...], dtype: DType = float16, va: int = 0, pitch: int | None = None) -> Operand:
        """A block in memory, row-major with ``pitch`` bytes from row to row."""
        size = dtype.size_bytes
        strides = [size]
        for extent in reversed(shape[1:]):
            strides.insert(0, strides[0] * extent)
        if pitch is not None:
            strides[0] = pitch
        access = Access(
            va=va,
            itemsize=size,
            block_shape=shape,
            shape=shape,
            strides=tuple(strides[-len(shape) :]),
            origin=(0,) * len(shape),
        )
        return Operand(shape=shape, dtype=dtype, space=Space.HBM, access=access)

    def load(self, shape: tuple[int, ...], dtype: DType = float16, va: int = 0, **more: Any) -> DmaReadCmd:
        source = more.pop("source", None) or self.ref(shape, dtype, va)
        result = self.value(shape, dtype)
        return self.made(DmaReadCmd, operands=(source, *more.pop("others", ())), result=result, **more)

    def store(self, what: Operand, va: int = 0, **more: Any) -> DmaWriteCmd:
        target = more.pop("target", None) or self.ref(what.shape, what.dtype, va)
        return self.made(DmaWriteCmd, operands=(what,), target=target, **more)

    def dot(
        self,
        a: Operand,
        b: Operand,
        acc: Operand | None = None,
        *,
        inherit: bool = False,
        target: Operand | None = None,
    ) -> GemmCmd:
        (m, k), (_, n) = a.shape, b.shape
        result = self.value((0,) if target else (m, n), float32)
        operands = (a, b) if acc is None else (a, b, acc)
        command = self.made(GemmCmd, m=m, n=n, k=k, acc=acc, target=target, operands=operands, result=result)
        if inherit:
            assert acc is not None
            command.inherits, command.tcm_bytes = acc.version, 0
        return command

    def math(
        self,
        *operands: Operand,
        op: str = "add",
        shape: tuple[int, ...] | None = None,
        dtype: DType | None = None,
        visits: dict[str, int] | None = None,
        target: Operand | None = None,
    ) -> MathCmd:
        shape = operands[0].shape if shape is None else shape
        result = self.value((0,) if target else shape, dtype or operands[0].dtype)
        n = max((x.n_elem for x in (*operands, result)), default=1)
        return self.made(
            MathCmd,
            op=op,
            attrs={},
            visits={op: n} if visits is None else visits,
            target=target,
            operands=operands,
            result=result,
        )

    def wait(self, *versions: int) -> WaitCmd:
        return self.made(WaitCmd, depends=versions)


@pytest.fixture(scope="session")
def config() -> Config:
    return load_config("default")


@pytest.fixture
def kit() -> Kit:
    return Kit()


@pytest.fixture(scope="session")
def make_kit() -> type[Kit]:
    """For tests that need a fresh one for each example."""
    return Kit
