"""However odd a kernel is, it makes the same bits in simulated time, at once, and in numpy.

``agree`` is the law: modes ``timed`` and ``data`` leave the same bits in every argument, and those are numpy's.
"""

import math
import re
from functools import reduce

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.device.placement import DPPolicy
from kernbench.errors import CapacityError, PageFaultError, ShapeError
from kernbench.lang import jit, tl
from kernbench.simulation import Simulation
from kernbench.testing import run

F32 = np.float32
FLOATS = {
    "fp64": np.float64,
    "fp32": np.float32,
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp8": ml_dtypes.float8_e4m3fn,
    "fp8e5": ml_dtypes.float8_e5m2,
}
INTS = {
    name: getattr(np, name)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}
DTYPES = {**FLOATS, **INTS, "bool": np.bool_}


def agree(kernel, grid, args, expected, *, tolerance=0.0, **options):
    """Run in both modes; ``expected`` is ``{argument: values}``. Gives what the timed run left."""
    timed, computed = (run(kernel, grid, args, mode=mode, **options) for mode in ("timed", "data"))
    for i, arg in enumerate(timed.args):
        if isinstance(arg, np.ndarray):
            assert arg.tobytes() == computed.args[i].tobytes(), (
                f"argument {i}: timed {arg}, data {computed.args[i]}"
            )
    for i, values in expected.items():
        if tolerance:
            np.testing.assert_allclose(timed.args[i].astype(float), values, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(timed.args[i], values)
    return timed


def iota(*shape, dtype=F32):
    return np.arange(math.prod(shape), dtype=dtype).reshape(shape)


# -- little or nothing to do ------------------------------------------------------------------------------------


def test_an_empty_kernel_takes_its_start_and_end_only():
    def kernel(x):
        pass

    done = agree(kernel, (4,), [iota(8)], {0: iota(8)})
    assert done.kernel_time_ps > 0


def test_a_kernel_without_arguments():
    agree(lambda: None, (4,), [], {})


def test_what_is_loaded_and_never_used():
    def kernel(x):
        tl.load(x + tl.arange(0, 8))

    agree(kernel, (1,), [iota(8)], {0: iota(8)})


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_element(shape):
    def kernel(x, y):
        tl.store(y, tl.load(x) + 1.0)

    agree(kernel, (3,), [np.full(shape, 4, F32), np.zeros(shape, F32)], {1: np.full(shape, 5, F32)})


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_a_tensor_of_no_elements_can_be_passed(shape):
    def kernel(x, y):
        tl.store(y, 1.0)

    agree(kernel, (1,), [np.zeros(shape, F32), np.zeros(1, F32)], {1: [1.0]})


@pytest.mark.parametrize("mode", ["timed", "data"])
@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        (
            lambda x: tl.dot(tl.load(x, shape=(2, 0)), tl.load(x, shape=(0, 2))),
            "tl.dot: a is [2, 0] and b is [0, 2]; every extent must be 1 or more",
        ),
        (
            lambda x: tl.max(tl.load(x, shape=(0, 4)), axis=0),
            "tl.max: [0, 4] has nothing along axis 0; every extent must be 1 or more",
        ),
        (
            lambda x: tl.min(tl.load(x, shape=(0,))),
            "tl.min: [0] has nothing along axis None; every extent must be 1 or more",
        ),
        (
            lambda x: tl.softmax(tl.load(x, shape=(0,))),
            "tl.softmax: [0] has nothing along axis 0; every extent must be 1 or more",
        ),
        (
            lambda x: tl.composite("exp", tl.ref(x, (0,)), out=tl.ref(x, (0,))),
            "tl.composite: out is [0]; every extent must be 1 or more",
        ),
    ],
)
def test_an_op_that_means_nothing_on_nothing_is_refused(kernel, text, mode):
    with pytest.raises(ShapeError) as error:
        run(kernel, (1,), [iota(8)], mode=mode)
    assert re.fullmatch(rf"test_odd_kernels\.py:\d+: {re.escape(text)}", str(error.value))


def test_what_means_nothing_on_nothing_but_is_harmless_is_done():
    def kernel(x, y):
        nothing = tl.exp(tl.load(x, shape=(0, 4)))
        tl.store(y, tl.sum(nothing) + 3.0)
        tl.store(y + 1, tl.max(nothing, axis=1))
        tl.store(y + 2, nothing.T)

    agree(kernel, (1,), [iota(8), np.zeros(4, F32)], {1: [3, 0, 0, 0]})


def test_a_fully_masked_access_touches_nothing_wherever_it_points():
    def kernel(x, y):
        at = tl.arange(0, 8)
        never = tl.load(x + at) < 0  # known to nobody before it is read
        tl.store(y + at, tl.load(x + at + 100, mask=at < 0, other=7.0))
        tl.store(y + 8 + at, tl.load(x + at + 100, mask=never, other=-1.0))
        tl.store(y + 16 + at, tl.load(x + at, mask=never))
        tl.store(x + at + 1000, 3.0, mask=at > 8)
        tl.store(x + at - 1000, 3.0, mask=never)

    agree(kernel, (1,), [iota(8), np.ones(24, F32)], {0: iota(8), 1: [7.0] * 8 + [-1.0] * 8 + [0.0] * 8})


