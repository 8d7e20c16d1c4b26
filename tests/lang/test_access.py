"""Laws of accesses: affine pointers and box masks make one strided access; no active lane leaves its tensor."""

from __future__ import annotations

import numpy as np
import pytest

from kernbench import lang as tl
from kernbench.errors import PageFaultError
from kernbench.lang import TensorArg, jit
from kernbench.lang.known import Known


@pytest.fixture
def x(device):
    return device.tensor(np.arange(64 * 32, dtype=np.float32).reshape(64, 32))


def access_of(device, kernel, *args):
    return device.run(kernel, *args).commands[0].operands[0].access


def test_a_block_of_pointers_is_one_strided_access(device, x):
    def kernel(x_ptr):
        tl.load(x_ptr + 5 + tl.arange(0, 16)[:, None] * 32 + tl.arange(0, 8)[None, :])

    access = access_of(device, kernel, x)
    assert (access.va - x.va, access.shape, access.strides, access.origin) == (20, (16, 8), (128, 4), (0, 0))


def test_a_box_mask_cuts_the_access(device, x):
    def kernel(x_ptr):
        rows, columns = tl.arange(0, 16), tl.arange(0, 8)
        mask = (rows[:, None] >= 3) & (rows[:, None] < 10) & (columns[None, :] < 6)
        tl.load(x_ptr + rows[:, None] * 32 + columns[None, :], mask=mask)

    access = access_of(device, kernel, x)
    assert access.block_shape == (16, 8)
    assert (access.va - x.va, access.shape, access.strides, access.origin) == (
        3 * 128,
        (7, 6),
        (128, 4),
        (3, 0),
    )


def test_a_broadcast_dimension_has_stride_0(device, x):
    def kernel(x_ptr):
        tl.load(tl.broadcast_to(x_ptr + tl.arange(0, 8)[None, :], (16, 8)))

    access = access_of(device, kernel, x)
    assert (access.shape, access.strides, access.size_bytes) == ((16, 8), (0, 4), 32)


