"""``tl``: what a kernel says. Triton's names and the compiler's semantics, and the AHBM extensions.

Calls return at once: known values are computed here, all else becomes commands for the PE (see ``context``). Every
registered op without a function of its own is one too: ``tl.exp(x)`` is the op "exp".

Compared with the compiler (3.9.0), which counts. More is accepted here: exp, sqrt and the like of floats below fp32,
``div_rn`` and ``sqrt_rn`` of fp64 and halves, ``fdiv`` of integers, casts between integers and fp8, masks that are not
int1, blocks of any extents but for ``arange``, ``dot`` of any m, n and k, ``abs()``, ``int()`` and ``float()``, known
scalars where a constexpr is asked. Other results: ``sum`` of halves rounds once at its end instead of at every step;
which zero ``maximum`` of +0.0 and -0.0 gives is open in both. Refused: ``not``, ``and``, ``or`` and chains such as
``0 < x < n`` on blocks, which Python cannot overload (on scalars they are Python's, ``not`` gives a bool, and a number
that a branch chooses stays a number); ``dot`` of three dimensions.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, overload

from kernbench.dtypes import (
    DType,
    DTypeLike,
    NumberKind,
    as_dtype,
    bfloat16,
    float8e4nv,
    float8e5,
    float16,
    float32,
    float64,
    int1,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from kernbench.errors import DTypeError, ShapeError, UnknownAttributeError, UsageError
from kernbench.lang import queues, transfer, words
from kernbench.lang.arguments import dtype_of, extent_tuple
from kernbench.lang.block import Block, BlockOrNumber, Extent, Extents
from kernbench.lang.constants import constexpr
from kernbench.lang.context import NO_ATTRS, running
from kernbench.lang.handle import Future, Ref, TensorHandle
from kernbench.lang.known import Known, constant, known_number
from kernbench.lang.known import arange as known_arange
from kernbench.lang.pointer import Pointer, PointerType
from kernbench.lang.source import here
from kernbench.lang.words import (
    assume,
    clock,
    debug_barrier,
    device_print,
    max_constancy,
    max_contiguous,
    multiple_of,
    range,  # noqa: A004 - Triton's name
    static_assert,
    static_print,
    static_range,
)
from kernbench.messages.commands import GemmCmd
from kernbench.ops import OPS, Typed
from kernbench.ops.numerics import Number, int_limits
from kernbench.ops.reduce import check_axis
from kernbench.ops.spec import Shape, n_elem
from kernbench.registry import nearest
from kernbench.wording import plural, quoted

_F = TypeVar("_F", bound=Callable[..., Block])

tensor = Block
dtype = DType
pointer_type = PointerType
MOST_ELEMENTS = 1 << 20  # TRITON_MAX_TENSOR_NUMEL
PRECISIONS = (None, "tf32", "tf32x3", "ieee", "bf16x3", "bf16x6")


class PropagateNan:
    """What ``maximum``, ``minimum`` and ``clamp`` do with a NaN."""

    NONE = 0
    ALL = 0xFFFF


# -- programs ---------------------------------------------------------------------------------------------


def program_id(axis: int) -> Known:
    """Index of this program along ``axis`` (0, 1 or 2) of the grid, an int32 scalar; known at once.

    >>> tl.program_id(0).item(), tl.num_programs(0).item()
    (0, 1)
    """
    return running().ids[_grid_axis(axis)]


def num_programs(axis: int) -> Known:
    """Programs along ``axis`` (0, 1 or 2) of the grid, an int32 scalar; known at once."""
    return running().extents[_grid_axis(axis)]


def _grid_axis(axis: int) -> int:
    if axis not in (0, 1, 2):
        raise UsageError(f"{here()}: a grid has the axes 0, 1 and 2, not {axis}")
    return axis


# -- making blocks ----------------------------------------------------------------------------------------


def arange(start: Extent, end: Extent) -> Known:
    """``[start, end)``, an int32 block ``[end - start]``; known at once.

    >>> print(2 * tl.arange(0, 4)[:, None] + tl.arange(0, 2)[None, :])
    [[0 1]
     [2 3]
     [4 5]
     [6 7]]

    Raises:
        ShapeError: it is empty, or its length no power of two in a launch that is strict.
    """
    first, last = extent_tuple((start, end), "the bounds of tl.arange")
    n = last - first
    if n <= 0:
        raise ShapeError(f"{here()}: tl.arange({first}, {last}) is empty; end must be greater than start")
    if running().port.strict and n & (n - 1):
        raise ShapeError(
            f"{here()}: tl.arange({first}, {last}) has {plural(n, 'element')}; Triton needs a power of two, such as "
            f"{1 << n.bit_length()} with a mask (or launch with strict=False)"
        )
    _check_size((n,))
    return known_arange(first, last)


def _check_size(shape: Shape) -> None:
    if n_elem(shape) > MOST_ELEMENTS and running().port.strict:
        raise ShapeError(
            f"{here()}: a block {list(shape)} has {n_elem(shape)} elements; Triton's limit is {MOST_ELEMENTS}: use "
            "smaller blocks (or launch with strict=False)"
        )


def full(shape: Extents, value: BlockOrNumber, dtype: DTypeLike) -> Block:
    """A block ``shape`` of one value, in ``dtype``. Known, and so free, until something needs it in TCM.

    >>> tl.full((2, 4), 1.5, tl.float16).sum().item()
    12.0

    Raises:
        DTypeError: an integer ``dtype`` cannot hold ``value``.
    """
    extents = extent_tuple(shape, "the shape")
    _check_size(extents)
    program, kind = running(), dtype_of(dtype)
    if isinstance(value, Block):
        return program.broadcast_to(program.cast(value, kind), extents)
    if not isinstance(value, (bool, int, float)):
        value = program.block(value, "the value of tl.full").item()
    if value and kind.kind is NumberKind.INT:
        _check_fill(value, kind)
    return constant(known_number(value, kind).base, kind, extents)


def _check_fill(value: Number, dtype: DType) -> None:
    """The compiler's rule: an integer takes no float and, if unsigned, nothing negative; narrow ones wrap."""
    low, high = int_limits(int64 if dtype.signed else uint64)
    if isinstance(value, float) or not low <= value <= high:
        raise DTypeError(f"{here()}: {value} is no value of {dtype}; cast it, or choose another dtype")