# -- order of memory within a program --------------------------------------------------------------------------


def test_of_stores_to_one_address_the_last_one_stays():
    def kernel(x):
        at = tl.arange(0, 8)
        tl.store(x + at, 1.0)
        tl.store(x + at, 2.0)
        tl.store(x + at % 4, 3.0)

    agree(kernel, (1,), [iota(8)], {0: [3, 3, 3, 3, 2, 2, 2, 2]})


def test_a_load_sees_the_stores_before_it_whatever_pointers_they_went_through():
    def kernel(x, y):
        at = tl.arange(0, 8)
        tl.store(x + at * 2, 5.0)
        v = tl.load(x + at + 3)
        tl.store(y + at, v)
        tl.store(x + at + 1, v)
        tl.store(y + 8 + at, tl.load(x + at * 2))

    x, y = iota(16), np.zeros(16, F32)
    x[0:16:2] = 5
    v = x[3:11].copy()
    x[1:9], y[:8] = v, v
    y[8:] = x[0:16:2]
    agree(kernel, (1,), [iota(16), np.zeros(16, F32)], {0: x, 1: y})


def test_a_loop_that_reads_what_it_wrote():
    def kernel(x):
        for _ in range(20):
            tl.store(x, tl.load(x) + 1.0)
            tl.store(x + 1, tl.load(x) + tl.load(x + 1))

    agree(kernel, (1,), [np.zeros(2, F32)], {0: [20, 210]})


def test_overlapping_blocks_shift_through_memory():
    def kernel(x):
        at = tl.arange(0, 1024)
        for i in range(6):
            tl.store(x + at + 7, tl.load(x + at + i * 3) + 1.0)

    x = iota(2048)
    for i in range(6):
        x[7 : 7 + 1024] = x[i * 3 : i * 3 + 1024].copy() + 1
    agree(kernel, (1,), [iota(2048)], {0: x})


def test_the_second_launch_sees_what_the_first_wrote_on_other_pes():
    @jit
    def write(x):
        at = tl.program_id(0) * 16 + tl.arange(0, 16)
        tl.store(x + at, tl.load(x + at) + tl.program_id(0))

    @jit
    def read_from_the_other_end(x, y):
        i, n = tl.program_id(0), tl.num_programs(0)
        at = tl.arange(0, 16)
        tl.store(y + i * 16 + at, tl.load(x + (n - 1 - i) * 16 + at) * 2)

    for mode in ("timed", "data"):
        torch = Simulation.of("default", mode=mode).torch
        x, y = torch.zeros(2048), torch.zeros(2048)
        for _ in range(3):
            write[(128,)](x)
            read_from_the_other_end[(128,)](x, y)
        np.testing.assert_array_equal(y.numpy(), np.repeat(np.arange(128)[::-1] * 6, 16))


def test_launches_in_a_loop():
    @jit
    def kernel(x, n):
        at = tl.arange(0, 4)
        tl.store(x + at, tl.load(x + at) * 2 + n)

    for mode in ("timed", "data"):
        x = Simulation.of("tiny", mode=mode).torch.zeros(4)
        for i in range(20):
            kernel[(1,)](x, i)
        assert x.tolist() == [reduce(lambda a, i: a * 2 + i, range(20), 0.0)] * 4


# -- Python in a kernel ------------------------------------------------------------------------------------------


def test_a_hundred_live_values_in_lists_and_dicts():
    def kernel(x, y):
        values = [tl.load(x + i) for i in range(100)]
        doubled = {i: v * 2 for i, v in enumerate(values)}
        total = values[0]
        for v in values[1:]:
            total = total + v
        tl.store(y, total)
        tl.store(y + 1, doubled[50] + doubled[99])

    agree(kernel, (1,), [iota(100), np.zeros(2, F32)], {1: [4950, 298]})


def test_recursion_and_nested_kernels():
    @jit
    def factorial(n: tl.constexpr):
        return 1 if n <= 1 else n * factorial(n - 1)

    @jit
    def block(pointer, N: tl.constexpr):
        return tl.load(pointer + tl.arange(0, N))

    def kernel(x, y):
        tl.store(y, tl.sum(block(x, 8)) * factorial(5))

    agree(kernel, (1,), [iota(8), np.zeros(1, F32)], {1: [28 * 120]})


def test_generators_and_python_sum():
    def kernel(x, y):
        def loaded():
            for i in range(4):
                yield tl.load(x + i)

        tl.store(y, sum(loaded(), 0.0))
        tl.store(y + 1, max(*loaded()))

    agree(kernel, (1,), [iota(4), np.zeros(2, F32)], {1: [6, 3]})


