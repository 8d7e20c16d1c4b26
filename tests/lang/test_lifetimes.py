"""Laws of TCM lifetimes: every value is released once, by a command after its last user, or at the end.

An accumulator that dies with its dot hands on its bytes; what lives is known at issue, and more than TCM is an error
at that line.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

from kernbench import lang as tl
from kernbench.errors import CapacityError
from kernbench.lang import jit
from kernbench.messages.commands import DmaReadCmd, GemmCmd, MathCmd


@pytest.fixture
def x(device):
    return device.tensor(np.ones((64, 64), np.float32))


def made_and_released(port):
    made = [c.result.version for c in port.commands if c.result is not None]
    released = [v for c in port.commands for v in c.releases] + list(port.final_releases)
    return made, released + [c.inherits for c in port.commands if c.inherits >= 0]


def matmul(a_ptr, n):
    acc = tl.zeros((32, 32), dtype=tl.float32)
    for _ in range(n):
        a = tl.load(a_ptr, shape=(32, 32))
        b = tl.load(a_ptr, shape=(32, 32))
        acc = tl.dot(a, b, acc)
    tl.store(a_ptr, tl.exp(acc) + 1)


def branching(x_ptr, n):
    kept = [tl.load(x_ptr, shape=(8,)) for _ in tl.static_range(3)]
    total = kept[0] + kept[1]
    if tl.sum(total) > 0:
        total = total * 2
    del kept
    tl.store(x_ptr, total)
    tl.load(x_ptr, shape=(8,))


@pytest.mark.parametrize("kernel", [matmul, branching])
def test_every_value_is_released_once(device, x, kernel):
    made, released = made_and_released(device.run(kernel, x, 4))
    assert Counter(made) == Counter(released)


def test_a_release_rides_on_a_command_after_the_last_use(device, x):
    port = device.run(matmul, x, 4)
    released_by = {v: i for i, c in enumerate(port.commands) for v in c.releases}
    for i, command in enumerate(port.commands):
        for operand in command.operands:
            assert released_by.get(operand.version, len(port.commands)) > i


def test_the_accumulator_hands_on_its_bytes(device, x):
    dots = [c for c in device.run(matmul, x, 4).commands if isinstance(c, GemmCmd)]
    assert dots[0].acc is None
    assert dots[0].tcm_bytes == 32 * 32 * 4
    for before, dot in zip(dots, dots[1:]):
        assert dot.acc.version == dot.inherits == before.result.version
        assert dot.tcm_bytes == 0
        assert dot.result.address == before.result.address


def test_an_accumulator_still_in_use_keeps_its_bytes(device, x):
    def kernel(x_ptr):
        a = tl.load(x_ptr, shape=(16, 16))
        first = tl.dot(a, a)
        second = tl.dot(a, a, first)
        tl.store(x_ptr, first + second)

    dots = [c for c in device.run(kernel, x).commands if isinstance(c, GemmCmd)]
    assert [(d.inherits, d.tcm_bytes) for d in dots] == [(-1, 1024), (-1, 1024)]


def test_inheriting_survives_a_force(device, x):
    def kernel(x_ptr):
        a = tl.load(x_ptr, shape=(16, 16))
        acc = tl.dot(a, a)
        acc = tl.dot(a, a, acc)
        assert tl.sum(acc).item() == 2 * 16**3
        acc = tl.dot(a, a, acc)
        tl.store(x_ptr, acc)

    dots = [c for c in device.run(kernel, x).commands if isinstance(c, GemmCmd)]
    assert [d.inherits >= 0 for d in dots] == [False, True, True]


def test_lifetimes_are_the_same_under_a_tracer(device, x):
    def releases():
        return [(c.name, len(c.releases), c.inherits >= 0) for c in device.run(matmul, x, 3).commands]

    plain = releases()
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        traced = releases()
    finally:
        sys.settrace(before)
    assert traced == plain


def test_a_view_is_the_value_by_another_shape(device, x):
    def kernel(x_ptr):
        a = tl.load(x_ptr, shape=(16,))
        tl.store(x_ptr, a[:, None] + a[None, :])

    load, add, _ = device.run(kernel, x).commands
    assert [o.version for o in add.operands] == [load.result.version] * 2
    assert [o.shape for o in add.operands] == [(16, 1), (1, 16)]


def test_live_values_do_not_share_bytes(new_device):
    device = new_device(tcm_bytes=4096)
    x = device.tensor(np.ones(1024, np.float32))

    def kernel(x_ptr):
        a = tl.load(x_ptr, shape=(256,))
        b = tl.load(x_ptr, shape=(512,))
        c = tl.load(x_ptr, shape=(256,))
        del a, c
        d = tl.load(x_ptr, shape=(512,))  # two holes of 1 KiB
        del d
        e = tl.load(x_ptr, shape=(256,))
        tl.store(x_ptr, e)
        tl.store(x_ptr, b)

    commands = device.run(kernel, x).commands
    assert [c.result.address for c in commands if isinstance(c, DmaReadCmd)] == [0, 1024, 3072, 0, 0]


def test_more_than_tcm_is_an_error_at_its_line(new_device):
    device = new_device(tcm_bytes=40 << 10)
    x = device.tensor(np.ones(4096, np.float32))

    def kernel(x_ptr):
        blocks = [tl.load(x_ptr, shape=(32, 128)) for _ in range(3)]
        tl.store(x_ptr, blocks[0])

    line = kernel.__code__.co_firstlineno + 1
    with pytest.raises(CapacityError) as error:
        device.run(kernel, x)
    assert str(error.value) == (
        f"test_lifetimes.py:{line}: fp32[32, 128] needs 16 KiB of TCM, and 8 KiB of 40 KiB are free; "
        f"live: fp32[32, 128] 16 KiB (test_lifetimes.py:{line}), fp32[32, 128] 16 KiB (test_lifetimes.py:{line}); "
        "use smaller blocks, or drop (del) a value no longer needed"
    )


def test_a_block_that_can_never_fit(new_device):
    device = new_device(tcm_bytes=1024)
    x = device.tensor(np.ones(4096, np.float32))

    @jit
    def kernel(x_ptr):
        tl.store(x_ptr, tl.zeros((512,), tl.float32))

    with pytest.raises(
        CapacityError, match=r"needs 2 KiB of TCM, and 1 KiB of 1 KiB are free; live: nothing;"
    ):
        device.run(kernel, x)


def test_known_blocks_take_no_bytes_until_they_are_stored(device, x):
    @jit
    def kernel(x_ptr):
        block = tl.zeros((64, 64), tl.float32) + tl.arange(0, 64)[None, :]
        tl.store(x_ptr, block)

    made, stored = device.run(kernel, x).commands
    assert isinstance(made, MathCmd)
    assert (made.op, made.tcm_bytes, stored.operands[0].version) == ("full", 64 * 64 * 4, made.result.version)


def test_a_known_block_is_made_once_for_all_that_need_it_in_tcm(device, x):
    """A loop that multiplies by a constant matrix makes that matrix once, as a compiler would hoist it."""

    @jit
    def kernel(x_ptr):
        identity = tl.where(tl.arange(0, 4)[:, None] == tl.arange(0, 4)[None, :], 2.0, 0.0)
        block = tl.load(x_ptr, shape=(4, 4))
        for _ in range(3):
            block = tl.dot(identity, block)
        tl.store(x_ptr, block)

    before = device.read(x).reshape(-1)[:16].copy()
    names = [command.name for command in device.run(kernel, x).commands]
    assert names == ["load", "math", "dot", "dot", "dot", "store"]
    assert np.array_equal(device.read(x).reshape(-1)[:16], before * 8)


def test_a_known_block_in_tcm_lives_as_long_as_its_name(device, x):
    @jit
    def kernel(x_ptr):
        ones = tl.full((16,), 1.0, tl.float32)
        tl.store(x_ptr, ones)
        tl.store(x_ptr + 16, ones)
        del ones
        tl.store(x_ptr, tl.load(x_ptr + 32, shape=(16,)))

    made, first, second, load, _ = device.run(kernel, x).commands
    assert first.operands[0].version == second.operands[0].version == made.result.version
    assert [command.releases for command in (first, second)] == [(), ()]
    assert load.releases == (made.result.version,)


def test_a_known_accumulator_gives_its_bytes_to_the_result(device, x):
    @jit
    def kernel(x_ptr):
        acc = tl.full((4, 4), 1.0, tl.float32)
        block = tl.load(x_ptr, shape=(4, 4))
        acc = tl.dot(block, block, acc)
        tl.store(x_ptr, acc)

    _, made, product, _ = device.run(kernel, x).commands
    assert (product.inherits, product.tcm_bytes) == (made.result.version, 0)


def test_each_program_makes_what_its_programs_share(device, x):
    shared = []

    @jit
    def kernel(x_ptr):
        if not shared:
            shared.append(tl.full((16,), 1.0, tl.float32))
        tl.store(x_ptr, shared[0])

    for _ in range(2):
        assert [command.name for command in device.run(kernel, x).commands] == ["math", "store"]
