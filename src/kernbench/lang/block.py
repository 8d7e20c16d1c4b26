"""What every value in a kernel is: a block with a shape and a dtype, and Python's operators on it.

Operators go through the active program, a context variable: a thread-local would be wrong under greenlets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, SupportsIndex

from kernbench.dtypes import DType, DTypeLike
from kernbench.errors import UsageError
from kernbench.lang.port import KernelPort
from kernbench.lang.strays import Running, refuse_tl
from kernbench.ops import OPS
from kernbench.ops.spec import Shape, n_elem


class Evaluator(Running, Protocol):
    """A running program as its blocks know it: it says what an op on them gives."""

    port: KernelPort

    def operate(self, op: str, a: object, b: object) -> object:
        """Apply Python's operator ``op`` to two blocks or numbers."""

    def apply(self, op: str, operands: Sequence[object], attrs: dict[str, Any] = ...) -> object:
        """``op`` on blocks and numbers."""

    def permute(self, x: Block, dims: tuple[int, ...]) -> object:
        """``x``, a block, with its dimensions in the order ``dims``."""

    def cast(self, x: Block, dtype: DType) -> object:
        """``x``, a block, in ``dtype``."""

    def known(self, x: object) -> Any:
        """``x`` as a known value, for which the program may wait."""


ACTIVE: ContextVar[Evaluator] = ContextVar("kernbench_program")


def active() -> Evaluator:
    """The program that is running, as blocks know it; :data:`kernbench.lang.context.running` gives all of it.

    Raises:
        UsageError: no kernel is running.
        SystemExit: one is, in another thread, which is told of this one.
    """
    program = ACTIVE.get(None)
    if program is None or program.thread != get_ident():
        refuse_tl(program)
    return program


def _operator(op: str) -> Callable[[Any, Any], Any]:
    def apply(self: Block, other: Any) -> Any:
        return active().operate(op, self, other)

    return apply


def _reflected(op: str) -> Callable[[Any, Any], Any]:
    def apply(self: Block, other: Any) -> Any:
        return active().operate(op, other, self)

    return apply


def _unary(op: str) -> Callable[[Any], Any]:
    def apply(self: Block) -> Any:
        return active().apply(op, (self,))

    return apply


class BlockType:
    """A block's ``.type``: ``scalar`` and ``element_ty`` are its dtype."""

    __slots__ = ("element_ty", "shape")

    def __init__(self, element_ty: Any, shape: Shape) -> None:
        self.element_ty = element_ty
        self.shape = shape

    @property
    def scalar(self) -> Any:
        """The dtype of one element."""
        return self.element_ty

    def is_block(self) -> bool:
        """Always: a scalar's type is its dtype."""
        return True

    def __repr__(self) -> str:
        return f"<{list(self.shape)}, {self.element_ty}>"