def test_an_early_return_known_or_read():
    def kernel(x):
        pid = tl.program_id(0)
        if pid == 2:
            return
        if tl.load(x + pid) == 1.0:
            return
        tl.store(x + pid, 9.0)

    agree(kernel, (4,), [iota(4)], {0: [9, 1, 2, 9]})


def test_errors_caught_inside_a_kernel():
    def kernel(x):
        try:
            raise ValueError
        except ValueError:
            tl.store(x, 1.0)
        try:
            tl.load(x + 100)
        except PageFaultError:
            tl.store(x + 1, 2.0)
        try:
            tl.dot(tl.zeros((16, 8), tl.float32), tl.zeros((16, 8), tl.float32))
        except ShapeError:
            tl.store(x + 2, 3.0)
        finally:
            tl.store(x + 3, 4.0)

    agree(kernel, (1,), [np.zeros(4, F32)], {0: [1, 2, 3, 4]})


def test_a_closure_over_numbers_of_the_host():
    def made(scale):
        def kernel(x):
            tl.store(x + 3, scale + tl.load(x))

        return kernel

    agree(made(5.0), (1,), [iota(4)], {0: [0, 1, 2, 5]})


def test_a_loop_whose_length_is_read():
    def kernel(x, steps):
        n = 0
        while tl.load(x) > 1.0:
            tl.store(x, tl.load(x) / 2.0)
            n += 1
        tl.store(steps, n)

    agree(kernel, (1,), [np.array([100], F32), np.zeros(1, np.int32)], {0: [0.78125], 1: [7]})


def test_a_branch_on_data_in_every_program_of_128_pes():
    def kernel(x, y):
        i = tl.program_id(0)
        v = tl.load(x + i)
        if v > 64.0:
            tl.store(y + i, v * 2)
        elif v > 32.0:
            for step in range(int(v) - 30):
                tl.store(y + i, float(step))
        else:
            tl.store(y + i, -v)

    x = iota(128)
    y = np.where(x > 64, x * 2, np.where(x > 32, x - 31, -x))
    agree(kernel, (128,), [x, np.zeros(128, F32)], {1: y}, topology="default")


def test_time_never_runs_back_between_clock_and_force():
    def kernel(x, y):
        started = tl.clock()
        v = tl.load(x + tl.arange(0, 64))
        issued = tl.clock()
        total = float(tl.sum(v))
        assert started <= issued <= tl.clock()
        tl.store(y, total)

    agree(kernel, (4,), [iota(64), np.zeros(1, F32)], {1: [2016]})


def test_print_says_where_and_when():
    def kernel(x):
        print("x is", tl.load(x + tl.program_id(0)))  # noqa: T201

    for mode, when in (("timed", r" \d+\.\d+ us"), ("data", "")):
        said = []
        torch = Simulation.of("tiny", mode=mode, say=said.append).torch
        torch.launch(kernel, (2,), (torch.arange(4, dtype="fp32"),))
        torch.synchronize()
        assert len(said) == 2
        for line, (pe, value) in zip(sorted(said), ((0, "0.0"), (2, "1.0")), strict=True):
            assert re.fullmatch(rf"sip0\.cube0\.pe{pe}{when}: x is {value}", line)


# -- pointers ----------------------------------------------------------------------------------------------------


def test_gather_and_scatter_with_repeated_addresses():
    def kernel(index, x, y):
        at = tl.arange(0, 8)
        where = tl.load(index + at)
        tl.store(y + at, tl.load(x + where))
        tl.store(x + where, at.to(tl.float32) * 10)

    index, x = np.array([3, 3, 0, 7, 3, 1, 1, 0], np.int32), iota(8)
    x[index] = np.arange(8) * 10  # numpy too keeps the last one
    agree(kernel, (1,), [index, iota(8), np.zeros(8, F32)], {1: x, 2: iota(8)[index]})


def test_gather_by_two_views_of_one_index():
    def kernel(index, x, y):
        at = tl.arange(0, 4)
        i = tl.load(index + at)
        tl.store(y + at[:, None] * 4 + at[None, :], tl.load(x + i[:, None] * 4 + i[None, :]))

    index, x = np.array([3, 1, 0, 2], np.int32), iota(4, 4)
    agree(kernel, (1,), [index, x, np.zeros((4, 4), F32)], {2: x[index][:, index]})


def test_columns_transposes_and_broadcasts():
    def kernel(x, y):
        r, c = tl.arange(0, 8), tl.arange(0, 4)
        tl.store(y + r, tl.load(x + r * 4 + 3))
        block = tl.load(x + c[:, None] + r[None, :] * 4)
        tl.store(y + 8 + c[:, None] * 8 + r[None, :], block)
        tl.store(y + 40 + c[None, :] + r[:, None] * 4, block.T)
        tl.store(y + 72 + r[:, None] * 8 + r[None, :], tl.load(x + r[:, None] + 0 * r[None, :]))
        tl.store(y + 136 + r * 0, r.to(tl.float32))

    x = iota(8, 4)
    y = np.concatenate([x[:, 3], x.T.ravel(), x.ravel(), np.repeat(np.arange(8), 8), [7]])
    agree(kernel, (1,), [x, np.zeros(137, F32)], {1: y})


