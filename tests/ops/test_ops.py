"""Laws of every registered op: its shape rule agrees with its evaluation; results are C-contiguous; work grows.

And what single ops mean, against numpy, exact fractions or C.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernbench as kb
from kernbench import tl
from kernbench.dtypes import as_dtype, bfloat16, float16, float32, float64, int1, int8, int32, uint8, uint32
from kernbench.errors import DTypeError, ShapeError, UsageError
from kernbench.lang.context import running
from kernbench.ops import OPS, OpSpec, Typed, Unit, dot_form, evaluate, evaluate_dot, plan
from kernbench.ops.numerics import convert
from kernbench.ops.spec import broadcast_shape, examples

RATE_CLASSES = {"add", "mul", "fma", "max", "cmp", "div", "exp", "rsqrt"}


def typed(operands):
    return tuple(Typed(x.shape, as_dtype(x.dtype)) for x in operands)


@pytest.mark.parametrize("op", OPS)
def test_the_shape_rule_is_what_comes_out(op):
    operands, attrs = OPS[op].tried(op, 4)
    result, visits = plan(op, typed(operands), tuple(attrs.items()))
    out = evaluate(op, operands, attrs, result.dtype)
    assert (out.shape, as_dtype(out.dtype)) == result
    assert out.flags.c_contiguous
    assert set(visits) <= ({"mac"} if OPS[op].unit is Unit.GEMM else RATE_CLASSES)


@pytest.mark.parametrize("op", OPS)
def test_work_grows_with_the_operands(op):
    totals = []
    for n in (4, 8):
        operands, attrs = OPS[op].tried(op, n)
        totals.append(sum(plan(op, typed(operands), tuple(attrs.items()))[1].values()))
    assert 0 < totals[0] < totals[1]


def in_fp64(array):
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array


@pytest.mark.parametrize("op", OPS)
def test_the_value_is_numpys(op):
    """In fp32, to the last bits but two, of what the op's numpy function gives in fp64; integers exactly."""
    operands, attrs = OPS[op].tried(op, 8)
    result, _ = plan(op, typed(operands), tuple(attrs.items()))
    expected = OPS[op].reference(*map(in_fp64, operands), **attrs)
    tolerance = 4 * np.finfo(result.dtype.numpy).eps if result.dtype.is_float else 0
    value = evaluate(op, operands, attrs, result.dtype)
    np.testing.assert_allclose(in_fp64(value), expected, rtol=tolerance, atol=0)


@pytest.mark.parametrize("mode", ["timed", "data"])
@pytest.mark.parametrize("op", OPS)
def test_a_kernel_computes_that_value(op, mode):
    operands, attrs = OPS[op].tried(op, 8)
    result, _ = plan(op, typed(operands), tuple(attrs.items()))
    expected = evaluate(op, operands, attrs, result.dtype)

    @kb.jit(strict=False)
    def kernel(out_ptr, *pointers):
        blocks = [
            tl.load(pointer, shape=array.shape) for pointer, array in zip(pointers, operands, strict=True)
        ]
        value = tl.dot(*blocks) if OPS[op].unit is Unit.GEMM else running().apply(op, blocks, attrs)
        tl.store(out_ptr, value, strides=None)

    done = kb.testing.run(kernel, (1,), [np.zeros(result.shape, result.dtype.numpy), *operands], mode=mode)
    np.testing.assert_array_equal(done.args[0], expected)


def test_an_op_without_example_or_reference_says_what_to_write():
    bare = OpSpec(unit=Unit.MATH, infer=None, work=None, evaluate=None)
    with pytest.raises(UsageError) as error:
        bare.tried("softsign", 4)
    assert str(error.value) == (
        "op 'softsign' has no example; write OpSpec(..., example=examples(2)) with its number of operands, and its "
        "attributes by name"
    )
    with pytest.raises(UsageError) as error:
        replace(bare, example=examples(1)).tried("softsign", 4)
    assert str(error.value) == (
        "op 'softsign' has no reference; write OpSpec(..., reference=np.hypot) with the numpy function that it must "
        "agree with"
    )


@given(st.lists(st.sampled_from([1, 2, 3]), max_size=3), st.lists(st.sampled_from([1, 2, 3]), max_size=3))
def test_broadcasting_is_numpys(a, b):
    try:
        expected = np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast"):
            broadcast_shape(tuple(a), tuple(b))
    else:
        assert broadcast_shape(tuple(a), tuple(b)) == expected