def zeros(shape: Extents, dtype: DTypeLike) -> Block:
    """A block ``shape`` of zeros; known at once. As the first ``acc`` of :func:`dot` it costs nothing.

    >>> tl.zeros((16, 8), tl.float32).shape
    (16, 8)
    """
    return full(shape, 0, dtype)


def zeros_like(input: Block) -> Block:
    """Zeros of ``input``'s shape and dtype; known at once."""
    return full(input.shape, 0, input.dtype)


def to_tensor(x: BlockOrNumber) -> Block:
    """``x`` as a block: a number becomes a scalar of its own dtype.

    >>> tl.to_tensor(1.0).dtype, tl.to_tensor(1).dtype
    (fp32, int32)
    """
    return running().block(x, "the value")


def cast(
    input: BlockOrNumber,
    dtype: DTypeLike | PointerType,
    fp_downcast_rounding: str | None = None,
    bitcast: bool = False,
) -> Block:
    """``input`` in ``dtype``, rounded once to nearest even; ``bitcast`` keeps the bits instead.

    Integers cast to a pointer type, as addresses, and pointers to int64 or another pointer type.

    >>> tl.arange(0, 4).to(tl.float16).dtype, tl.cast(1.0, tl.int32, bitcast=True).item()
    (fp16, 1065353216)

    Raises:
        DTypeError: a float casts to no pointer; a pointer to no narrower integer.
    """
    program = running()
    block = program.block(input, "the value of tl.cast")
    if fp_downcast_rounding not in (None, "rtne"):
        raise UsageError(
            f"{here()}: fp_downcast_rounding {quoted(fp_downcast_rounding)} is not modelled; use 'rtne'"
        )
    if isinstance(dtype, PointerType) or isinstance(block, Pointer):
        return _cast_pointer(block, dtype)
    kind = dtype_of(dtype)
    if bitcast and kind is not block.dtype:
        return program.apply("bitcast", (block,), {"dtype": kind})
    return program.cast(block, kind)