def test_a_block_that_runs_backwards():
    def kernel(x, y):
        r = tl.arange(0, 8)
        tl.store(y + r, tl.load(x + 7 - r))
        tl.store(y + 15 - r, tl.load(x + r, mask=(7 - r) < 5, other=-1.0))

    y = np.concatenate([iota(8)[::-1], [7, 6, 5, 4, 3, -1, -1, -1]])
    agree(kernel, (1,), [iota(8), np.zeros(16, F32)], {1: y})


# -- shapes ------------------------------------------------------------------------------------------------------


def test_a_row_sum_seen_as_a_column_meets_its_rows():
    """In a square block, where a view that kept its old shape would fit too, and be wrong."""

    def kernel(x, y):
        r = tl.arange(0, 8)
        at = r[:, None] * 8 + r[None, :]
        v = tl.load(x + at)
        rows = tl.sum(v, axis=1)
        tl.store(y + at, v + rows[:, None])
        tl.store(y + 64 + at, v - rows)
        tl.store(y + 128 + at, rows[:, None] * rows[None, :])

    x = iota(8, 8)
    rows = x.sum(1)
    agree(
        kernel,
        (1,),
        [x, np.zeros((3, 8, 8), F32)],
        {1: np.stack([x + rows[:, None], x - rows, np.outer(rows, rows)])},
    )


def test_three_dimensions():
    def kernel(x, y):
        a, b, c = (
            tl.arange(0, 2)[:, None, None],
            tl.arange(0, 4)[None, :, None],
            tl.arange(0, 8)[None, None, :],
        )
        at = a * 32 + b * 8 + c
        v = tl.load(x + at, mask=(b < 3) & (c >= 2), other=-5.0)
        tl.store(y + at, v.permute(0, 2, 1).permute(0, 2, 1) + tl.sum(v, axis=1)[:, None, :])

    x, v = iota(2, 4, 8), np.full((2, 4, 8), -5, F32)
    v[:, :3, 2:] = x[:, :3, 2:]
    agree(kernel, (1,), [x, np.zeros((2, 4, 8), F32)], {1: v + v.sum(1)[:, None, :]})


def test_one_value_in_many_shapes():
    def kernel(x, y):
        at = tl.arange(0, 64)
        v = tl.load(x + at)
        m = v.reshape(8, 8)
        tl.store(y + at, (m.T + tl.sum(m, axis=0)[None, :]).reshape(64))
        tl.store(y + 64 + at, tl.dot(m, m.T).reshape(64))
        tl.store(y + 128 + tl.arange(0, 16), tl.dot(v.reshape(4, 16), v.reshape(16, 4)).reshape(16))
        tl.store(y + 144, tl.max(v[None, :], axis=1))

    x = iota(64)
    m = x.reshape(8, 8)
    y = np.concatenate(
        [(m.T + m.sum(0)).ravel(), (m @ m.T).ravel(), (x.reshape(4, 16) @ x.reshape(16, 4)).ravel(), [63]]
    )
    agree(kernel, (1,), [x, np.zeros(145, F32)], {1: y}, strict=False)


# -- numbers -----------------------------------------------------------------------------------------------------