class Block:
    """Base of known values, pointers and handles: ``tl.tensor``."""

    __slots__ = ("__weakref__",)

    shape: Shape
    dtype: Any  # a DType, or a PointerType
    __array_ufunc__: ClassVar[None] = None  # numpy scalars leave the operation to us
    __iter__: ClassVar[None] = None

    __add__, __radd__ = _operator("add"), _reflected("add")
    __sub__, __rsub__ = _operator("sub"), _reflected("sub")
    __mul__, __rmul__ = _operator("mul"), _reflected("mul")
    __truediv__, __rtruediv__ = _operator("div"), _reflected("div")
    __floordiv__, __rfloordiv__ = _operator("floordiv"), _reflected("floordiv")
    __mod__, __rmod__ = _operator("mod"), _reflected("mod")
    __and__, __rand__ = _operator("and"), _reflected("and")
    __or__, __ror__ = _operator("or"), _reflected("or")
    __xor__, __rxor__ = _operator("xor"), _reflected("xor")
    __lshift__, __rlshift__ = _operator("shl"), _reflected("shl")
    __rshift__, __rrshift__ = _operator("shr"), _reflected("shr")
    __lt__, __le__ = _operator("lt"), _operator("le")
    __gt__, __ge__ = _operator("gt"), _operator("ge")
    __eq__ = _operator("eq")
    __ne__ = _operator("ne")
    __neg__, __invert__, __abs__ = _unary("neg"), _unary("invert"), _unary("abs")

    def reshaped(self, shape: Shape) -> Block:
        """Equal elements, in C order, in another shape of as many; moves nothing."""
        raise UsageError(f"{type(self).__name__} has one shape; give the other one where it is made")

    def __pos__(self) -> Any:
        return self

    def __hash__(self) -> int:
        return id(self)

    @property
    def type(self) -> Any:
        """The dtype of a scalar, else a :class:`BlockType`."""
        return BlockType(self.dtype, self.shape) if self.shape else self.dtype

    @property
    def numel(self) -> int:
        """Elements."""
        return n_elem(self.shape)

    @property
    def T(self) -> Any:  # noqa: N802 - Triton's name
        """The block with its last two dimensions exchanged."""
        rank = len(self.shape)
        return active().permute(self, (*range(rank - 2), rank - 1, rank - 2))

    if TYPE_CHECKING:  # functions of ``tl``, which makes them methods; a test compares the two
        # fmt: off
        def abs(self) -> Block: ...
        def exp(self) -> Block: ...
        def exp2(self) -> Block: ...
        def log(self) -> Block: ...
        def log2(self) -> Block: ...
        def sin(self) -> Block: ...
        def cos(self) -> Block: ...
        def floor(self) -> Block: ...
        def ceil(self) -> Block: ...
        def sqrt(self) -> Block: ...
        def sqrt_rn(self) -> Block: ...
        def rsqrt(self) -> Block: ...
        def sigmoid(self) -> Block: ...
        def cdiv(self, div: BlockOrNumber) -> Block: ...
        def sum(self, axis: int | None = None, keep_dims: bool = False, dtype: DTypeLike | None = None) -> Block: ...
        def max(self, axis: int | None = None, keep_dims: bool = False) -> Block: ...
        def min(self, axis: int | None = None, keep_dims: bool = False) -> Block: ...
        def softmax(
            self, dim: int | None = None, keep_dims: bool = False, ieee_rounding: bool = False, *,
            axis: int | None = None,
        ) -> Block: ...
        def cast(self, dtype: Any, fp_downcast_rounding: str | None = None, bitcast: bool = False) -> Block: ...
        def to(self, dtype: Any, fp_downcast_rounding: str | None = None, bitcast: bool = False) -> Block: ...
        def broadcast_to(self, *shape: Extents) -> Block: ...
        def expand_dims(self, axis: Extents) -> Block: ...
        def reshape(self, *shape: Extents, can_reorder: bool = False) -> Block: ...
        def view(self, *shape: Extents, can_reorder: bool = False) -> Block: ...
        def ravel(self, can_reorder: bool = False) -> Block: ...
        def permute(self, *dims: Extents) -> Block: ...
        def trans(self, *dims: Extents) -> Block: ...
        # fmt: on
    else:

        def __getattr__(self, name: str) -> Any:
            """Any op that is registered, a plugin's too: ``x.gelu()`` is ``tl.gelu(x)``."""
            if name not in OPS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return lambda *operands, **attrs: active().apply(name, (self, *operands), attrs)


BlockOrNumber = Block | bool | int | float
Extent = SupportsIndex | Block
Extents = Extent | Sequence[Extent]
"""A shape, or a part of one; each extent an int, or a block of one integer, for which the kernel waits."""


def describe(shape: Shape, dtype: DType) -> str:
    """A block in a message.

    >>> from kernbench.dtypes import float16
    >>> describe((64, 64), float16)
    'fp16[64, 64]'
    """
    return f"{dtype}{list(shape)}" if shape else str(dtype)