def _cast_pointer(block: Block, dtype: Any) -> Block:
    if isinstance(block, Pointer):
        return block.recast(dtype if isinstance(dtype, PointerType) else dtype_of(dtype))
    addresses = running().known(block)
    if addresses.dtype.is_float:
        raise DTypeError(f"{here()}: a {addresses.dtype} block casts to no pointer; only integers do")
    return Pointer.at(addresses, dtype)


# -- memory -----------------------------------------------------------------------------------------------


def load(
    pointer: Block | int,
    mask: BlockOrNumber | tuple[Extent, ...] | None = None,
    other: Any = None,
    boundary_check: tuple[int, ...] = (),
    padding_option: str = "",
    cache_modifier: str = "",
    eviction_policy: str = "",
    volatile: bool = False,
    *,
    shape: Extents | None = None,
    dtype: DTypeLike | None = None,
    strides: Extents | None = None,
) -> Block:
    """The block that ``pointer`` points to, of its shape and element type, as a handle; one DMA command.

    Returns at once; PE_DMA moves the bytes into TCM, and what uses the block waits for them. Lanes where ``mask`` is
    False move no bytes and become ``other`` (zero without it). Block style: a scalar ``pointer`` and ``shape``
    (``strides`` in elements, row-major when None; ``dtype`` reinterprets the memory). A tuple in the place of ``mask``
    is a shape, and what is in the place of ``other`` then is a dtype. The cache's and the eviction's words have no
    effect.

    >>> at = tl.arange(0, 4)
    >>> tl.load(x_ptr + at, mask=at < 3, other=0.0).sum().item()  # x holds 1, 2, 3 and 4
    6.0
    >>> tl.load(x_ptr, shape=(2, 2)).sum(axis=1).shape
    (2,)

    Raises:
        PageFaultError: an active lane lies outside of the pointer's tensor.
        ShapeError: ``mask`` and ``pointer`` do not broadcast.
    """
    if isinstance(mask, tuple):
        shape, mask = mask, None
        if other is not None:
            dtype, other = other, None
    _no_block_pointer(boundary_check, padding_option)
    pointers = _pointer(pointer, shape, dtype, strides, "the pointer of tl.load")
    _check_size(pointers.shape)
    return transfer.load(running(), pointers, mask, other, is_volatile=volatile)


def store(
    pointer: Block | int,
    value: BlockOrNumber,
    mask: BlockOrNumber | None = None,
    boundary_check: tuple[int, ...] = (),
    cache_modifier: str = "",
    eviction_policy: str = "",
    *,
    strides: Extents | None = None,
) -> None:
    """Write ``value``, cast to what ``pointer`` points to, where ``mask`` is True; one DMA command.

    Returns at once; the bytes are written once ``value`` exists. ``value`` broadcasts to the pointers. Block style: a
    scalar ``pointer`` takes a block of ``value``'s shape (``strides`` in elements, row-major when None).

    >>> at = tl.arange(0, 4)
    >>> tl.store(y_ptr + at, 2 * tl.load(x_ptr + at), mask=at < 3)

    Raises:
        PageFaultError: an active lane lies outside of the pointer's tensor.
        ShapeError: ``value`` does not broadcast to the pointers, or ``mask`` does not fit them.
    """
    block = running().block(value, "the value of tl.store")
    shape = block.shape if strides is not None else None
    transfer.store(running(), _pointer(pointer, shape, None, strides, "the pointer of tl.store"), block, mask)


def ref(
    pointer: Block | int, shape: Extents, dtype: DTypeLike | None = None, strides: Extents | None = None
) -> Ref:
    """A block ``shape`` in memory at a scalar ``pointer``, not moved: an operand of :func:`composite`.

    ``strides`` are in elements, row-major when None; ``dtype`` reinterprets the memory.
    """
    return transfer.reference(_pointer(pointer, shape, dtype, strides, "the pointer of tl.ref"))