# -- elementwise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp8e4nv", "fp8e5"])
@pytest.mark.parametrize(
    ("op", "numpy_op"), [("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("div", np.divide)]
)
def test_narrow_floats_compute_in_fp32_and_round_once(op, numpy_op, dtype):
    kind = as_dtype(dtype)
    rng = np.random.default_rng(3)
    x, y = (rng.standard_normal(4096).astype(np.float32).astype(kind.numpy) for _ in range(2))
    out = float32 if op == "div" else kind
    with np.errstate(all="ignore"):
        expected = numpy_op(x.astype(np.float32), y.astype(np.float32)).astype(out.numpy)
    wide = evaluate(op, [x, y], {}, out).astype(np.float32)
    np.testing.assert_array_equal(wide, expected.astype(out.numpy).astype(np.float32))


def test_fp16_arithmetic_is_native():
    rng = np.random.default_rng(4)
    x, y = (rng.integers(0, 0x7C00, 1 << 14, dtype=np.uint16).view(np.float16) for _ in range(2))
    with np.errstate(all="ignore"):
        for op, native in (("add", x + y), ("mul", x * y), ("sub", x - y), ("sqrt", np.sqrt(x))):
            operands = [x] if op == "sqrt" else [x, y]
            np.testing.assert_array_equal(evaluate(op, operands, {}, float16), native)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1).filter(bool))
def test_integer_division_truncates_as_in_c(a, b):
    quotient = (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)
    wrapped = (quotient + 2**31) % 2**32 - 2**31  # -2**31 / -1 wraps
    x, y = np.array([a], np.int32), np.array([b], np.int32)
    assert evaluate("floordiv", [x, y], {}, int32).tolist() == [wrapped]
    assert evaluate("mod", [x, y], {}, int32).tolist() == [a - quotient * b]


def test_integers_divide_in_fp32():
    x, y = np.array([1, -7, 2**24 + 1], np.int32), np.array([3, 2, 1], np.int32)
    out = evaluate("div", [x, y], {}, float32)
    assert out.tolist() == [np.float32(1 / 3), -3.5, 2.0**24]


def test_signed_shifts_keep_the_sign_and_unsigned_do_not():
    x = np.array([-8, 8], np.int32)
    two = np.array(2, np.int32)
    assert evaluate("shr", [x, two], {}, int32).tolist() == [-2, 2]
    assert evaluate("shr", [x.view(np.uint32), two.view(np.uint32)], {}, uint32).tolist() == [2**30 - 2, 2]
    assert evaluate("shl", [x, two], {}, int32).tolist() == [-32, 32]


def test_the_left_operands_sign_decides_what_a_shift_to_the_right_moves_in():
    signed, unsigned = np.array([-8, 8], np.int8), np.array([248, 8], np.uint8)
    by_two, by_minus = np.array(2, np.uint8), np.array(2, np.int8)
    assert evaluate("shr", [signed, by_two], {}, uint8).tolist() == [254, 2]  # -8 >> 2 is -2, as a uint8
    assert evaluate("shr", [unsigned, by_minus], {}, uint8).tolist() == [62, 2]
    assert evaluate("shr", [signed, np.array(9, np.uint8)], {}, uint8).tolist() == [255, 0]


def test_one_bit_wraps():
    x, y = np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool)
    assert evaluate("add", [x, y], {}, int1).tolist() == [False, True, True, False]
    assert evaluate("invert", [x], {}, int1).tolist() == [True, True, False, False]
    assert evaluate("shl", [x, y], {}, int1).tolist() == [False, False, True, False]
    assert evaluate("sum", [x], {"axis": 0, "dtype": int1}, int1).tolist() is False
    assert evaluate("sum", [np.array([1, 1, 1], bool)], {"axis": 0, "dtype": int1}, int1).tolist() is True


def test_nan_loses_unless_it_propagates():
    x, y = np.array([np.nan, 1, np.nan], np.float32), np.array([2, np.nan, np.nan], np.float32)
    np.testing.assert_array_equal(evaluate("maximum", [x, y], {}, float32), [2, 1, np.nan])
    np.testing.assert_array_equal(evaluate("minimum", [x, y], {"propagate_nan": True}, float32), [np.nan] * 3)
    bounds = [np.array(0, np.float32), np.array(1, np.float32)]
    np.testing.assert_array_equal(evaluate("clamp", [x * 5, *bounds], {}, float32), [0, 1, 0])
    np.testing.assert_array_equal(evaluate("max", [x], {}, float32), 1)


