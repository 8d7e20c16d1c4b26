"""Laws of kernels as Python functions: what arguments become, what Python's words mean, how kernels call each other."""

from __future__ import annotations

import numpy as np

from kernbench import lang as tl
from kernbench.lang import jit, launch_with
from kernbench.lang.known import Known
from kernbench.lang.pointer import Pointer


def test_arguments(device):
    seen = {}

    @jit
    def kernel(
        x,
        small,
        large,
        huge,
        rate,
        flag,
        none,
        name,
        pair,
        BLOCK: tl.constexpr,
        MODE: tl.constexpr = "fast",
    ):
        seen.update(locals())

    x = device.tensor(np.zeros(4, np.float16))
    device.run(
        kernel, x, 1, 2**40, 2**63, 0.1, True, None, "text", (1, x), BLOCK=64, num_warps=4, num_stages=2
    )
    assert isinstance(seen["x"], Pointer)
    assert [seen[n].dtype for n in ("small", "large", "huge", "rate", "flag")] == [
        tl.int32, tl.int64, tl.uint64, tl.float32, tl.int1,
    ]  # fmt: skip
    assert seen["rate"].base == float(np.float32(0.1))
    assert seen["none"] is None
    assert seen["name"] == "text"
    assert [type(v) for v in seen["pair"]] == [Known, Pointer]
    assert (seen["BLOCK"].value, seen["MODE"].value) == (64, "fast")


def test_program_ids_and_grid(device):
    seen = []

    def kernel():
        seen.append([int(f(axis)) for f in (tl.program_id, tl.num_programs) for axis in range(3)])

    device.launch(kernel, (2, 1, 2))
    assert seen == [[x, 0, z, 2, 1, 2] for z in range(2) for x in range(2)]


def test_loops_count_in_int32(device):
    seen = []

    @jit
    def kernel(n, big):
        seen.extend((i, i.dtype, i.to(tl.int64).dtype) for i in range(n))
        seen.extend(i.dtype for i in tl.range(big, big + 1, num_stages=3))
        seen.extend(type(i) for i in tl.static_range(1))
        seen.append([int(i) for i in reversed(range(1, 7, 2))])
        seen.append(len(range(n)))

    device.run(kernel, 2, 2**40)
    assert seen == [(0, tl.int32, tl.int64), (1, tl.int32, tl.int64), tl.int64, int, [5, 3, 1], 2]


def test_min_max_and_print_in_a_kernel(device):
    @jit
    def kernel(n, x_ptr):
        say = print
        x = tl.load(x_ptr, shape=(4,))
        say("blocks", min(n, 3), max(n, 3), max(1, 2), min([4, 2]))
        say(max(x, 0))
        tl.static_print("x is", x.dtype)
        tl.device_print("x", tl.sum(x))

    port = device.run(kernel, 5, device.tensor(np.array([-1, 2, -3, 4], np.int32)))
    assert port.printed == ["blocks 3 5 2 2", "[0 2 0 4]", "x is int32", "x 2"]


def test_clock_counts_all_that_was_issued(device):
    seen = []

    def kernel(x_ptr):
        seen.append(tl.clock())
        x = tl.load(x_ptr, shape=(4,))
        seen.append(tl.clock())
        tl.store(x_ptr, x)

    device.run(kernel, device.tensor(np.zeros(4, np.float32)))
    assert seen == [0, 1000]


@jit
def split(x, HALF: tl.constexpr = 2):
    """Quotient and remainder."""
    return x // HALF, x - x // HALF * HALF