def test_integers_wrap_and_divide_as_in_c():
    def kernel(x, y, z):
        at = tl.arange(0, 8)
        p, q = tl.load(x + at), tl.load(y + at)
        results = (p + q, p * q, p // q, p % q, p << 3, p >> 1, p ^ q, p & q, ~p, -p, tl.abs(p))
        for i, result in enumerate(results):
            tl.store(z + i * 8 + at, result)

    p = np.array([2**31 - 1, -(2**31), 7, -7, 7, -7, 1, 0], np.int32)
    q = np.array([1, 3, 2, 2, -2, -2, 5, 9], np.int32)
    quotient = np.trunc(p / q).astype(np.int32)
    with np.errstate(over="ignore"):
        z = [p + q, p * q, quotient, p - quotient * q, p << 3, p >> 1, p ^ q, p & q, ~p, -p, np.abs(p)]
    agree(kernel, (1,), [p, q, np.zeros((11, 8), np.int32)], {2: np.stack(z)})


def test_nan_loses_against_a_number_unless_it_propagates():
    def kernel(x, y, z):
        at = tl.arange(0, 8)
        p, q = tl.load(x + at), tl.load(y + at)
        tl.store(z + at, tl.maximum(p, q))
        tl.store(z + 8 + at, tl.minimum(p, q))
        tl.store(z + 16 + at, tl.maximum(p, q, propagate_nan=tl.PropagateNan.ALL))
        tl.store(z + 24, tl.max(p))
        tl.store(z + 25, tl.min(p))
        tl.store(z + 26, tl.sum(p))

    nan, inf = np.nan, np.inf
    p = np.array([nan, 1, inf, -inf, nan, 0, -0.0, 5], F32)
    q = np.array([1, nan, 1, 1, nan, -0.0, 0, inf], F32)
    z = np.concatenate([np.fmax(p, q), np.fmin(p, q), np.maximum(p, q), [inf, -inf, nan]])
    agree(kernel, (1,), [p, q, np.zeros(27, F32)], {2: z})


def test_logic_on_bool():
    def kernel(x, y, z):
        at = tl.arange(0, 8)
        p, q = tl.load(x + at), tl.load(y + at)
        for i, result in enumerate((p & q, p | q, p ^ q, p == q, tl.where(p, q, p), ~p)):
            tl.store(z + i * 8 + at, result)

    p, q = np.array([0, 0, 1, 1, 0, 1, 1, 0], bool), np.array([0, 1, 0, 1, 1, 1, 0, 0], bool)
    z = np.stack([p & q, p | q, p ^ q, p == q, np.where(p, q, p), ~p])
    agree(kernel, (1,), [p, q, np.zeros((6, 8), bool)], {2: z})


@pytest.mark.parametrize("name", ["fp8", "fp8e5"])
def test_eight_bit_floats_compute_in_fp32_and_round_once(name):
    def kernel(x, y, z):
        at = tl.arange(0, 16)
        p, q = tl.load(x + at), tl.load(y + at)
        tl.store(z + at, p.to(tl.float32) * q.to(tl.float32))
        tl.store(z + 16 + at, (p + q).to(tl.float32))

    p, q = np.random.default_rng(0).standard_normal((2, 16)).astype(FLOATS[name])
    wide_p, wide_q = p.astype(F32), q.astype(F32)
    z = np.concatenate([wide_p * wide_q, (wide_p + wide_q).astype(FLOATS[name]).astype(F32)])
    agree(kernel, (1,), [p, q, np.zeros(32, F32)], {2: z})


@pytest.mark.parametrize("source", DTYPES)
def test_a_store_casts_to_every_dtype_alike(source):
    def kernel(x, y):
        at = tl.arange(0, 16)
        tl.store(y + at, tl.load(x + at))

    draws = np.random.default_rng(0)
    values = draws.integers(0, 100, 16).astype(DTYPES[source])  # whole numbers that most dtypes hold
    for target, kind in DTYPES.items():
        expected = values.astype(F32) if target in ("bf16", "fp8", "fp8e5") else values
        agree(kernel, (1,), [values, np.zeros(16, kind)], {1: expected.astype(kind)})


@pytest.mark.parametrize("name", ["fp32", "fp16", "bf16", "fp8", "fp8e5"])
def test_a_product_of_every_dtype_accumulates_in_fp32(name):
    def kernel(a, b, c):
        r = tl.arange(0, 32)
        at = r[:, None] * 32 + r[None, :]
        tl.store(c + at, tl.dot(tl.load(a + at), tl.load(b + at)))

    a, b = np.random.default_rng(0).integers(-4, 5, (2, 32, 32)).astype(F32).astype(FLOATS[name])
    agree(
        kernel, (1,), [a, b, np.zeros((32, 32), F32)], {2: a.astype(F32) @ b.astype(F32)}
    )  # exact: whole numbers


# -- composites --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extents", [(64, 64, 64), (33, 17, 5), (1, 1, 1), (100, 40, 70), (16, 128, 3)])
def test_work_on_memory_is_the_work_on_blocks(extents):
    """On a PE whose TCM holds neither operands nor results at once; sizes that are no multiples of tiles."""

    def streamed(a, b, c, d, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
        tl.wait(tl.composite("gemm", tl.ref(a, (M, K)), tl.ref(b, (K, N)), out=tl.ref(c, (M, N))))
        tl.composite("maximum", tl.ref(c, (M, N)), tl.ref(c, (M, N)), out=tl.ref(d, (M, N)))

    def blocks(a, b, c, d, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
        product = tl.dot(tl.load(a, shape=(M, K)), tl.load(b, shape=(K, N)))
        tl.store(c, product)
        tl.store(d, tl.maximum(product, product))

    m, n, k = extents
    draws = np.random.default_rng(0)
    a, b = draws.integers(-4, 5, (m, k)).astype(F32), draws.integers(-4, 5, (k, n)).astype(F32)
    args = [a, b, np.zeros((m, n), F32), np.zeros((m, n), F32)]
    names = {"M": m, "N": n, "K": k}
    agree(streamed, (1,), args, {2: a @ b, 3: a @ b}, overrides=["pe.tcm.size=32 KiB"], **names)
    agree(blocks, (1,), args, {2: a @ b, 3: a @ b}, overrides=["pe.tcm.size=1 MiB"], strict=False, **names)


def test_a_composite_orders_itself_with_loads_and_stores_of_its_memory():
    def kernel(x, y):
        block = tl.ref(x, (16, 16))
        r = tl.arange(0, 16)
        at = r[:, None] * 16 + r[None, :]
        tl.store(x + at, tl.load(x + at) + 1.0)
        tl.composite("add", block, block, out=tl.ref(y, (16, 16)))
        tl.store(x + at, tl.load(y + at) * 2)

    x = iota(16, 16) + 1
    agree(kernel, (1,), [iota(16, 16), np.zeros((16, 16), F32)], {0: x * 4, 1: x * 2})


# -- placement ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        None,
        "cyclic",
        [3] * 10,
        [*range(4), *range(4), 0, 1],
        lambda at: at[0] * 7 % 4,
        ["sip0.cube0.pe2"] * 10,
    ],
)
def test_more_programs_than_pes_run_in_turn_wherever_they_are_placed(place):
    def kernel(x):
        i = tl.program_id(0)
        tl.store(x + i, tl.load(x + i) * 2 + i)

    agree(kernel, (10,), [iota(10)], {0: iota(10) * 3}, place=place)


def test_a_grid_of_three_dimensions():
    def kernel(x):
        i = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
        tl.store(x + i, tl.load(x + i) + i)

    agree(kernel, (3, 4, 5), [iota(60)], {0: iota(60) * 2})


@pytest.mark.parametrize(
    "policy", [DPPolicy(sip="row_wise", space="sram"), DPPolicy(sip="column_wise", pe="tiled")]
)
def test_tensors_over_sram_and_over_every_pe(policy):
    def kernel(x, y):
        at = tl.program_id(0) * 64 + tl.arange(0, 64)
        tl.store(y + at, tl.load(x + at) + 1)

    args = [iota(64, 128), np.zeros((64, 128), F32)]
    agree(kernel, (128,), args, {1: iota(64, 128) + 1}, policy=policy, topology="default")


def test_a_block_that_lives_too_long_is_told_alike_in_both_modes():
    def kernel(x):
        values = [tl.load(x + tl.arange(0, 64)) for _ in range(1000)]
        tl.store(x, values[0])

    texts = set()
    for mode in ("timed", "data"):
        with pytest.raises(CapacityError) as error:
            run(kernel, (1,), [iota(64)], mode=mode)
        texts.add(str(error.value))
    assert len(texts) == 1


# -- anything ----------------------------------------------------------------------------------------------------

N_ELEM = 256


@st.composite
def accesses(draw, shape):
    """An affine access of ``shape`` within ``N_ELEM`` elements, with a mask: base, strides, and what is active."""
    strides = tuple(draw(st.integers(-9, 9)) for _ in shape)
    low = sum(min(0, s * (n - 1)) for s, n in zip(strides, shape, strict=True))
    high = sum(max(0, s * (n - 1)) for s, n in zip(strides, shape, strict=True))
    base = draw(st.integers(-low, max(-low, N_ELEM - 1 - high)))
    limits = tuple((draw(st.integers(0, n)), draw(st.integers(0, n))) for n in shape)
    return base, strides, limits, draw(st.sampled_from(["none", "box", "odd", "lazy"]))


SHAPES = st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=3).map(tuple)


