"""Loads, stores and memory-to-memory work: one command each, whatever the shape of the block."""

from __future__ import annotations

from typing import Any, cast

from kernbench.dtypes import DType, int1
from kernbench.errors import ShapeError, UnknownNameError, UsageError
from kernbench.lang.affine import row_major
from kernbench.lang.block import Block, describe
from kernbench.lang.context import NO_ATTRS, Attrs, ProgramContext, running
from kernbench.lang.handle import Future, Ref, TensorHandle
from kernbench.lang.known import Known, constant
from kernbench.lang.owner import usable
from kernbench.lang.pointer import Pointer, PointerType, access_of
from kernbench.lang.source import here
from kernbench.messages.commands import HBM, DmaReadCmd, DmaWriteCmd, GemmCmd, MathCmd, Operand, WaitCmd
from kernbench.ops import OPS, Typed, Unit
from kernbench.ops.spec import Shape, broadcast_shape
from kernbench.registry import did_you_mean
from kernbench.wording import quoted


def pointer_to(x: Any, dtype: DType | None, what: str) -> Pointer:
    """``x`` as pointers to ``dtype`` (None: to what they point to): a pointer, or an address as an integer."""
    if isinstance(x, Ref):
        x = x.pointer
    elif isinstance(x, TensorHandle):
        x = running().known(x)
    if isinstance(x, Pointer):
        usable(running(), x)
        return x if dtype is None or x.dtype.element_ty is dtype else x.retyped(PointerType(dtype))
    if dtype is not None and (isinstance(x, int) or (isinstance(x, Known) and not x.dtype.is_float)):
        return Pointer.at(running().known(running().block(x, what)), PointerType(dtype))
    found = describe(x.shape, x.dtype) if isinstance(x, Block) else type(x).__name__
    raise UsageError(f"{here()}: {what} must be a pointer (or an address, with dtype=), not {found}")


def block_pointer(pointer: Pointer, shape: Shape, strides: Shape | None) -> Pointer:
    """The pointers of a whole block at a scalar ``pointer``; ``strides`` in elements, row-major when None."""
    if pointer.shape:
        raise ShapeError(
            f"{here()}: shape= needs a scalar pointer, not a block {list(pointer.shape)}; leave one of the two away"
        )
    if strides is None:
        strides = row_major(shape)
    elif len(strides) != len(shape):
        raise ShapeError(f"{here()}: strides {list(strides)} and shape {list(shape)} differ in length")
    step = pointer.dtype.itemsize
    in_bytes = tuple([0 if extent == 1 else s * step for extent, s in zip(shape, strides, strict=True)])
    return pointer.spread(shape, in_bytes)


def load(
    program: ProgramContext, pointer: Pointer, mask: Any, other: Any, *, is_volatile: bool = False
) -> Block:
    """The block that ``pointer`` points to; one DmaReadCmd, or none where no lane is active."""
    if mask is not None:
        pointer, mask = _masked(program, pointer, mask)
    dtype: DType = pointer.dtype.element_ty
    shape = pointer.shape
    access = access_of(pointer, mask, "reads")
    if access is None:
        return _nothing_read(program, other, dtype, shape)
    is_partial = access.shape != shape if access.addresses is None else len(access.addresses) < pointer.numel
    # Held until the command is pushed: what a cast made must not die before its user is issued.
    filler = _filler(program, other, dtype, shape) if is_partial and other is not None else None
    fill = filler.operand if isinstance(filler, TensorHandle) else filler
    source = Operand(shape=shape, dtype=dtype, space=HBM, access=access)
    handle = program.result(shape, dtype)
    program.push(
        DmaReadCmd(
            fill=fill,
            is_volatile=bool(is_volatile),
            operands=(source, fill) if isinstance(fill, Operand) else (source,),
            result=handle.operand,
        )
    )
    return handle


def store(program: ProgramContext, pointer: Pointer, value: Any, mask: Any) -> None:
    """Write ``value``, cast to what ``pointer`` points to; one DmaWriteCmd, or none where no lane is active."""
    value = program.block(value, "the value of tl.store")
    if not pointer.shape and value.shape:
        pointer = block_pointer(pointer, value.shape, None)
    if mask is not None:
        pointer, mask = _masked(program, pointer, mask)
    access = access_of(pointer, mask, "writes")
    if access is None:
        return
    dtype: DType = pointer.dtype.element_ty
    if broadcast_or_none(value.shape, pointer.shape) != pointer.shape:
        raise ShapeError(
            f"{here()}: tl.store: the value is {list(value.shape)} and the pointers are {list(pointer.shape)}; the "
            "value must broadcast to the pointers"
        )
    value = program.cast(program.broadcast_to(value, pointer.shape), dtype)
    handle = program.materialised(value)
    program.push(
        DmaWriteCmd(
            target=Operand(shape=pointer.shape, dtype=dtype, space=HBM, access=access),
            operands=(handle.operand,),
        )
    )