def _pointer(
    pointer: Block | int, shape: Extents | None, dtype: DTypeLike | None, strides: Extents | None, what: str
) -> Pointer:
    kind = None if dtype is None else dtype_of(dtype)
    found = transfer.pointer_to(pointer, kind, what)
    if shape is None:
        return found
    extents = extent_tuple(shape, "the shape")
    steps = None if strides is None else extent_tuple(strides, "the strides")
    return transfer.block_pointer(found, extents, steps)


def _no_block_pointer(boundary_check: tuple[int, ...], padding_option: str) -> None:
    if boundary_check or padding_option:
        raise UsageError(
            f"{here()}: boundary_check and padding_option need a block pointer, which is not modelled; use mask= and "
            "other= instead"
        )


def composite(op: str, *operands: BlockOrNumber, out: Ref, **attrs: Any) -> Future:
    """A whole op on memory: operands (:func:`ref`, or blocks) stream in tile by tile, the result streams to ``out``.

    ``op`` is "gemm" (or "dot") or any registered op, ``attrs`` are its attributes, such as ``axis``. Returns at once;
    :func:`wait` waits for it.

    >>> done = tl.composite("exp", tl.ref(x_ptr, (4,)), out=tl.ref(y_ptr, (4,)))
    >>> tl.wait(done)

    Raises:
        ShapeError: the op makes another shape than that of ``out``.
        UnknownNameError: there is no such op.
    """
    return transfer.composite(running(), op, operands, out, attrs)


def wait(*what: Future | Block) -> Block | tuple[Block | None, ...] | None:
    """Issue nothing more until all of ``what`` (futures, loaded blocks) are complete.

    Gives the block of a ``recv_async``, a tuple where there are several futures, None for those of other work.
    """
    transfer.wait(running(), what)
    blocks = tuple([x.handle if isinstance(x, queues.RecvFuture) else None for x in what])
    return blocks[0] if len(blocks) == 1 else blocks if any(x is not None for x in blocks) else None


def test(future: Future | Block) -> bool:
    """Whether the work of ``future``, or of a loaded block, is done by now; costs a readback, and waits for nothing."""
    program = running()
    if not isinstance(future, (Future, TensorHandle)):
        raise UsageError(f"{here()}: tl.test takes a future or a block, not {type(future).__name__}")
    program.own(future)
    program.flush()
    return program.port.is_done(future.value.version, here())


# -- queues -----------------------------------------------------------------------------------------------


def send(dir: str, src: BlockOrNumber) -> None:
    """Send the block ``src`` through the queue ``dir``; go on when its last byte has left this PE.

    It starts when ``src`` exists and all earlier loads and stores are complete; each slot that it takes needs a credit.
    A pointer or ``tl.ref`` is loaded first. In a kernel, with the receiver's line on the next PE::

        tl.send("E", tl.load(x_ptr + at))
        x = tl.recv("W", (64,), tl.float32)

    Raises:
        UsageError: there is no queue ``dir`` on this PE.
    """
    queues.send(running(), dir, src, blocks=True)


def send_async(dir: str, src: BlockOrNumber) -> Future:
    """Send the block ``src`` without waiting: ``tl.wait`` waits until the last byte has left."""
    return queues.send(running(), dir, src, blocks=False)


@overload
def recv(dir: str, shape: Extents, dtype: DTypeLike, dst: None = None) -> Block: ...
@overload
def recv(dir: str, shape: Extents, dtype: DTypeLike, dst: Block | int) -> None: ...
def recv(dir: str, shape: Extents, dtype: DTypeLike, dst: Block | int | None = None) -> Block | None:
    """Wait for the next message of the queue ``dir``, a block ``shape`` of ``dtype``: exactly what was sent.

    The block lies in the queue's slots, which are free when its last handle is gone. (It is copied into TCM, and the
    slots are free with that, if the ring is not in TCM or cannot hold a whole message.) With ``dst``, a pointer or
    ``tl.ref``, it is stored there and nothing is returned.

    Raises:
        UsageError: there is no queue ``dir`` on this PE.
        QueueError: what was sent has another shape or dtype.
    """
    program = running()
    received = queues.recv(program, dir, shape, dtype, blocks=True)
    if dst is None:
        return received.handle
    queues.store_received(program, received.handle, dst)
    return None


