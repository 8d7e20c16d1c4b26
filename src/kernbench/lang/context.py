"""The running program: an op gives a value known at once, or a handle of what a command will make; forced values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, cast

from kernbench.dtypes import DType, as_dtype, int32
from kernbench.errors import (
    DTypeError,
    ForcedValueError,
    KernelError,
    ShapeError,
    UnknownNameError,
    UsageError,
)
from kernbench.lang.block import Block, active
from kernbench.lang.handle import Ref, TensorHandle
from kernbench.lang.issuer import Issuer
from kernbench.lang.known import LIMITS, Known, constant, from_array, known_number, scalar
from kernbench.lang.pointer import Pointer
from kernbench.lang.port import KernelPort
from kernbench.lang.source import here
from kernbench.lang.wrapping import inherited, may_wrap, wrapped_in
from kernbench.messages.access import Wrapped
from kernbench.messages.commands import MathCmd, Operand
from kernbench.ops import OPS, Typed, evaluate, plan
from kernbench.ops.elementwise import common_dtype
from kernbench.ops.numerics import number_dtype, promote_numbers
from kernbench.ops.spec import OpSpec, Shape

Attrs = dict[str, Any]
NO_ATTRS: Attrs = {}
_RECAST = frozenset({"cast", "bitcast"})


class ProgramContext(Issuer):
    """One program of a launch, on its port, as it evaluates what its kernel says."""

    def __init__(self, port: KernelPort) -> None:
        super().__init__(port)
        self.thread = get_ident()
        self.stray: KernelError | None = None  # what a thread did that the kernel has started
        self.ids = tuple(scalar(i, int32) for i in port.program_ids)
        self.extents = tuple(scalar(n, int32) for n in port.grid)

    def known(self, x: Any) -> Any:
        """``x`` as a known value: a handle is forced, which suspends the program until the value exists."""
        if type(x) is not TensorHandle:
            return x
        if self.own(x).known is None:
            self.flush()  # the command that makes the value may be the one kept back
            try:
                array = self.port.force(x.operand.version, here())
            except ForcedValueError as error:
                raise ForcedValueError(f"{here()}: {error}") from None
            x.known = from_array(array.reshape(x.shape), x.dtype, x.wrapped)
        return x.known

    def operate(self, op: str, a: Any, b: Any) -> Any:
        """What Python's operator ``op`` does; ``==`` and ``!=`` leave what is neither block nor number to Python."""
        if op in ("eq", "ne"):
            for x in (a, b):
                if not isinstance(x, (Block, int, float)) and not hasattr(x, "dtype"):
                    return NotImplemented
        return self.apply(op, (a, b))

    def apply(self, op: str, operands: Sequence[Any], attrs: Attrs = NO_ATTRS) -> Block:
        """``op`` on blocks and numbers: a known value if all are known, else a handle and a MathCmd."""
        blocks = [self.operand_of(op, x) for x in operands]
        self.settle(op, blocks)
        # Here and below tuple([...]): every command comes this way, and a generator costs more.
        typed = tuple([Typed(x.shape, x.dtype) for x in blocks])
        result, visits = self.plan(op, typed, attrs)
        if not any(type(x) is TensorHandle for x in blocks):
            return self._fold(op, blocks, attrs, result)
        read = tuple([x.operand if type(x) is TensorHandle else x.operand() for x in blocks])
        handle = self._issued(op, attrs, visits, read, result)
        if result.dtype in LIMITS:
            handle.wrapped = inherited(blocks)
            if handle.wrapped is None and may_wrap(op, result.dtype):
                handle.wrapped = Wrapped(here(), result.dtype, False)
        return handle

    def _issued(
        self, op: str, attrs: Attrs, visits: dict[str, int], operands: tuple[Operand, ...], result: Typed
    ) -> TensorHandle:
        """The handle of ``result``, which a MathCmd makes that is issued here."""
        handle = self.result(result.shape, result.dtype)
        self.push(
            MathCmd(
                op=op,
                attrs=attrs,
                visits=visits,
                operands=operands,
                result=handle.operand,
            )
        )
        return handle

    def plan(self, op: str, operands: tuple[Typed, ...], attrs: Attrs) -> tuple[Typed, dict[str, int]]:
        """Result and work of an op; what does not fit is an error that names the kernel's line."""
        try:
            return plan(op, operands, tuple(attrs.items()))
        except (ShapeError, DTypeError, UnknownNameError) as error:
            raise type(error)(f"{here()}: tl.{op}: {error}") from None

    def materialised(self, x: Any) -> TensorHandle:
        """``x`` as a handle: a known value is made in TCM by a ``full`` command, a block once while it lives."""
        if type(x) is TensorHandle:
            return self.own(x)
        made = x.made
        if type(made) is TensorHandle and made.value.program is self:  # another program's lies in another TCM
            return made
        attrs = {"shape": x.shape}
        result, visits = self.plan("full", (Typed(x.shape, x.dtype),), attrs)
        handle = self._issued("full", attrs, visits, (x.operand(),), result)
        if x.shape:  # numbers are shared by programs, and would never die
            x.made = handle
        return handle

    def cast(self, x: Block, dtype: DType) -> Block:
        """``x``, a block, in ``dtype``; the same block if it is that already."""
        if x.dtype is dtype:
            return x
        if isinstance(x, Known):
            kept = x.recast(dtype)
            if kept is not None:
                return kept
        return self.apply("cast", (x,), {"dtype": dtype})

    def broadcast_to(self, x: Block, shape: Shape) -> Block:
        """``x``, a block, broadcast to ``shape``."""
        if x.shape == shape:
            return x
        if isinstance(x, Pointer):
            return x.widened(shape)
        if isinstance(x, Known):
            self.plan("broadcast_to", (Typed(x.shape, x.dtype),), {"shape": shape})
            return x.widened(shape)
        return self.apply("broadcast_to", (x,), {"shape": shape})

    def permute(self, x: Block, dims: tuple[int, ...]) -> Block:
        """``x``, a block, with its dimensions in the order ``dims``."""
        if isinstance(x, Known):
            self.plan("permute", (Typed(x.shape, x.dtype),), {"dims": dims})
        if isinstance(x, (Known, Pointer)):
            return x.permuted(dims)
        return self.apply("permute", (x,), {"dims": dims})

    def block(self, x: Any, what: str) -> Block:
        """``x`` as a block: a Python number becomes a known scalar of its own dtype."""
        if isinstance(x, Block):
            return x
        if isinstance(x, (bool, int, float)):
            return known_number(x, number_dtype(x))
        if hasattr(x, "dtype") and getattr(x, "shape", None) == ():  # a numpy scalar
            return known_number(x.item(), as_dtype(x.dtype))
        raise UsageError(f"{here()}: {what} must be a block or a number, not {type(x).__name__}")

    def tensor(self, op: str, x: Any) -> Any:
        """An operand that is wanted in TCM: a handle, even one that was forced, or a known block."""
        return x if type(x) is TensorHandle else self.operand_of(op, self.block(x, f"an operand of tl.{op}"))

    # -- helpers ------------------------------------------------------------------------------------------

    def operand_of(self, op: str, x: Any) -> Any:
        """An operand: a block known or lazy, or a plain number."""
        kind = type(x)
        if kind is TensorHandle:
            return x if self.own(x).known is None else x.known
        if kind is Known or isinstance(x, (Known, int, float)):
            return x
        if kind is Pointer:
            raise DTypeError(
                f"{here()}: tl.{op} of a pointer; only + and - with integers move it, and tl.load reads it"
            )
        if kind is Ref:
            raise UsageError(
                f"{here()}: tl.{op} of a tl.ref, which is not in TCM; tl.load(ref) moves it there"
            )
        return self.block(x, f"an operand of tl.{op}")

    def settle(self, op: str, blocks: list[Any]) -> None:
        """Give each Python number among ``blocks`` the dtype in which it meets the others, as a known scalar."""
        if all(isinstance(x, Block) for x in blocks):
            return
        try:
            meeting = self._meeting_dtype(OPS[op], blocks)
            for i, x in enumerate(blocks):
                if not isinstance(x, Block):
                    blocks[i] = known_number(
                        x, number_dtype(x) if meeting is None or i < OPS[op].n_conditions else meeting
                    )
        except (DTypeError, UnknownNameError) as error:
            raise type(error)(f"{here()}: tl.{op}: {error}") from None

    @staticmethod
    def _meeting_dtype(spec: OpSpec, blocks: list[Any]) -> DType | None:
        """Where numbers meet the blocks and each other; None where each keeps its own dtype."""
        values = blocks[spec.n_conditions :]
        strong = [x.dtype for x in values if isinstance(x, Block)]
        numbers = [x for x in values if not isinstance(x, Block)]
        if not spec.promotes or not numbers:
            return None
        blocks_meet = common_dtype(strong, divides=spec.divides) if strong else None
        return promote_numbers(blocks_meet, numbers, divides=spec.divides)

    def _fold(self, op: str, blocks: list[Any], attrs: Attrs, result: Typed) -> Known:
        """An op on known values, computed at once by the same evaluator."""
        by_element = OPS[op].promotes or op in _RECAST
        # Of equal elements one is computed: zeros of a megabyte stay a number.
        if by_element and all(x.is_constant for x in blocks):
            arrays = [x.operand().value for x in blocks]
            element = from_array(evaluate(op, arrays, attrs, result.dtype), result.dtype)
            out = constant(element.base, result.dtype, result.shape)
        else:
            out = from_array(evaluate(op, [x.dense() for x in blocks], attrs, result.dtype), result.dtype)
        if result.dtype in LIMITS:
            out.wrapped = wrapped_in(op, blocks, out)
        return out


running = cast(Callable[[], ProgramContext], active)  # what run_program makes active is one of these
