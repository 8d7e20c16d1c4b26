"""Laws: where Triton's interpreter and compiler differ, or a rule is easily missed, a kernel follows the compiler.

Checked against triton 3.9.0; every expected value is derived in sight.
"""

from __future__ import annotations

import numpy as np

from kernbench import lang as tl
from kernbench.lang import jit


def test_a_pointer_moves_by_a_condition(device):
    """An int1 offset is 0 or 1."""

    @jit
    def kernel(x, out):
        at = tl.arange(0, 4)
        tl.store(out + at, tl.load(x + (at > 1)))

    x, out = device.tensor(np.array([5, 7], np.int32)), device.tensor(np.zeros(4, np.int32))
    device.run(kernel, x, out)
    assert device.read(out).tolist() == [5, 5, 7, 7]


def test_a_sum_with_a_dtype_wraps_in_it(device):
    """The elements are cast first: 3 * 100 is 44 in int8."""

    @jit
    def kernel(x, out):
        total = tl.sum(tl.load(x + tl.arange(0, 4), mask=tl.arange(0, 4) < 3, other=0), dtype=tl.int8)
        assert total.dtype is tl.int8
        tl.store(out, total)

    x, out = device.tensor(np.full(4, 100, np.int32)), device.tensor(np.zeros(1, np.int32))
    device.run(kernel, x, out)
    assert device.read(out).tolist() == [44]


def test_what_masked_lanes_become_keeps_the_sign_of_zero(device):
    @jit
    def kernel(x, out):
        at = tl.arange(0, 2)
        tl.store(out + at, tl.load(x + at, mask=at < 1, other=-0.0))

    x, out = device.tensor(np.zeros(2, np.float32)), device.tensor(np.ones(2, np.float32))
    device.run(kernel, x, out)
    assert np.signbit(device.read(out)).tolist() == [False, True]


def test_numbers_of_a_clamp_meet_each_other_first(device):
    """-300 fits no int8, but with 3.0 it makes the bounds floats, above an int8."""

    @jit
    def kernel(x, out):
        at = tl.arange(0, 4)
        held = tl.clamp(tl.load(x + at), -300, 3.0)
        assert held.dtype is tl.float32
        tl.store(out + at, held)

    x, out = device.tensor(np.array([-128, 0, 3, 127], np.int8)), device.tensor(np.zeros(4, np.float32))
    device.run(kernel, x, out)
    assert device.read(out).tolist() == [-128, 0, 3, 3]


def test_an_integer_fill_wraps_like_the_compilers(device):
    """300 is 44 in int8; a float zero is an integer zero."""

    @jit
    def kernel(out):
        at = tl.arange(0, 2)
        tl.store(out + at, tl.full((2,), 300, tl.int8) + tl.full((2,), 0.0, tl.int8))

    out = device.tensor(np.zeros(2, np.int8))
    device.run(kernel, out)
    assert device.read(out).tolist() == [44, 44]


def test_a_blocks_type_prints_without_an_address(device):
    @jit
    def kernel():
        assert repr(tl.zeros((2, 4), tl.float16).type) == "<[2, 4], fp16>"

    device.run(kernel)