def recv_async(dir: str, shape: Extents, dtype: DTypeLike) -> Future:
    """Receive a block without waiting: ``tl.wait`` gives it, ``tl.test`` says whether it is there."""
    return queues.recv(running(), dir, shape, dtype, blocks=False)


def rank() -> int:
    """This PE's rank among those whose queues were installed together."""
    return queues.site_of(running(), "rank()").rank


def num_ranks() -> int:
    """The number of PEs whose queues were installed together."""
    return queues.site_of(running(), "num_ranks()").n_ranks


def coords() -> tuple[int, int]:
    """This PE's ``(x, y)`` in the grid of all PEs of the machine; x grows to the east, y to the south."""
    return queues.site_of(running(), "coords()").coords


def neighbor(dir: str) -> int | None:
    """The rank at the other end of the queue ``dir``; None if there is no such queue here."""
    end = queues.site_of(running(), f'neighbor("{dir}")').ends.get(dir)
    return None if end is None else end.peer.rank


# -- arithmetic -------------------------------------------------------------------------------------------


def dot(
    input: Block,
    other: Block,
    acc: Block | None = None,
    input_precision: str | None = None,
    allow_tf32: bool | None = None,
    max_num_imprecise_acc: int | None = None,
    out_dtype: DTypeLike | None = None,
) -> TensorHandle:
    """``[m, k] @ [k, n] (+ acc)``, ``[m, n]``, accumulated in fp32 (int32 for int8, fp64 for fp64).

    Returns at once; PE_GEMM runs it.

    fp16 and fp8 operands heed ``out_dtype=tl.float16``, or an fp16 ``acc``, and round once per call; others ignore it.
    If ``acc`` dies with this call (``acc = tl.dot(a, b, acc)``) the result takes over its bytes. The precision hints
    are accepted and have no effect: no input is rounded.

    >>> a = tl.load(x_ptr, shape=(2, 2))
    >>> acc = tl.dot(a, a, tl.zeros((2, 2), tl.float32))
    >>> acc.sum().item()  # [[1, 2], [3, 4]] by itself is [[7, 10], [15, 22]]
    54.0

    Raises:
        DTypeError: the operands are of two dtypes, or none that PE_GEMM multiplies.
        ShapeError: the inner dimensions differ, or ``acc`` is not ``[m, n]``.
    """
    if input_precision not in PRECISIONS:
        names = ", ".join(repr(name) for name in PRECISIONS if name)
        raise UsageError(
            f"{here()}: tl.dot: no input_precision {quoted(input_precision)}; Triton has {names}"
        )
    program = running()
    blocks = [program.tensor("dot", input), program.tensor("dot", other)]
    if acc is not None:
        blocks.append(program.tensor("dot", acc))
    typed = tuple([Typed(x.shape, x.dtype) for x in blocks])
    attrs = NO_ATTRS if out_dtype is None else {"out_dtype": dtype_of(out_dtype)}
    result, _ = program.plan("dot", typed, attrs)
    if acc is not None and _is_zero(blocks[2]):
        blocks.pop()  # the array starts from zero by itself
    # Held until the command is pushed: what is made here must not die before its user is issued.
    handles = [program.materialised(x) for x in blocks]
    operands = tuple([x.operand for x in handles])
    handle = program.result(result.shape, result.dtype)
    (m, n), k = result.shape, typed[0].shape[1]
    start = operands[2] if len(operands) == 3 else None
    program.push(GemmCmd(m=m, n=n, k=k, acc=start, operands=operands, result=handle.operand))
    return handle


def _is_zero(x: Block) -> bool:
    """Whether a block is known to hold zeros alone."""
    return isinstance(x, Known) and x.is_constant and bool(x.base == 0)


class _Unary(Protocol):
    """A function of each element of one block."""

    def __call__(self, x: BlockOrNumber) -> Block:
        """Call it."""