def test_backward_blocks_and_ragged_masks_are_dense(device, x):
    def backward(x_ptr):
        tl.load(x_ptr + 15 - tl.arange(0, 16))

    def ragged(x_ptr):
        lanes = tl.arange(0, 16)
        tl.load(x_ptr + lanes, mask=lanes % 3 == 0)

    access = access_of(device, backward, x)
    assert ((access.addresses - x.va) // 4).tolist() == list(range(15, -1, -1))
    access = access_of(device, ragged, x)
    assert access.lanes.tolist() == [0, 3, 6, 9, 12, 15]
    assert access.shape == (6,)


def test_a_load_without_active_lanes_is_no_command(device, x):
    seen = []

    def kernel(x_ptr, n):
        lanes = tl.arange(0, 8)
        seen.append(tl.load(x_ptr + lanes, mask=lanes < n, other=2.5))
        seen.append(tl.load(x_ptr + lanes, mask=n > 0))
        tl.store(x_ptr + lanes, 1.0, mask=lanes < n)

    assert device.run(kernel, x, 0).commands == []
    assert all(isinstance(block, Known) for block in seen)
    assert [block.dense().tolist() for block in seen] == [[2.5] * 8, [0.0] * 8]


def test_a_mask_that_covers_all_lanes_needs_no_fill(device, x):
    def kernel(x_ptr):
        lanes = tl.arange(0, 8)
        tl.load(x_ptr + lanes, mask=lanes < 8, other=1.0)
        tl.load(x_ptr + lanes, mask=lanes < 7, other=1)

    assert [c.fill for c in device.run(kernel, x).commands] == [None, 1.0]


def test_fill_may_be_a_block_known_or_lazy(device, x):
    out = device.tensor(np.zeros((3, 8), np.float32))

    @jit
    def kernel(x_ptr, out_ptr):
        lanes = tl.arange(0, 8)
        known = tl.load(x_ptr + lanes, mask=lanes < 2, other=lanes * 10)
        lazy = tl.load(x_ptr + lanes, mask=lanes < 2, other=known + 1)
        half = tl.load(x_ptr + lanes, mask=lanes < 2, other=lazy.to(tl.float16))
        for i, row in enumerate([known, lazy, half]):
            tl.store(out_ptr + 8 * i + lanes, row)

    device.run(kernel, x, out)
    known = [0, 1, 20, 30, 40, 50, 60, 70]
    lazy = [0, 1] + [v + 1 for v in known[2:]]
    assert device.read(out).tolist() == [known, lazy, lazy]


def test_lanes_that_store_to_one_address_keep_their_order(device):
    out = device.tensor(np.zeros(1, np.float32))

    def kernel(out_ptr):
        tl.store(tl.broadcast_to(out_ptr, (8,)), tl.arange(0, 8))

    port = device.run(kernel, out)
    assert port.commands[-1].target.access.addresses.tolist() == [out.va] * 8
    assert device.read(out) == 7


FAULT = (
    "test_access.py:{line}: sip0.cube0.pe0 {verb} VA {va:#x}, outside of tensor 'x' fp32[64, 32] at VA "
    "[{start:#x}, {end:#x}); add a mask that keeps such lanes off"
)


@pytest.mark.parametrize(
    ("access", "verb", "element"),
    [
        (lambda p: tl.load(p + 2040 + tl.arange(0, 16)), "reads", 2055),
        (lambda p: tl.load(p - 1), "reads", -1),
        (lambda p: tl.store(p + 2048, 0.0), "writes", 2048),
        (lambda p: tl.load(p, shape=(65, 32)), "reads", 2079),
        (lambda p: tl.load(p + 2040 + tl.arange(0, 16), mask=tl.arange(0, 16) < 9), "reads", 2048),
        (lambda p: tl.load(p + tl.arange(0, 16) * tl.arange(0, 16) * 10), "reads", 2250),
    ],
)
def test_an_active_lane_outside_of_its_tensor_is_a_page_fault(device, x, access, verb, element):
    with pytest.raises(PageFaultError) as error:
        device.run(lambda x_ptr: access(x_ptr), x)
    text = FAULT.format(
        line=access.__code__.co_firstlineno,
        verb=verb,
        va=x.va + 4 * element,
        start=x.va,
        end=x.va + x.size_bytes,
    )
    assert str(error.value) == text


def test_masked_lanes_may_lie_anywhere(device, x):
    def kernel(x_ptr):
        lanes = tl.arange(0, 16)
        tl.load(x_ptr + 2040 + lanes, mask=lanes < 8)
        tl.load(x_ptr - 8 + lanes, mask=lanes >= 8)

    assert len(device.run(kernel, x).commands) == 2


def test_a_fault_is_told_from_bounds_that_are_merely_loose(device, x):
    def kernel(x_ptr):
        lanes = tl.arange(0, 16) * 100
        tl.load(x_ptr + lanes - lanes + tl.arange(0, 16))

    assert access_of(device, kernel, x).strides == (4,)


def test_an_address_out_of_an_integer_is_checked_by_the_machine(device, x):
    def kernel(address: tl.constexpr):
        return tl.load(address, shape=(4,), dtype="fp32")

    assert access_of(device, kernel, x.va).va == x.va


def test_a_pointer_reads_memory_as_another_type(device, x):
    seen = []

    @jit
    def kernel(x_ptr):
        as_int = x_ptr.to(tl.pointer_type(tl.int32))
        assert (x_ptr.dtype.element_ty, as_int.dtype.element_ty) == (tl.float32, tl.int32)
        seen.append(tl.load(as_int + 1).item())

    device.run(kernel, x)
    assert seen == [0x3F800000]


def test_every_tensor_argument_is_a_pointer_with_its_name():
    arg = TensorArg("weights", 64, tl.float16, (4,), 8)
    assert (arg.name, arg.va, arg.size_bytes) == ("weights", 64, 8)