def test_negation_flips_the_sign_of_zero_too():
    out = evaluate("neg", [np.array([0.0, -0.0, 1.0], np.float32)], {}, float32)
    assert np.signbit(out).tolist() == [True, False, True]
    assert evaluate("neg", [np.array([1, 0], np.uint8)], {}, uint8).tolist() == [255, 0]
    assert evaluate("neg", [np.array([True, False])], {}, int1).tolist() == [True, False]


@given(
    *[st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**50), max_value=2.0**50)] * 3
)
def test_fma_rounds_once(a, b, c):
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    (out,) = evaluate("fma", [np.array([v], np.float32) for v in (a, b, c)], {}, float32)
    near = [np.nextafter(out, np.float32(-np.inf)), out, np.nextafter(out, np.float32(np.inf))]
    distances = [abs(Fraction(float(v)) - exact) for v in near]
    assert distances[1] <= min(distances[0], distances[2])
    if distances[1] in (distances[0], distances[2]):
        assert int(np.array(out).view(np.uint32)) % 2 == 0 or distances[1] == 0


def test_where_takes_either_side_in_their_common_dtype():
    condition = np.array([1, 0, 2], np.int8)
    x, y = np.array([1, 2, 3], np.float16), np.array([0.5], np.float32)
    assert evaluate("where", [condition, x, y], {}, float32).tolist() == [1, 0.5, 3]


@pytest.mark.parametrize("op", ["exp", "exp2", "log", "log2", "sin", "cos", "sqrt", "floor", "ceil"])
def test_functions_are_numpys_in_fp32(op):
    x = np.linspace(0.1, 5, 33, dtype=np.float32)
    np.testing.assert_array_equal(evaluate(op, [x], {}, float32), getattr(np, op)(x))
    half = x.astype(np.float16)
    expected = getattr(np, op)(half.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(evaluate(op, [half], {}, float16), expected)


def test_rsqrt_and_sigmoid():
    x = np.array([0.25, 4], np.float32)
    assert evaluate("rsqrt", [x], {}, float32).tolist() == [2, 0.5]
    assert evaluate("sigmoid", [np.zeros(2, np.float32)], {}, float32).tolist() == [0.5, 0.5]
    assert evaluate("rsqrt", [np.zeros(1, np.float32)], {}, float32).tolist() == [np.inf]


# -- reductions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "total", "extreme"),
    [
        ("fp64", "fp64", "fp64"),
        ("fp16", "fp16", "fp32"),
        ("bf16", "bf16", "fp32"),
        ("int8", "int32", "int32"),
        ("uint8", "uint32", "int32"),
        ("int1", "uint32", "int32"),
        ("int64", "int64", "int64"),
    ],
)
def test_dtypes_of_reductions(dtype, total, extreme):
    x = (Typed((4, 8), as_dtype(dtype)),)
    assert plan("sum", x, (("axis", 1),))[0] == Typed((4,), as_dtype(total))
    assert plan("max", x, (("axis", 1), ("keep_dims", True)))[0] == Typed((4, 1), as_dtype(extreme))
    assert plan("min", x, (("axis", None),))[0] == Typed((), as_dtype(extreme))


@pytest.mark.parametrize("op", ["sum", "softmax"])
@pytest.mark.parametrize("dtype", ["fp32", "fp8e5"])
def test_the_memory_order_of_an_operand_changes_no_bit(op, dtype):
    kind = as_dtype(dtype)
    x = convert(np.random.default_rng(6).standard_normal((64, 48)), kind)
    row = np.broadcast_to(x[:1], x.shape)
    for plain, other in ((x, np.asfortranarray(x)), (np.array(row, order="C"), row)):
        for axis in (0, 1):
            wanted = evaluate(op, [plain], {"axis": axis}, float32)
            np.testing.assert_array_equal(evaluate(op, [other], {"axis": axis}, float32), wanted)


def test_a_sum_that_is_told_its_dtype_stays_in_it():
    x = Typed((4, 8), int8)
    assert plan("sum", (x,), (("axis", 1), ("dtype", int8)))[0] == Typed((4,), int8)
    assert evaluate("sum", [np.full(3, 100, np.int8)], {"axis": 0, "dtype": int8}, int8) == 300 - 256