def test_kernels_call_kernels(device):
    @jit
    def kernel(out_ptr, x_ptr, combine: tl.constexpr):
        high, low = split(tl.load(x_ptr, shape=(8,)), HALF=3)
        tl.store(out_ptr, combine(high, low))

    @jit
    def combine(high, low):
        if high.dtype == tl.int32:
            return high * 10 + low
        return low

    x = np.arange(8, dtype=np.int32)
    out = device.tensor(np.zeros_like(x))
    device.run(kernel, out, device.tensor(x), combine)
    np.testing.assert_array_equal(device.read(out), x // 3 * 10 + x % 3)


def test_a_grid_launches_through_the_installed_launcher():
    launches = []

    @jit
    def kernel(x, BLOCK: tl.constexpr = 4):
        pass

    before = launch_with(lambda *launch: launches.append(launch))
    try:
        kernel[(8,)](1, BLOCK=16, num_warps=4)
    finally:
        launch_with(before)
    assert launches == [(kernel, (8,), (1,), {"BLOCK": 16, "num_warps": 4})]
    assert kernel.bind((1,), {"BLOCK": 16, "num_warps": 4}) == {"x": 1, "BLOCK": 16}
    assert kernel.bind((1,), {}) == {"x": 1, "BLOCK": 4}


def test_decorating_leaves_the_module_as_it_was():
    before = __builtins__
    assert jit(lambda: None).fn.__builtins__["range"] is tl.range
    assert __builtins__ is before
    assert range is not tl.range
    assert jit(do_not_specialize=["n"])(split.__wrapped__).constants == {"HALF"}


def test_a_registered_op_is_a_word():
    from kernbench.ops import OPS

    for name in OPS:
        if name not in ("and", "or"):
            assert callable(getattr(tl, name)), name


def test_the_words_of_tl_are_all_its_public_names_and_nothing_else():
    from kernbench.dtypes import DType
    from kernbench.lang import tl as module
    from kernbench.lang import words
    from kernbench.ops import OPS

    made_here = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (
            getattr(value, "__module__", "") in (module.__name__, words.__name__) or isinstance(value, DType)
        )
    }
    assert set(module.__all__) == made_here | {"as_dtype", "constexpr", "dtype", "pointer_type", "tensor"}
    assert module.__all__ == sorted(module.__all__)
    assert dir(module) == sorted({*module.__all__, *OPS} - {"and", "or"})  # which Python cannot name so


def test_every_word_of_tl_says_what_it_does():
    words = [getattr(tl, name) for name in tl.tl.__all__]
    assert [word.__name__ for word in words if callable(word) and not (word.__doc__ or "").strip()] == []


def test_hints_pass_their_block_on(device):
    def kernel():
        rows = tl.program_id(0) * 16 + tl.arange(0, 16)
        assert tl.max_contiguous(tl.multiple_of(rows, 16), 16) is rows
        assert tl.multiple_of((rows * 2)[:, None], [2, 1]).shape == (16, 1)
        tl.assume(tl.num_programs(0) > 0)
        tl.debug_barrier()

    assert device.run(kernel).commands == []


def test_what_a_kernel_may_ask_of_a_dtype(device):
    def kernel(x_ptr, KIND: tl.constexpr):
        x = tl.load(x_ptr, shape=(4,))
        assert x.dtype == x.type.scalar == x_ptr.dtype.element_ty == KIND.value
        assert (x.dtype.is_floating(), x.dtype.is_fp16(), x.dtype.is_bf16(), x.dtype.is_ptr()) == (
            True,
            True,
            False,
            False,
        )
        assert (tl.int8.is_int_signed(), tl.int1.is_int_unsigned(), tl.float8e5.is_fp8()) == (
            True,
            True,
            True,
        )
        assert (x_ptr.dtype.is_ptr(), x.dtype.primitive_bitwidth, x.numel, x.shape[0]) == (True, 16, 4, 4)

    device.run(kernel, device.tensor(np.zeros(4, np.float16)), tl.float16)


def test_cache_words_are_accepted(device):
    @jit
    def kernel(x_ptr):
        x = tl.load(x_ptr, cache_modifier=".cg", eviction_policy="evict_last", volatile=True)
        tl.store(x_ptr, x, cache_modifier=".wb", eviction_policy="evict_first")

    assert len(device.run(kernel, device.tensor(np.zeros(1, np.float32))).commands) == 2