class _Binary(Protocol):
    """A function of each pair of elements of two blocks, which broadcast."""

    def __call__(self, input: BlockOrNumber, other: BlockOrNumber) -> Block:
        """Call it."""


def _unary(name: str, computes: str) -> _Unary:
    def function(x: BlockOrNumber) -> Block:
        return running().apply(name, (x,))

    return _named(function, name, computes)


def _binary(name: str, computes: str) -> _Binary:
    def function(input: BlockOrNumber, other: BlockOrNumber) -> Block:
        return running().apply(name, (input, other))

    return _named(function, name, computes)


def _named(function: _F, name: str, computes: str) -> _F:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = computes
    return function


abs = _unary("abs", "Size of each element, without its sign.")
exp = _unary("exp", "e to the power of each element, a float.")
exp2 = _unary("exp2", "2 to the power of each element, a float.")
log = _unary("log", "Natural logarithm of each element, a float.")
log2 = _unary("log2", "Logarithm to base 2 of each element, a float.")
sin = _unary("sin", "Sine of each element, a float, in radians.")
cos = _unary("cos", "Cosine of each element, a float, in radians.")
floor = _unary("floor", "Next whole number at or below each element, a float.")
ceil = _unary("ceil", "Next whole number at or above each element, a float.")
sqrt = _unary("sqrt", "Square root of each element, a float.")
sqrt_rn = sqrt
rsqrt = _unary("rsqrt", "1 / square root of each element, a float.")
sigmoid = _unary("sigmoid", "1 / (1 + exp(-x)) of each element, a float.")
add = _binary("add", "Sum of each pair of elements.")
sub = _binary("sub", "Difference of each pair of elements.")
mul = _binary("mul", "Product of each pair of elements.")


def where(condition: BlockOrNumber, x: BlockOrNumber, y: BlockOrNumber) -> Block:
    """``x`` where ``condition`` holds, else ``y``, element by element; all three broadcast.

    >>> at = tl.arange(0, 4)
    >>> print(tl.where(at < 2, at, -1))
    [ 0  1 -1 -1]
    """
    return running().apply("where", (condition, x, y))


def fma(x: BlockOrNumber, y: BlockOrNumber, z: BlockOrNumber) -> Block:
    """``x * y + z``, element by element, rounded once: one command where ``*`` and ``+`` are two."""
    return running().apply("fma", (x, y, z))


def fdiv(x: BlockOrNumber, y: BlockOrNumber, ieee_rounding: bool = False) -> Block:
    """``x / y`` of floats, element by element; always rounded to nearest."""
    return running().apply("div", (x, y))


def div_rn(x: BlockOrNumber, y: BlockOrNumber) -> Block:
    """``x / y`` of floats, element by element, rounded to nearest."""
    return running().apply("div", (x, y))


def maximum(x: BlockOrNumber, y: BlockOrNumber, propagate_nan: int = PropagateNan.NONE) -> Block:
    """The larger of each pair; a NaN loses unless it propagates."""
    return words.larger(x, y, **_nan(propagate_nan))


def minimum(x: BlockOrNumber, y: BlockOrNumber, propagate_nan: int = PropagateNan.NONE) -> Block:
    """The smaller of each pair; a NaN loses unless it propagates."""
    return words.smaller(x, y, **_nan(propagate_nan))


def clamp(
    x: BlockOrNumber, min: BlockOrNumber, max: BlockOrNumber, propagate_nan: int = PropagateNan.NONE
) -> Block:
    """``x`` held within ``[min, max]``, element by element; a NaN becomes ``min`` unless it propagates."""
    return running().apply("clamp", (x, min, max), _nan(propagate_nan))


def _nan(propagate_nan: int) -> dict[str, Any]:
    return {"propagate_nan": True} if propagate_nan == PropagateNan.ALL else {}


def cdiv(x: Any, div: Any) -> Any:
    """``x / div`` rounded up, for integers above zero: a block of one of them is, else an int.

    >>> tl.cdiv(100, 32)
    4
    """
    return (x + (div - 1)) // div


