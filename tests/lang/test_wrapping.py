"""A fault at an address that an integer of fewer than 64 bits led to says where it wrapped, or may have."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernbench as kb
from kernbench import tl
from kernbench.dtypes import int16, int32, uint32
from kernbench.errors import PageFaultError

N = 1 << 30
MASK = "add a mask that keeps such lanes off"
CURE = "compute it in int64, as in x.to(tl.int64) * y"


def fault(device, body, *args, values=None):
    """What the fault of ``body(pointer, *args)`` says to do, and the line it is at."""
    x = device.tensor(np.zeros(8, np.int32) if values is None else values)
    with pytest.raises(PageFaultError) as raised:
        device.run(body, x, *args)
    where, what = str(raised.value).split(": ", 1)
    return where, what.rpartition("); ")[2]


def product(p, n):
    tl.load(p + n * N * 4)


def total(p, n):
    there = n + 2147483647
    tl.load(p + there)


def difference(p, n):
    there = -2147483647 - n
    tl.load(p + there)


def shift(p, n):
    there = n << 31
    tl.load(p + there)


def dense(p, n):
    lanes = (tl.arange(0, 8) % 3) * n
    there = lanes * 1500000000
    tl.load(p + there)


def affine(p, n):
    there = tl.arange(0, 8) * (n * 500000000)
    tl.load(p + there)


def unsigned(p, n):
    there = n.to(tl.uint32) * 3000000000
    tl.load(p + there)


def narrow(p, n):
    there = n.to(tl.int16) * 32767
    tl.load(p + there)


def widened_too_late(p, n):
    there = (n * N * 4).to(tl.int64)
    tl.load(p + there + 100)


def reshaped(p, n):
    there = tl.arange(0, 4) * n * N
    tl.load((p + 8) + there[:, None] + tl.arange(0, 2)[None, :])


def through_a_block_of_pointers(p, n):
    there = n * N * 4
    rows = (p + 100) + there + tl.arange(0, 8)[:, None]
    tl.load(tl.broadcast_to(tl.trans(rows), (2, 8)) + 1)


@pytest.mark.parametrize(
    ("body", "behind", "dtype"),
    [
        (product, 1, int32),
        (total, 1, int32),
        (difference, 1, int32),
        (shift, 1, int32),
        (dense, 2, int32),
        (affine, 1, int32),
        (unsigned, 1, uint32),
        (narrow, 1, int16),
        (widened_too_late, 1, int32),
        (reshaped, 1, int32),
        (through_a_block_of_pointers, 1, int32),
    ],
)
def test_the_fault_names_the_line_where_an_offset_wrapped_and_the_cure(device, body, behind, dtype):
    line = f"test_wrapping.py:{body.__code__.co_firstlineno + behind}"
    if body in (product, widened_too_late, through_a_block_of_pointers):
        _, what = fault(device, lambda p, n: body(p + 1000, n), 3)
    else:
        _, what = fault(device, body, 7)
    assert what == f"an offset left {dtype} at {line} and wrapped: {CURE}"


def test_what_only_might_have_wrapped_and_did_not_has_the_cure_of_any_other(device):
    def bounds_are_loose(p, n):
        there = (tl.arange(0, 8) - tl.arange(0, 8)) * 2147483647
        tl.load(p + there + 9)

    def in_int64(p, n):
        tl.load(p + n.to(tl.int64) * N * 4)

    def a_mask_wrapped(p, n):
        tl.load(p + 9, mask=n * N * 4 == 0)

    for body in (bounds_are_loose, in_int64, a_mask_wrapped):
        assert fault(device, body, 4)[1] == MASK


DTYPES = {int16: (-(1 << 15), (1 << 15) - 1), int32: (-(1 << 31), (1 << 31) - 1), uint32: (0, (1 << 32) - 1)}


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.lshift])
@given(st.data())
def test_exactly_what_leaves_its_dtype_counts_as_wrapped(new_device, op, data):
    dtype = data.draw(st.sampled_from(list(DTYPES)))
    low, high = DTYPES[dtype]
    a = data.draw(st.lists(st.integers(low, high), min_size=2, max_size=2))
    most = min(high, 15 if op is operator.lshift else high)
    b = data.draw(st.lists(st.integers(max(low, -most), most), min_size=2, max_size=2))
    b = [abs(n) for n in b] if op is operator.lshift else b
    seen = []

    def kernel():
        first = tl.arange(0, 2) == 0
        x, y = (tl.where(first, *(tl.full((), n, tl.int64) for n in pair)).to(dtype) for pair in (a, b))
        seen.append(op(x, y).wrapped)

    new_device().run(kernel)
    assert (seen[0] is not None) == any(not low <= op(x, y) <= high for x, y in zip(a, b))


def test_an_offset_that_is_computed_from_memory_may_have_wrapped(device):
    def kernel(p, n):
        row = tl.load(p)
        there = row * N
        tl.load(p + there)

    where, what = fault(device, kernel, 3, values=np.array([3, 0], np.int32))
    line = kernel.__code__.co_firstlineno + 2
    assert where == f"test_wrapping.py:{line + 1}"
    assert what == f"an offset was computed in int32 at test_wrapping.py:{line}; if it wrapped there, {CURE}"


def test_an_offset_that_is_read_from_memory_did_not_wrap(device):
    def kernel(p, n):
        tl.load(p + tl.load(p))

    assert fault(device, kernel, 3, values=np.array([300, 0], np.int32))[1] == MASK


@pytest.mark.parametrize("mode", ["timed", "data"])
@pytest.mark.parametrize("gather", [False, True])
def test_a_page_fault_says_so_too(mode, gather):
    @kb.jit
    def kernel(x_ptr, n, IS_GATHER: tl.constexpr):
        there = (n * 1073741824) * 4
        address = x_ptr.to(tl.int64) + there - 1000000000
        if IS_GATHER:
            tl.load(address + tl.arange(0, 8) % 3, dtype=tl.int8)
        else:
            tl.load(address, dtype=tl.int8)

    with pytest.raises(PageFaultError) as raised:
        kb.testing.run(kernel, (1,), [np.zeros(16, np.float32), 3], IS_GATHER=gather, mode=mode)
    line = kernel.fn.__code__.co_firstlineno + 2
    assert str(raised.value).endswith(
        f"nothing else is mapped here; an offset left int32 at test_wrapping.py:{line} and wrapped: {CURE}"
    )


def test_operands_in_memory_say_so_too(device):
    def kernel(p, n):
        there = n * N * 4
        tl.ref(p + there + 100, (4,))

    _, what = fault(device, kernel, 3)
    line = kernel.__code__.co_firstlineno + 1
    assert what == f"an offset left int32 at test_wrapping.py:{line} and wrapped: {CURE}"