def test_a_sum_of_halves_accumulates_in_fp32():
    x = np.full(4096, 1 / 3, np.float16)
    expected = x.astype(np.float32).sum(dtype=np.float32).astype(np.float16)
    assert evaluate("sum", [x], {"axis": 0}, float16) == expected
    ones = np.ones(4096, np.int8)
    assert evaluate("sum", [ones], {"axis": 0}, int32) == 4096


# -- dot --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp8e4nv", "fp32", "fp64", "int8"])
def test_cached_forms_change_no_bit(dtype):
    kind = as_dtype(dtype)
    rng = np.random.default_rng(5)
    a, b = (convert(rng.standard_normal(s) * 20, kind) for s in ((24, 40), (40, 8)))
    out = {"fp64": float64, "int8": int32}.get(dtype, float32)
    acc = convert(rng.standard_normal((24, 8)), out)
    whole = evaluate("dot", [a, b, acc], {}, out)
    np.testing.assert_array_equal(evaluate_dot(dot_form(a), dot_form(b), acc, out), whole)
    np.testing.assert_array_equal(evaluate_dot(dot_form(a), dot_form(b), None, out) + acc, whole)
    np.testing.assert_array_equal(evaluate("dot", [np.asfortranarray(a), b, acc], {}, out), whole)


def test_int8_accumulates_in_int32_and_wraps():
    a, b = np.full((1, 4), -128, np.int8), np.full((4, 1), -128, np.int8)
    acc = np.array([[2**31 - 1]], np.int32)
    assert evaluate("dot", [a, b, acc], {}, int32).tolist() == [[2**31 - 1 + 4 * 128**2 - 2**32]]


def test_what_dot_accumulates_in():
    def result(dtype, **attrs):
        x = Typed((16, 16), as_dtype(dtype))
        return plan("dot", (x, x), tuple(attrs.items()))[0].dtype.name

    assert [result(d) for d in ("fp16", "bf16", "fp8e5", "fp32", "fp64", "int8")] == ["fp32"] * 4 + [
        "fp64",
        "int32",
    ]
    assert result("fp16", out_dtype=float16) == result("fp8e5", out_dtype=float16) == "fp16"
    ignored = [("bf16", float16), ("fp32", float16), ("fp64", float32), ("int8", float32)]
    assert [result(d, out_dtype=out) for d, out in ignored] == ["fp32", "fp32", "fp64", "int32"]
    for dtype, out in (("fp16", bfloat16), ("fp32", bfloat16), ("fp16", float64), ("uint8", None)):
        with pytest.raises(DTypeError):
            result(dtype, out_dtype=out)


def test_a_half_accumulator_makes_a_half_product():
    x = Typed((16, 16), float16)
    assert plan("dot", (x, x, x), ())[0] == x
    wide = Typed((16, 16), float32)
    with pytest.raises(DTypeError, match="acc is fp16 and the product is fp32; they must be equal"):
        plan("dot", (wide, wide, x), ())


def test_errors_say_what_does_not_fit():
    x = Typed((4, 8), float32)
    for op, operands, attrs, text in (
        (
            "permute",
            (x,),
            (("dims", (0, 0)),),
            "dims [0, 0] are no permutation of the 2 dimensions of [4, 8]",
        ),
        (
            "broadcast_to",
            (x,),
            (("shape", (8, 8)),),
            "[4, 8] and [8, 8] do not broadcast; dimension 0 is 4 in one",
        ),
        ("broadcast_to", (x,), (("shape", (1, 8)),), "[4, 8] does not broadcast to [1, 8]"),
        ("dot", (x, Typed((8,), float32)), (), "a is [4, 8] and b is [8]; both must have 2 dimensions"),
        ("softmax", (x,), (("axis", 2),), "axis 2 is outside of [4, 8], which has 2 dimensions"),
    ):
        with pytest.raises(ShapeError) as raised:
            plan(op, operands, attrs)
        assert str(raised.value).startswith(text)
    with pytest.raises(DTypeError) as error:
        plan("bitcast", (x,), (("dtype", int8),))
    assert str(error.value) == "fp32 has 32 bits and int8 has 8; a bitcast needs as many"
