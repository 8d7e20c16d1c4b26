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

from collections.abc import Callable
from typing import Any

from kernbench.dtypes import (
    DType,
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
from kernbench.lang.block import Block
from kernbench.lang.constants import constexpr
from kernbench.lang.context import dtype_of, extent_tuple, running
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
    """This program's index along ``axis`` (0, 1 or 2), an int32 scalar."""
    return running().ids[_grid_axis(axis)]


def num_programs(axis: int) -> Known:
    """Programs along ``axis`` (0, 1 or 2), an int32 scalar."""
    return running().extents[_grid_axis(axis)]


def _grid_axis(axis: int) -> int:
    if axis not in (0, 1, 2):
        raise UsageError(f"{here()}: a grid has the axes 0, 1 and 2, not {axis}")
    return axis


# -- making blocks ----------------------------------------------------------------------------------------


def arange(start: Any, end: Any) -> Known:
    """``[start, end)``, an int32 block; its length is a power of two unless the launch is not strict."""
    start, end = extent_tuple((start, end), "the bounds of tl.arange")
    n = end - start
    if n <= 0:
        raise ShapeError(f"{here()}: tl.arange({start}, {end}) is empty; end must be greater than start")
    if running().port.strict and n & (n - 1):
        raise ShapeError(
            f"{here()}: tl.arange({start}, {end}) has {plural(n, 'element')}; Triton needs a power of two, such as "
            f"{1 << n.bit_length()} with a mask (or launch with strict=False)"
        )
    _check_size((n,))
    return known_arange(start, end)


def _check_size(shape: Shape) -> None:
    if n_elem(shape) > MOST_ELEMENTS and running().port.strict:
        raise ShapeError(
            f"{here()}: a block {list(shape)} has {n_elem(shape)} elements; Triton's limit is {MOST_ELEMENTS}: use "
            "smaller blocks (or launch with strict=False)"
        )


def full(shape: Any, value: Any, dtype: Any) -> Any:
    """A block of one value. Known, and so free, until something needs it in TCM."""
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


def zeros(shape: Any, dtype: Any) -> Any:
    """A block of zeros."""
    return full(shape, 0, dtype)


def zeros_like(input: Block) -> Any:
    """Zeros of ``input``'s shape and dtype."""
    return full(input.shape, 0, input.dtype)


def to_tensor(x: Any) -> Any:
    """``x`` as a block: a number becomes a scalar of its own dtype."""
    return running().block(x, "the value")


def cast(input: Any, dtype: Any, fp_downcast_rounding: str | None = None, bitcast: bool = False) -> Any:
    """``input`` in ``dtype``, rounded once to nearest even; ``bitcast`` keeps the bits instead."""
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


def _cast_pointer(block: Any, dtype: Any) -> Any:
    if isinstance(block, Pointer):
        return block.recast(dtype if isinstance(dtype, PointerType) else dtype_of(dtype))
    addresses = running().known(block)
    if addresses.dtype.is_float:
        raise DTypeError(f"{here()}: a {addresses.dtype} block casts to no pointer; only integers do")
    return Pointer.at(addresses, dtype)


# -- memory -----------------------------------------------------------------------------------------------


def load(
    pointer: Any,
    mask: Any = None,
    other: Any = None,
    boundary_check: Any = (),
    padding_option: str = "",
    cache_modifier: str = "",
    eviction_policy: str = "",
    volatile: bool = False,
    *,
    shape: Any = None,
    dtype: Any = None,
    strides: Any = None,
) -> Any:
    """The block that ``pointer`` points to, as a handle; one DMA command.

    Lanes where ``mask`` is False move no bytes and become ``other`` (zero without it). Block style: a scalar
    ``pointer`` and ``shape`` (``strides`` in elements, row-major when None; ``dtype`` reinterprets the memory).
    A tuple in the place of ``mask`` is a shape.

    Raises:
        PageFaultError: an active lane lies outside of the pointer's tensor.
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
    pointer: Any,
    value: Any,
    mask: Any = None,
    boundary_check: Any = (),
    cache_modifier: str = "",
    eviction_policy: str = "",
    *,
    strides: Any = None,
) -> None:
    """Write ``value``, cast to what ``pointer`` points to, where ``mask`` is True; one DMA command.

    Block style: a scalar ``pointer`` takes a block of ``value``'s shape (``strides`` in elements, row-major when None).
    """
    pointers = _pointer(
        pointer, value.shape if strides is not None else None, None, strides, "the pointer of tl.store"
    )
    transfer.store(running(), pointers, value, mask)


def ref(pointer: Any, shape: Any, dtype: Any = None, strides: Any = None) -> Ref:
    """A block in memory, not moved: an operand of ``tl.composite``."""
    return transfer.reference(_pointer(pointer, shape, dtype, strides, "the pointer of tl.ref"))


def _pointer(pointer: Any, shape: Any, dtype: Any, strides: Any, what: str) -> Pointer:
    kind = None if dtype is None else dtype_of(dtype)
    found = transfer.pointer_to(pointer, kind, what)
    if shape is None:
        return found
    extents = extent_tuple(shape, "the shape")
    steps = None if strides is None else extent_tuple(strides, "the strides")
    return transfer.block_pointer(found, extents, steps)


def _no_block_pointer(boundary_check: Any, padding_option: str) -> None:
    if boundary_check or padding_option:
        raise UsageError(
            f"{here()}: boundary_check and padding_option need a block pointer, which is not modelled; use mask= and "
            "other= instead"
        )


def composite(op: str, *operands: Any, out: Ref, **attrs: Any) -> Future:
    """A whole op on memory: its operands (``tl.ref``, or blocks) stream in tile by tile, the result streams to ``out``.

    ``op`` is "gemm" (or "dot") or any registered op. Returns at once; ``tl.wait`` waits for it.
    """
    return transfer.composite(running(), op, operands, out, attrs)


def wait(*what: Any) -> Any:
    """Issue nothing more until all of ``what`` (futures, handles) are complete.

    Gives the block of a ``recv_async``, a tuple where there are several futures, None for those of other work.
    """
    transfer.wait(running(), what)
    blocks = tuple([x.handle if isinstance(x, queues.RecvFuture) else None for x in what])
    return blocks[0] if len(blocks) == 1 else blocks if any(x is not None for x in blocks) else None


def test(future: Any) -> bool:
    """Whether the work of ``future`` is done by now; costs a readback, and waits for nothing."""
    program = running()
    if not isinstance(future, (Future, TensorHandle)):
        raise UsageError(f"{here()}: tl.test takes a future or a block, not {type(future).__name__}")
    program.own(future)
    program.flush()
    return program.port.is_done(future.value.version, here())


# -- queues -----------------------------------------------------------------------------------------------


def send(dir: str, src: Any) -> None:
    """Send the block ``src`` through the queue ``dir``; go on when its last byte has left this PE.

    It starts when ``src`` exists and all earlier loads and stores are complete; each slot that it takes needs a credit.
    A pointer or ``tl.ref`` is loaded first.
    """
    queues.send(running(), dir, src, blocks=True)


def send_async(dir: str, src: Any) -> Future:
    """Send without waiting: ``tl.wait`` waits until the last byte has left."""
    return queues.send(running(), dir, src, blocks=False)


def recv(dir: str, shape: Any, dtype: Any, dst: Any = None) -> Any:
    """Wait for the next message of the queue ``dir``, a block ``shape`` of ``dtype``: exactly what was sent.

    The block lies in the queue's slots, which are free when its last handle is gone. (It is copied into TCM, and the
    slots are free with that, if the ring is not in TCM or cannot hold a whole message.) With ``dst``, a pointer or
    ``tl.ref``, it is stored there and nothing is returned.
    """
    program = running()
    received = queues.recv(program, dir, shape, dtype, blocks=True)
    if dst is None:
        return received.handle
    queues.store_received(program, received.handle, dst)
    return None


def recv_async(dir: str, shape: Any, dtype: Any) -> Future:
    """Receive without waiting: ``tl.wait`` gives the block, ``tl.test`` says whether it is there."""
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
    input: Any,
    other: Any,
    acc: Any = None,
    input_precision: str | None = None,
    allow_tf32: bool | None = None,
    max_num_imprecise_acc: int | None = None,
    out_dtype: Any = None,
) -> TensorHandle:
    """``[m, k] @ [k, n] (+ acc)``, accumulated in fp32 (int32 for int8, fp64 for fp64).

    fp16 and fp8 operands heed ``out_dtype=tl.float16``, or an fp16 ``acc``, and round once per call; others ignore it.
    If ``acc`` dies with this call (``acc = tl.dot(a, b, acc)``) the result takes over its bytes. The precision hints
    are accepted and have no effect: no input is rounded.

    Raises:
        ShapeError: the inner dimensions differ, or ``acc`` is not ``[m, n]``.
    """
    if input_precision not in PRECISIONS:
        names = ", ".join(repr(name) for name in PRECISIONS if name)
        raise UsageError(
            f"{here()}: tl.dot: no input_precision {quoted(input_precision)}; Triton has {names}"
        )
    program = running()
    a, b = program.tensor("dot", input), program.tensor("dot", other)
    start = None if acc is None else program.tensor("dot", acc)
    typed = tuple(Typed(x.shape, x.dtype) for x in (a, b, start) if x is not None)
    attrs = {} if out_dtype is None else {"out_dtype": dtype_of(out_dtype)}
    result, _ = program.plan("dot", typed, attrs)
    if isinstance(start, Known) and start.is_constant and start.base == 0:
        start = None  # the array starts from zero by itself
    blocks = [program.materialised(x) for x in (a, b, start) if x is not None]
    handle = program.result(result.shape, result.dtype)
    (m, n), k = result.shape, a.shape[1]
    program.push(
        GemmCmd(
            m=m,
            n=n,
            k=k,
            acc=None if start is None else blocks[2].operand,
            operands=tuple([x.operand for x in blocks]),
            result=handle.operand,
            seq=program.port.next_seq(),
            program=program.port.program,
            line=here(),
        )
    )
    return handle


def _op(name: str, n_operands: int = 1) -> Callable[..., Any]:
    def function(*operands: Any, **attrs: Any) -> Any:
        if len(operands) != n_operands:
            raise UsageError(f"{here()}: tl.{name} takes {n_operands} operands, not {len(operands)}")
        return running().apply(name, operands, attrs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"The op {name!r} of {n_operands} operand{'s' if n_operands > 1 else ''}, element by element."
    )
    return function


abs = _op("abs")
exp, exp2, log, log2 = _op("exp"), _op("exp2"), _op("log"), _op("log2")
sin, cos, floor, ceil = _op("sin"), _op("cos"), _op("floor"), _op("ceil")
sqrt, rsqrt, sigmoid = _op("sqrt"), _op("rsqrt"), _op("sigmoid")
sqrt_rn = sqrt
add, sub, mul = _op("add", 2), _op("sub", 2), _op("mul", 2)
where, fma = _op("where", 3), _op("fma", 3)


def fdiv(x: Any, y: Any, ieee_rounding: bool = False) -> Any:
    """``x / y`` of floats; always rounded to nearest."""
    return running().apply("div", (x, y))


def div_rn(x: Any, y: Any) -> Any:
    """``x / y`` of floats, rounded to nearest."""
    return running().apply("div", (x, y))


def maximum(x: Any, y: Any, propagate_nan: int = PropagateNan.NONE) -> Any:
    """The larger of each pair; a NaN loses unless it propagates."""
    return words.larger(x, y, **_nan(propagate_nan))


def minimum(x: Any, y: Any, propagate_nan: int = PropagateNan.NONE) -> Any:
    """The smaller of each pair; a NaN loses unless it propagates."""
    return words.smaller(x, y, **_nan(propagate_nan))


def clamp(x: Any, min: Any, max: Any, propagate_nan: int = PropagateNan.NONE) -> Any:
    """``x`` held within ``[min, max]``."""
    return running().apply("clamp", (x, min, max), _nan(propagate_nan))


def _nan(propagate_nan: int) -> dict[str, Any]:
    return {"propagate_nan": True} if propagate_nan == PropagateNan.ALL else {}


def cdiv(x: Any, div: Any) -> Any:
    """``x / div`` rounded up, for integers above zero."""
    return (x + (div - 1)) // div


def sum(input: Any, axis: int | None = None, keep_dims: bool = False, dtype: Any = None) -> Any:
    """Sum along ``axis`` (None: of everything). Floats keep their dtype and accumulate in fp32.

    With ``dtype`` the elements are cast first, and their sum has that dtype: an int8 wraps.
    """
    program = running()
    block = program.block(input, "the operand of tl.sum")
    if dtype is None:
        return _reduced("sum", block, axis, keep_dims)
    kind = dtype_of(dtype)
    return _reduced("sum", program.cast(block, kind), axis, keep_dims, dtype=kind)


def max(input: Any, axis: int | None = None, keep_dims: bool = False) -> Any:
    """The largest element along ``axis`` (None: of everything), NaN apart; narrow dtypes give fp32 or int32."""
    return _reduced("max", running().block(input, "the operand of tl.max"), axis, keep_dims)


def min(input: Any, axis: int | None = None, keep_dims: bool = False) -> Any:
    """The smallest element along ``axis`` (None: of everything), NaN apart; narrow dtypes give fp32 or int32."""
    return _reduced("min", running().block(input, "the operand of tl.min"), axis, keep_dims)


def _reduced(op: str, block: Block, axis: int | None, keep_dims: bool, **attrs: Any) -> Any:
    at = None if axis is None else _axis(block, axis)
    return running().apply(op, (block,), {"axis": at, "keep_dims": bool(keep_dims), **attrs})


def _axis(block: Block, axis: int) -> int:
    try:
        return check_axis(block.shape, int(axis))
    except ShapeError as error:
        raise ShapeError(f"{here()}: {error}") from None


def softmax(
    x: Any,
    dim: int | None = None,
    keep_dims: bool = False,
    ieee_rounding: bool = False,
    *,
    axis: int | None = None,
) -> Any:
    """softmax along ``dim`` (or ``axis``; 0 when neither is given), one command; narrow floats give fp32.

    ``keep_dims`` has no effect: the result always has ``x``'s shape.
    """
    at = dim if dim is not None else axis if axis is not None else 0
    block = running().block(x, "the operand of tl.softmax")
    return running().apply("softmax", (block,), {"axis": _axis(block, at)})


# -- shape ------------------------------------------------------------------------------------------------


def broadcast_to(input: Any, *shape: Any) -> Any:
    """``input`` broadcast to ``shape``."""
    program = running()
    return program.broadcast_to(program.block(input, "the operand of tl.broadcast_to"), _extents(shape))


def broadcast(input: Any, other: Any) -> tuple[Any, Any]:
    """Both blocks, broadcast to their common shape."""
    program = running()
    shape = transfer.broadcast_or_none(input.shape, other.shape)
    if shape is None:
        raise ShapeError(f"{here()}: {list(input.shape)} and {list(other.shape)} do not broadcast")
    return program.broadcast_to(input, shape), program.broadcast_to(other, shape)


def expand_dims(input: Any, axis: Any) -> Any:
    """``input`` with a dimension of extent 1 before each ``axis`` of the result; moves nothing."""
    shape = list(running().block(input, "the operand of tl.expand_dims").shape)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    rank = len(shape) + len(axes)
    for at in sorted(int(a) % rank for a in axes):
        shape.insert(at, 1)
    return reshape(input, shape)


def reshape(input: Any, *shape: Any, can_reorder: bool = False) -> Any:
    """``input``'s elements, in C order, in another shape; moves nothing."""
    block = running().block(input, "the operand of tl.reshape")
    extents = _extents(shape)
    if n_elem(extents) != block.numel:
        raise ShapeError(
            f"{here()}: tl.reshape: {list(block.shape)} has {block.numel} elements and {list(extents)} has "
            f"{n_elem(extents)}; they must be equal"
        )
    return block.reshaped(extents)