def sum(
    input: BlockOrNumber, axis: int | None = None, keep_dims: bool = False, dtype: DTypeLike | None = None
) -> Block:
    """Sum along ``axis`` (None: of everything). Floats keep their dtype and accumulate in fp32.

    The axis goes, or stays with extent 1 (``keep_dims``). With ``dtype`` the elements are cast first, and their sum has
    that dtype: an int8 wraps.

    >>> tl.load(x_ptr, shape=(2, 2)).sum(axis=0, keep_dims=True).shape
    (1, 2)

    Raises:
        ShapeError: the block has no such axis.
    """
    program = running()
    block = program.block(input, "the operand of tl.sum")
    if dtype is None:
        return _reduced("sum", block, axis, keep_dims)
    kind = dtype_of(dtype)
    return _reduced("sum", program.cast(block, kind), axis, keep_dims, dtype=kind)


def max(input: BlockOrNumber, axis: int | None = None, keep_dims: bool = False) -> Block:
    """The largest element along ``axis`` (None: of everything), NaN apart; narrow dtypes give fp32 or int32."""
    return _reduced("max", running().block(input, "the operand of tl.max"), axis, keep_dims)


def min(input: BlockOrNumber, axis: int | None = None, keep_dims: bool = False) -> Block:
    """The smallest element along ``axis`` (None: of everything), NaN apart; narrow dtypes give fp32 or int32."""
    return _reduced("min", running().block(input, "the operand of tl.min"), axis, keep_dims)


def _reduced(op: str, block: Block, axis: int | None, keep_dims: bool, **attrs: Any) -> Block:
    at = None if axis is None else _axis(block, axis)
    return running().apply(op, (block,), {"axis": at, "keep_dims": bool(keep_dims), **attrs})


def _axis(block: Block, axis: int) -> int:
    try:
        return check_axis(block.shape, int(axis))
    except ShapeError as error:
        raise ShapeError(f"{here()}: {error}") from None


def softmax(
    x: BlockOrNumber,
    dim: int | None = None,
    keep_dims: bool = False,
    ieee_rounding: bool = False,
    *,
    axis: int | None = None,
) -> Block:
    """Softmax along ``dim`` (or ``axis``; 0 when neither is given), one command; narrow floats give fp32.

    ``keep_dims`` has no effect: the result always has ``x``'s shape.

    >>> tl.softmax(tl.load(x_ptr, shape=(2, 2)), dim=1).sum(axis=1).shape
    (2,)
    """
    at = dim if dim is not None else axis if axis is not None else 0
    block = running().block(x, "the operand of tl.softmax")
    return running().apply("softmax", (block,), {"axis": _axis(block, at)})


# -- shape ------------------------------------------------------------------------------------------------


def broadcast_to(input: BlockOrNumber, *shape: Extents) -> Block:
    """``input`` broadcast to ``shape``, one tuple or an extent each.

    >>> print(tl.arange(0, 2)[:, None].broadcast_to(2, 4))
    [[0 0 0 0]
     [1 1 1 1]]

    Raises:
        ShapeError: it does not broadcast to it.
    """
    program = running()
    return program.broadcast_to(program.block(input, "the operand of tl.broadcast_to"), _extents(shape))


def broadcast(input: Block, other: Block) -> tuple[Block, Block]:
    """Both blocks, broadcast to their common shape.

    Raises:
        ShapeError: they have none.
    """
    program = running()
    shape = transfer.broadcast_or_none(input.shape, other.shape)
    if shape is None:
        raise ShapeError(f"{here()}: {list(input.shape)} and {list(other.shape)} do not broadcast")
    return program.broadcast_to(input, shape), program.broadcast_to(other, shape)


def expand_dims(input: BlockOrNumber, axis: int | Sequence[int]) -> Block:
    """``input`` with a dimension of extent 1 at each ``axis`` of the result; moves nothing.

    >>> tl.expand_dims(tl.arange(0, 4), (0, 2)).shape
    (1, 4, 1)
    """
    shape = list(running().block(input, "the operand of tl.expand_dims").shape)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    rank = len(shape) + len(axes)
    for at in sorted(int(a) % rank for a in axes):
        shape.insert(at, 1)
    return reshape(input, shape)