def reference(pointer: Pointer) -> Ref:
    """The memory that ``pointer`` points to, without moving it."""
    access = access_of(pointer, None, "names")
    assert access is not None
    operand = Operand(shape=pointer.shape, dtype=pointer.dtype.element_ty, space=HBM, access=access)
    return Ref(operand, pointer)


def composite(program: ProgramContext, op: str, operands: tuple[Any, ...], out: Any, attrs: Attrs) -> Future:
    """A whole op from memory (or TCM) to memory: one GemmCmd or MathCmd with a target."""
    op = "dot" if op == "gemm" else op
    if op not in OPS:
        raise UnknownNameError(
            f"{here()}: tl.composite: unknown op {quoted(op)}; {did_you_mean(op, (*OPS, 'gemm'))}"
        )
    if not isinstance(out, Ref):
        raise UsageError(f"{here()}: tl.composite writes to out=, which must be a tl.ref")
    for x in (*operands, out):
        if isinstance(x, Ref):
            usable(program, x.pointer)
    blocks = [x if isinstance(x, Ref) else program.operand_of(op, x) for x in operands]
    program.settle(op, blocks)
    result, visits = program.plan(op, tuple([Typed(x.shape, x.dtype) for x in blocks]), attrs or NO_ATTRS)
    if result.shape != out.shape:
        raise ShapeError(
            f"{here()}: tl.composite: {op} makes {list(result.shape)} and out is {list(out.shape)}; they must be equal"
        )
    if 0 in out.shape:
        raise ShapeError(f"{here()}: tl.composite: out is {list(out.shape)}; every extent must be 1 or more")
    done = program.result((0,), result.dtype)
    named: Any = {
        "operands": tuple([x.operand() if isinstance(x, Known) else x.operand for x in blocks]),
        "result": done.operand,
        "target": out.operand,
    }
    if OPS[op].unit is Unit.GEMM:
        (m, n), k = result.shape, blocks[0].shape[1]
        program.push(GemmCmd(m=m, n=n, k=k, acc=None, **named))
    else:
        program.push(MathCmd(op=op, attrs=attrs, visits=visits, **named))
    return Future(done.value)


def wait(program: ProgramContext, what: tuple[Any, ...]) -> None:
    """Issue nothing more until all of ``what``, futures or handles, are complete."""
    for x in what:
        if not isinstance(x, (Future, TensorHandle)):
            raise UsageError(f"{here()}: tl.wait takes futures and loaded blocks, not {type(x).__name__}")
        program.own(x)
    program.push(
        WaitCmd(
            depends=tuple([x.value.version for x in what]),
        )
    )


def broadcast_or_none(a: Shape, b: Shape) -> Shape | None:
    """What two shapes broadcast to; None where they do not."""
    try:
        return broadcast_shape(a, b)
    except ShapeError:
        return None


def _masked(program: ProgramContext, pointer: Pointer, mask: Any) -> tuple[Pointer, Known]:
    """Pointers and mask of one shape; a lazy mask is forced."""
    known = program.known(mask if isinstance(mask, Known) else program.block(mask, "a mask"))
    if known.dtype is not int1:
        known = program.cast(known, int1)
    if known.shape == pointer.shape:
        return pointer, known
    shape = broadcast_or_none(known.shape, pointer.shape)
    if shape is None or (known.shape and not pointer.shape):
        raise ShapeError(
            f"{here()}: the mask is {list(known.shape)} and the pointers are {list(pointer.shape)}; they must broadcast"
        )
    return pointer.widened(shape), known.widened(shape)


def _nothing_read(program: ProgramContext, other: Any, dtype: DType, shape: Shape) -> Block:
    if other is None:
        return constant(0.0 if dtype.is_float else 0, dtype, shape)
    return program.broadcast_to(program.cast(program.block(other, "other"), dtype), shape)


def _filler(program: ProgramContext, other: Any, dtype: DType, shape: Shape) -> Any:
    """What inactive lanes become: a number, an immediate operand or a handle, of the block's shape and dtype."""
    if type(other) is int and not other:
        return 0
    if type(other) is float and other.hex() == "0x0.0p+0":
        return 0.0
    block = program.cast(program.block(other, "other"), dtype)
    if broadcast_or_none(block.shape, shape) != shape:
        raise ShapeError(f"{here()}: tl.load: other is {list(block.shape)} and the block is {list(shape)}")
    if isinstance(block, Known):
        return block.base if block.is_constant else block.widened(shape).operand()
    return program.broadcast_to(program.own(cast(TensorHandle, block)), shape)