view = reshape


def ravel(x: Any, can_reorder: bool = False) -> Any:
    """``x`` in one dimension; moves nothing."""
    return reshape(x, x.numel)


def permute(input: Any, *dims: Any) -> Any:
    """``input`` with its dimensions in the order ``dims``."""
    block = running().block(input, "the operand of tl.permute")
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return running().permute(block, tuple(int(d) for d in order))


def trans(input: Any, *dims: Any) -> Any:
    """``input`` with its last two dimensions exchanged, or with its dimensions in the order ``dims``."""
    return permute(input, *dims) if dims else input.T


def _extents(shape: tuple[Any, ...]) -> Shape:
    return extent_tuple(shape[0] if len(shape) == 1 else shape, "the shape")


def __getattr__(name: str) -> Any:
    if name in OPS:
        return lambda *operands, **attrs: running().apply(name, operands, attrs)
    raise UnknownAttributeError(
        f"{here()}: tl has no {name!r}; {nearest(name, __dir__())}dir(tl) lists what there is"
    )


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Block, *args: Any, **named: Any) -> Any:
        return function(self, *args, **named)

    method.__name__ = function.__name__
    method.__doc__ = function.__doc__
    return method


_METHODS: dict[str, Callable[..., Any]] = {
    **{
        f.__name__: f
        for f in (abs, exp, exp2, log, log2, sin, cos, floor, ceil, sqrt, rsqrt, sigmoid, softmax)
    },
    **{
        f.__name__: f
        for f in (sum, max, min, cast, broadcast_to, expand_dims, reshape, ravel, trans, permute, cdiv)
    },
    "sqrt_rn": sqrt,
    "to": cast,
    "view": view,
}
for _name, _function in _METHODS.items():
    setattr(Block, _name, _method(_function))

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
    return sorted({*__all__, *OPS})