def reshape(input: BlockOrNumber, *shape: Extents, can_reorder: bool = False) -> Block:
    """``input``'s elements, in C order, in another shape, one tuple or an extent each; moves nothing.

    >>> tl.arange(0, 8).reshape(2, 4).shape
    (2, 4)

    Raises:
        ShapeError: the two shapes have not as many elements.
    """
    block = running().block(input, "the operand of tl.reshape")
    extents = _extents(shape)
    if n_elem(extents) != block.numel:
        raise ShapeError(
            f"{here()}: tl.reshape: {list(block.shape)} has {block.numel} elements and {list(extents)} has "
            f"{n_elem(extents)}; they must be equal"
        )
    return block.reshaped(extents)


view = reshape


def ravel(x: Block, can_reorder: bool = False) -> Block:
    """``x`` in one dimension; moves nothing."""
    return reshape(x, x.numel)


def permute(input: BlockOrNumber, *dims: Any) -> Block:
    """``input`` with its dimensions in the order ``dims``, one tuple or a dimension each.

    >>> tl.load(x_ptr, shape=(1, 2, 2)).permute(2, 1, 0).shape
    (2, 2, 1)
    """
    block = running().block(input, "the operand of tl.permute")
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return running().permute(block, tuple(int(d) for d in order))


def trans(input: Block, *dims: Any) -> Block:
    """``input`` with its last two dimensions exchanged, or with its dimensions in the order ``dims``.

    >>> tl.arange(0, 8).reshape(2, 4).trans().shape
    (4, 2)
    """
    return permute(input, *dims) if dims else input.T


def _extents(shape: tuple[Any, ...]) -> Shape:
    return extent_tuple(shape[0] if len(shape) == 1 else shape, "the shape")


def __getattr__(name: str) -> Any:
    if name in OPS:
        return lambda *operands, **attrs: running().apply(name, operands, attrs)
    raise UnknownAttributeError(
        f"{here()}: tl has no {name!r}; {nearest(name, __dir__())}dir(tl) lists what there is"
    )


# The methods that :class:`Block` names for type checkers; what other ops are registered, it finds itself.
for _function in (
    abs, exp, exp2, log, log2, sin, cos, floor, ceil, sqrt, rsqrt, sigmoid, softmax, sum, max, min, cdiv, cast,
    broadcast_to, expand_dims, reshape, ravel, permute, trans,
):  # fmt: skip
    setattr(Block, getattr(_function, "__name__"), _function)  # noqa: B009 - of a Protocol
for _name, _function in (("sqrt_rn", sqrt), ("to", cast), ("view", view)):
    setattr(Block, _name, _function)

__all__ = [
    "PropagateNan", "abs", "add", "arange", "as_dtype", "assume", "bfloat16", "broadcast", "broadcast_to", "cast",
    "cdiv", "ceil", "clamp", "clock", "composite", "constexpr", "coords", "cos", "debug_barrier", "device_print",
    "div_rn", "dot", "dtype", "exp", "exp2", "expand_dims", "fdiv", "float16", "float32", "float64", "float8e4nv",
    "float8e5", "floor", "fma", "full", "int1", "int16", "int32", "int64", "int8", "load", "log", "log2", "max",
    "max_constancy", "max_contiguous", "maximum", "min", "minimum", "mul", "multiple_of", "neighbor", "num_programs",
    "num_ranks", "permute", "pointer_type", "program_id", "range", "rank", "ravel", "recv", "recv_async", "ref",
    "reshape", "rsqrt", "send", "send_async", "sigmoid", "sin", "softmax", "sqrt", "sqrt_rn", "static_assert",
    "static_print", "static_range", "store", "sub", "sum", "tensor", "test", "to_tensor", "trans", "uint16", "uint32",
    "uint64", "uint8", "view", "wait", "where", "zeros", "zeros_like",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in OPS if not keyword.iskeyword(name))})
