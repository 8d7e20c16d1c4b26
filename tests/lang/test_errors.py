"""Laws of errors: one line that begins with the kernel's file and line, says what does not fit, and what to do."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
import pytest

from kernbench import errors
from kernbench import lang as tl
from kernbench.lang import KernelCall, TensorArg, jit, launch_with, run_program
from kernbench.lang.jit import grid_of
from kernbench.lang.source import user_line


@pytest.fixture
def block(device):
    return device.tensor(np.ones((64, 64), np.float16))


CASES = [
    (
        lambda p: tl.dot(tl.zeros((64, 32), tl.float16), tl.zeros((64, 64), tl.float16)),
        errors.ShapeError,
        "tl.dot: a is [64, 32] and b is [64, 64]; a's 32 columns must equal b's 64 rows",
    ),
    (
        lambda p: tl.dot(tl.zeros((64, 32), tl.float16), tl.zeros((32, 64), tl.float32)),
        errors.DTypeError,
        "tl.dot: a is fp16 and b is fp32; both must have one dtype: cast one of them",
    ),
    (
        lambda p: tl.dot(
            tl.zeros((16, 16), tl.float16), tl.zeros((16, 16), tl.float16), tl.zeros((16, 8), tl.float32)
        ),
        errors.ShapeError,
        "tl.dot: acc is [16, 8] and the product is [16, 16]; they must be equal",
    ),
    (
        lambda p: tl.arange(0, 4) + tl.arange(0, 8),
        errors.ShapeError,
        "[4] and [8] do not broadcast; dimension 0 is 4 in one and 8 in the other, and must be equal or 1",
    ),
    (
        lambda p: tl.load(p + tl.arange(0, 4)) * tl.arange(0, 8),
        errors.ShapeError,
        "tl.mul: [4] and [8] do not broadcast; dimension 0 is 4 in one and 8 in the other, and must be equal or 1",
    ),
    (
        lambda p: tl.arange(0, 48),
        errors.ShapeError,
        "tl.arange(0, 48) has 48 elements; Triton needs a power of two, such as 64 with a mask (or launch with "
        "strict=False)",
    ),
    (
        lambda p: tl.zeros((2048, 1024), tl.int8),
        errors.ShapeError,
        "a block [2048, 1024] has 2097152 elements; Triton's limit is 1048576: use smaller blocks (or launch with "
        "strict=False)",
    ),
    (
        lambda p: tl.exp(tl.arange(0, 4)),
        errors.DTypeError,
        "tl.exp: needs a float block, not int32; cast it with .to(tl.float32)",
    ),
    (
        lambda p: tl.where(tl.arange(0, 4) < 2, -1, 3_000_000_000),
        errors.DTypeError,
        "tl.where: -1 does not fit uint32; cast the block to a wider dtype",
    ),
    (
        lambda p: tl.full((4,), 1.5, tl.int32),
        errors.DTypeError,
        "1.5 is no value of int32; cast it, or choose another dtype",
    ),
    (
        lambda p: tl.full((4,), -1, tl.uint8),
        errors.DTypeError,
        "-1 is no value of uint8; cast it, or choose another dtype",
    ),
    (
        lambda p: tl.dot(
            tl.zeros((16, 16), tl.float32), tl.zeros((16, 16), tl.float32), input_precision="exact"
        ),
        errors.UsageError,
        "tl.dot: no input_precision 'exact'; Triton has 'tf32', 'tf32x3', 'ieee', 'bf16x3', 'bf16x6'",
    ),
    (
        lambda p: tl.arange(0, 4) + 2**31,
        errors.DTypeError,
        "tl.add: 2147483648 does not fit int32; cast the block to a wider dtype",
    ),
    (
        lambda p: tl.zeros((4,), "f8"),
        errors.DTypeError,
        "unknown dtype 'f8'; did you mean 'fp8'? (known: ",
    ),
    (
        lambda p: bool(tl.arange(0, 4) < 2),
        errors.UsageError,
        "bool() of int1[4] is ambiguous; it needs a scalar: reduce the block first, or use & | ~ and tl.where on "
        "blocks",
    ),
    (
        lambda p: tl.load(p + tl.arange(0, 4))[0],
        errors.UsageError,
        "a block is indexed with ':', None and '...' only; tl.load reads part of a tensor",
    ),
    (
        lambda p: p * 2,
        errors.DTypeError,
        "tl.mul of a pointer; only + and - with integers move it, and tl.load reads it",
    ),
    (
        lambda p: p + 0.5,
        errors.DTypeError,
        "a pointer moves by an integer block, not by 0.5",
    ),
    (
        lambda p: tl.load(tl.arange(0, 4)),
        errors.UsageError,
        "the pointer of tl.load must be a pointer (or an address, with dtype=), not int32[4]",
    ),
    (
        lambda p: tl.load(p + tl.arange(0, 4), mask=tl.arange(0, 8) < 3),
        errors.ShapeError,
        "the mask is [8] and the pointers are [4]; they must broadcast",
    ),
    (
        lambda p: tl.load(p + tl.arange(0, 4), shape=(4,)),
        errors.ShapeError,
        "shape= needs a scalar pointer, not a block [4]; leave one of the two away",
    ),
    (
        lambda p: tl.store(p + tl.arange(0, 4), tl.arange(0, 8)),
        errors.ShapeError,
        "tl.store: the value is [8] and the pointers are [4]; the value must broadcast to the pointers",
    ),
    (
        lambda p: tl.sum(tl.arange(0, 4), axis=1),
        errors.ShapeError,
        "axis 1 is outside of [4], which has 1 dimensions",
    ),
    (
        lambda p: tl.reshape(tl.arange(0, 4), (3,)),
        errors.ShapeError,
        "tl.reshape: [4] has 4 elements and [3] has 3; they must be equal",
    ),
    (
        lambda p: tl.ref(p, (4, 4)) + 1,
        errors.UsageError,
        "tl.add of a tl.ref, which is not in TCM; tl.load(ref) moves it there",
    ),
    (
        lambda p: tl.composite("gemm", tl.ref(p, (4, 8)), tl.ref(p, (8, 4)), out=tl.ref(p, (4, 8))),
        errors.ShapeError,
        "tl.composite: dot makes [4, 4] and out is [4, 8]; they must be equal",
    ),
    (
        lambda p: tl.composite("gem", tl.ref(p, (4, 8)), tl.ref(p, (8, 4)), out=tl.ref(p, (4, 8))),
        errors.UnknownNameError,
        "tl.composite: unknown op 'gem'; did you mean 'gemm'? (known: ",
    ),
    (
        lambda p: tl.multiple_of(tl.arange(3, 7), 4),
        errors.UsageError,
        "tl.multiple_of says 4, but the first element is 3; correct it",
    ),
    (
        lambda p: tl.max_contiguous(tl.arange(0, 4) * 2, 4),
        errors.UsageError,
        "tl.max_contiguous says runs of 4, which the block does not have; correct it",
    ),
    (
        lambda p: tl.program_id(3),
        errors.UsageError,
        "a grid has the axes 0, 1 and 2, not 3",
    ),
]


@pytest.mark.parametrize(("case", "error", "text"), CASES, ids=[text[:40] for _, _, text in CASES])
def test_what_does_not_fit_is_told_with_its_line(device, block, case, error, text):
    with pytest.raises(error) as raised:
        device.run(lambda p: case(p), block)
    line = case.__code__.co_firstlineno
    assert str(raised.value).startswith(f"test_errors.py:{line}: {text}") or str(raised.value).startswith(
        f"test_errors.py:{line + 1}: {text}"
    )


def test_a_kernel_that_raises(device):
    @jit
    def kernel(n):
        assert tl.program_id(0) == 0
        raise ValueError(f"n is {n}")

    line = kernel.__wrapped__.__code__.co_firstlineno + 3
    with pytest.raises(errors.KernelError) as raised:
        device.run(kernel, 3)
    assert str(raised.value) == (
        f"test_errors.py:{line}: program (0, 0, 0) on sip0.cube0.pe0: ValueError: n is 3"
    )


def test_static_assert(device):
    def kernel(n: tl.constexpr):
        tl.static_assert(n == 4, "n must be 4")

    device.run(kernel, 4)
    with pytest.raises(
        errors.KernelError, match=r"test_errors.py:\d+: program .*: AssertionError: n must be 4"
    ):
        device.run(kernel, 5)


def test_a_kernel_word_outside_of_a_kernel():
    text = r"tl functions work inside a running kernel only; launch it with kernel\[grid\]\(...\)"
    with pytest.raises(errors.UsageError, match=text):
        tl.program_id(0)


@pytest.mark.parametrize(
    ("args", "named", "what"),
    [
        ((1,), {"BLOCK": 8}, "no value for 'n'"),
        ((), {}, "no value for 'x_ptr', 'n', 'BLOCK'"),
        ((1, 2, 3, 4), {}, "it takes 3 arguments by place, not 4"),
        ((1, 2), {"BLOK": 8}, "no argument 'BLOK'; did you mean 'BLOCK'? (known: BLOCK, flag, n, x_ptr)"),
        ((1, 2, 3), {"n": 8}, "multiple values for argument 'n'"),
    ],
)
def test_arguments_that_do_not_fit(device, args, named, what):
    @jit
    def add(x_ptr, n, BLOCK: tl.constexpr, *, flag: bool = False):
        pass

    with pytest.raises(errors.UsageError) as raised:
        device.run(add, *args, **named)
    assert str(raised.value) == f"kernel add(x_ptr, n, BLOCK: tl.constexpr, *, flag: bool = False): {what}"


def test_a_kernel_that_calls_another_one_with_arguments_that_do_not_fit(device):
    @jit
    def inner(x, N: tl.constexpr):
        pass

    @jit
    def outer(x_ptr):
        inner(x_ptr, M=4)

    with pytest.raises(errors.UsageError) as raised:
        device.run(outer, 1)
    line = outer.fn.__code__.co_firstlineno + 2
    assert str(raised.value) == (
        f"test_errors.py:{line}: kernel inner(x, N: tl.constexpr): no argument 'M'; (known: N, x)"
    )


def test_annotations_show_as_they_were_written():
    from kernbench.lang.constants import constexpr

    def kernel(x, N: constexpr, M: int = 3, *more):
        pass

    kernel.__annotations__ = {"N": constexpr, "M": int, "more": "tl.constexpr"}
    assert str(jit(kernel)) == "kernel(x, N: tl.constexpr, M: int = 3, *more: tl.constexpr)"


def test_what_is_no_word_names_the_line_and_the_nearest_one(device):
    def kernel():
        tl.atomic_ad(1)

    with pytest.raises(errors.UnknownAttributeError) as raised:
        device.run(kernel)
    line = kernel.__code__.co_firstlineno + 1
    assert str(raised.value) == f"test_errors.py:{line}: tl has no 'atomic_ad'; dir(tl) lists what there is"
    with pytest.raises(
        AttributeError, match=r": tl has no 'expp'; did you mean 'exp'\? dir\(tl\) lists what"
    ):
        _ = tl.expp
    assert not hasattr(tl, "expp")


@pytest.mark.parametrize("other", [[3], None, "a", np.ones(3)])
def test_an_operator_with_what_is_no_operand_names_its_line(device, other):
    def kernel(value):
        tl.program_id(0) + value

    def reflected(value):
        value - tl.program_id(0)

    for body, op in ((kernel, "add"), (reflected, "sub")):
        with pytest.raises(errors.UsageError) as raised:
            device.run(body, other)
        line = body.__code__.co_firstlineno + 1
        assert str(raised.value) == (
            f"test_errors.py:{line}: an operand of tl.{op} must be a block or a number, not {type(other).__name__}"
        )


def test_a_block_may_be_compared_with_none(device):
    def kernel():
        assert tl.program_id(0) != None  # noqa: E711
        assert (tl.program_id(0) == None) is False  # noqa: E711

    device.run(kernel)


def test_a_kernel_without_grid_or_device():
    @jit
    def kernel():
        pass

    with pytest.raises(errors.UsageError, match=r"kernel 'kernel' is called without a grid"):
        kernel()
    before = launch_with(None)
    try:
        with pytest.raises(errors.UsageError, match=r"kernel 'kernel' has no device to run on"):
            kernel[(1,)]()
    finally:
        launch_with(before)


@pytest.mark.parametrize("grid", [(), (-1,), (1, 1, 1, 1), "abc", (2.5,)])
def test_grids_that_are_none(grid):
    with pytest.raises(errors.UsageError, match=r"must be one to three integers of 0 or more"):
        grid_of(grid, {})


def test_grids():
    assert grid_of(5, {}) == (5, 1, 1)
    assert grid_of((2, np.int64(3)), {}) == (2, 3, 1)
    assert grid_of(lambda meta: (meta["n"], 2), {"n": 3}) == (3, 2, 1)


def test_forcing_where_there_are_no_values_names_the_line(new_port):
    class TimingPort(new_port):
        def force(self, version, line):
            raise errors.ForcedValueError("mode 'timing' has no values; use --mode timed")

    def kernel(p):
        if tl.load(p):
            pass

    argument = TensorArg("flag", 0, tl.int32, (1,), 4)
    with pytest.raises(errors.ForcedValueError) as raised:
        run_program(KernelCall(kernel, (argument,), {}), TimingPort(bytearray(4)))
    line = kernel.__code__.co_firstlineno + 1
    assert str(raised.value) == f"test_errors.py:{line}: mode 'timing' has no values; use --mode timed"


class Pair(NamedTuple):
    first: int
    second: int


def test_what_python_writes_for_a_tuple_with_names_is_no_line_of_the_users():
    frames = []
    sys.setprofile(lambda frame, event, _: event == "call" and frames.append(frame))
    Pair(1, 2)
    sys.setprofile(None)
    (written,) = [frame for frame in frames if frame.f_code.co_filename == "<string>"]
    assert user_line(written).file == "test_errors.py"