def lanes(shape, arange):
    """The index of each dimension, broadcastable: ``arange(n)[None, :, None]`` and so on."""
    return [
        arange(n)[tuple(slice(None) if d == i else None for i in range(len(shape)))]
        for d, n in enumerate(shape)
    ]


def addresses_and_mask(access, shape, arange, lazily):
    """The access in the words of a kernel, or of numpy, by its ``arange``. ``lazily`` makes a value that is read."""
    base, strides, limits, kind = access
    index = lanes(shape, arange)
    address = base
    for i, stride in zip(index, strides, strict=True):
        address = address + i * stride
    if kind == "none":
        return address, None
    mask = None
    for i, (low, high) in zip(index, limits, strict=True):
        inside = (i >= low) & (i < high)
        mask = inside if mask is None else mask & inside
    if kind == "odd":
        mask = mask | (sum(index[1:], index[0]) % 3 == 1)
    if kind == "lazy":
        mask = mask & (lazily(index[0]) >= 0)
    return address, mask


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=SHAPES, dtype=st.sampled_from(["fp32", "int8", "fp16", "int64"]))
def test_any_affine_access_with_any_mask_is_numpys(data, shape, dtype):
    """A load through one pattern and a store through another; of lanes on one address the last one stays."""
    kind = DTYPES[dtype]
    source, target = data.draw(accesses(shape)), data.draw(accesses(shape))

    def kernel(x, y, zeros):
        def lazily(i):
            return tl.load(zeros + i)

        address, mask = addresses_and_mask(source, shape, lambda n: tl.arange(0, n), lazily)
        v = tl.load(x + address, mask=mask, other=3)
        address, mask = addresses_and_mask(target, shape, lambda n: tl.arange(0, n), lazily)
        tl.store(y + address, v, mask=mask)

    x = (np.arange(N_ELEM) % 100).astype(kind)
    y = np.full(N_ELEM, -1, kind)

    def in_numpy(access):
        address, mask = addresses_and_mask(access, shape, np.arange, lambda i: i * 0)
        return np.broadcast_to(address, shape).ravel(), np.broadcast_to(
            True if mask is None else mask, shape
        ).ravel()

    at, active = in_numpy(source)
    v = np.where(active, x[at % N_ELEM], kind(3))
    at, active = in_numpy(target)
    expected = y.copy()
    for address, value in zip(at[active], v[active], strict=True):
        expected[address] = value
    agree(kernel, (1,), [x, y, np.zeros(8, np.int32)], {1: expected})


BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "max": None,
    "min": None,
    "where": None,
}
UNARY = {"neg": lambda a: -a, "invert": lambda a: ~a, "row sum": None, "column max": None, "transpose": None}
SIDE = 4


@st.composite
def expressions(draw, depth=4):
    """A tree over the blocks "x" and "y", the row "r", the column "c", and small numbers."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(["x", "y", "r", "c"]) | st.integers(-5, 5))
    if draw(st.booleans()):
        return draw(st.sampled_from(sorted(UNARY))), draw(expressions(depth=depth - 1))
    return (
        draw(st.sampled_from(sorted(BINARY))),
        draw(expressions(depth=depth - 1)),
        draw(expressions(depth=depth - 1)),
    )


def value_of(tree, leaves, words):
    """What ``tree`` means in the words of a kernel or of numpy; every value is a block ``[SIDE, SIDE]``."""
    if not isinstance(tree, tuple):
        return leaves[tree] if isinstance(tree, str) else words["full"](tree)
    op, *operands = tree
    values = [value_of(x, leaves, words) for x in operands]
    function = words.get(op) or UNARY.get(op) or BINARY[op]
    return function(*values)


def tl_words():
    square = (SIDE, SIDE)
    return {
        "full": lambda n: tl.full(square, n, tl.int32),
        "max": tl.maximum,
        "min": tl.minimum,
        "where": lambda a, b: tl.where(a > b, a, b + 1),
        "row sum": lambda a: a + tl.sum(a, axis=1)[:, None],
        "column max": lambda a: a - tl.max(a, axis=0)[None, :],
        "transpose": lambda a: a.T,
    }


NUMPY_WORDS = {
    "full": lambda n: np.full((SIDE, SIDE), n, np.int32),
    "max": np.maximum,
    "min": np.minimum,
    "where": lambda a, b: np.where(a > b, a, b + np.int32(1)),
    "row sum": lambda a: a + a.sum(1, dtype=np.int32)[:, None],
    "column max": lambda a: a - a.max(0)[None, :],
    "transpose": lambda a: a.T,
}


@settings(max_examples=60, deadline=None)
@given(tree=expressions(), seed=st.integers(0, 1000))
def test_any_expression_of_integers_is_numpys(tree, seed):
    """Known and read blocks mixed: "r" and "c" are computed at once, "x" and "y" on PE_MATH; with wrapping."""

    def kernel(x, y, z):
        r = tl.arange(0, SIDE)
        at = r[:, None] * SIDE + r[None, :]
        leaves = {
            "x": tl.load(x + at),
            "y": tl.load(y + at),
            "r": r[None, :].broadcast_to(SIDE, SIDE),
            "c": r[:, None].broadcast_to(SIDE, SIDE),
        }
        tl.store(z + at, value_of(tree, leaves, tl_words()))

    x, y = np.random.default_rng(seed).integers(-(2**31), 2**31, (2, SIDE, SIDE)).astype(np.int32)
    r = np.arange(SIDE, dtype=np.int32)
    leaves = {
        "x": x,
        "y": y,
        "r": np.broadcast_to(r[None, :], (SIDE, SIDE)),
        "c": np.broadcast_to(r[:, None], (SIDE, SIDE)),
    }
    with np.errstate(over="ignore"):
        expected = value_of(tree, leaves, NUMPY_WORDS)
    agree(kernel, (1,), [x, y, np.zeros((SIDE, SIDE), np.int32)], {2: expected})


FLOAT_UNARY = {
    "exp": (lambda a: tl.exp(a), np.exp),
    "sqrt of abs": (lambda a: tl.sqrt(tl.abs(a)), lambda a: np.sqrt(np.abs(a))),
    "row sum": (lambda a: tl.sum(a, axis=1)[:, None] + a * 0, lambda a: a.sum(1)[:, None] + a * 0),
    "half": (lambda a: a.to(tl.float16).to(tl.float32), lambda a: a.astype(np.float16).astype(np.float64)),
    "transpose": (lambda a: a.T, lambda a: a.T),
}


@settings(max_examples=30, deadline=None)
@given(
    dtype=st.sampled_from(sorted(FLOATS)),
    steps=st.lists(st.sampled_from(sorted(FLOAT_UNARY)), max_size=4),
    seed=st.integers(0, 1000),
)
def test_any_chain_on_any_float_has_the_same_bits_in_both_modes_and_nearly_numpys(dtype, steps, seed):
    def kernel(x, z):
        r = tl.arange(0, SIDE)
        at = r[:, None] * SIDE + r[None, :]
        v = tl.load(x + at)
        v = v if dtype == "fp64" else v.to(tl.float32)
        for step in steps:
            v = FLOAT_UNARY[step][0](v)
        tl.store(z + at, v)

    x = np.random.default_rng(seed).uniform(-1, 1, (SIDE, SIDE)).astype(FLOATS[dtype])
    expected = x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in steps:
            expected = FLOAT_UNARY[step][1](expected)
        expected = expected.astype(F32)
    is_tame = np.isfinite(expected).all() and np.abs(expected).max() < 1e3
    agree(kernel, (1,), [x, np.zeros((SIDE, SIDE), F32)], {1: expected} if is_tame else {}, tolerance=0.02)


TIGHT = [(), ("cube.hbm.queue=1",), ("pe.scheduler.tile_queue=1",), ("pe.dma.max_inflight=4096",)]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n_steps=st.integers(2, 12), tight=st.sampled_from(TIGHT))
def test_any_sequence_of_loads_stores_and_composites_keeps_its_order(data, n_steps, tight):
    """On one memory that is spread over all channels, with strides that overlap and blocks of unequal cost."""
    steps = []
    for i in range(n_steps):
        kind = data.draw(st.sampled_from(["load", "store", "composite"]))
        if kind == "composite":
            steps.append((kind, *(data.draw(st.integers(0, N_ELEM - 64)) for _ in range(3))))
        else:
            shape = data.draw(SHAPES)
            steps.append((kind, shape, data.draw(accesses(shape)), i))

    def kernel(x):
        v = tl.load(x) * 0
        for kind, *what in steps:
            if kind == "composite":
                a, b, out = (tl.ref(x + at, (8, 8)) for at in what)
                tl.composite("add", a, b, out=out)
                continue
            shape, access, i = what
            address, mask = addresses_and_mask(access, shape, lambda n: tl.arange(0, n), lambda j: j)
            if kind == "load":
                v = tl.max(tl.load(x + address, mask=mask, other=0).reshape(math.prod(shape)), axis=0)
            else:
                tl.store(x + address, v + i, mask=mask)

    x = iota(N_ELEM, dtype=np.int32)
    expected, v = x.copy(), 0
    for kind, *what in steps:
        if kind == "composite":
            a, b, out = what
            expected[out : out + 64] = expected[a : a + 64] + expected[b : b + 64]
            continue
        shape, access, i = what
        address, mask = addresses_and_mask(access, shape, np.arange, lambda j: j)
        address = np.broadcast_to(address, shape).ravel()
        active = np.broadcast_to(True if mask is None else mask, shape).ravel()
        if kind == "load":
            v = int(np.where(active, expected[address % N_ELEM], 0).max())
        else:
            expected[address[active]] = v + i
    agree(kernel, (1,), [x], {0: expected}, overrides=tight)


POOL = ["load", "dot", "dot with acc", "add", "store", "drop"]


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(POOL), st.lists(st.integers(0, 99), min_size=3, max_size=3)), max_size=14
    ),
    overrides=st.sampled_from([(), ("pe.regfile.accumulators=8 KiB",), ("pe.regfile.operands=512",)]),
)
def test_any_use_of_accumulators_that_live_on_or_die_is_numpys(steps, overrides):
    """Products onto accumulators that are read again, evicted, dropped or taken over; all of 16 x 16."""

    def play(load, dot, store):
        pool = [load(0), load(1)]
        for what, picks in steps:
            a, b, c = (pool[i % len(pool)] for i in picks)
            if what == "load":
                pool.append(load(picks[0] % 4))
            elif what == "dot":
                pool.append(dot(a, b, None))
            elif what == "dot with acc":
                pool.append(dot(a, b, c))
            elif what == "add":
                pool.append(a + b)
            elif what == "store":
                store(picks[1] % 4, a)
            elif len(pool) > 2:
                del pool[picks[0] % len(pool)]
            del a, b, c
        for i, value in enumerate(pool[-4:]):
            store(i, value)

    def kernel(x):
        r = tl.arange(0, 16)
        at = r[:, None] * 16 + r[None, :]
        play(
            lambda i: tl.load(x + i * 256 + at),
            tl.dot,
            lambda i, value: tl.store(x + i * 256 + at, value * 0.25),
        )

    blocks = np.random.default_rng(0).standard_normal((4, 16, 16)).astype(F32) / 4
    expected = blocks.astype(np.float64)

    def store(i, value):
        expected[i] = value * 0.25

    play(lambda i: expected[i].copy(), lambda a, b, acc: a @ b + (0 if acc is None else acc), store)
    is_tame = np.abs(expected).max() < 1e3
    agree(kernel, (1,), [blocks], {0: expected} if is_tame else {}, tolerance=1e-3, overrides=overrides)
