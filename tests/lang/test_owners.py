"""A block or a future belongs to the program that made it: whatever another program does with it is an error."""

from __future__ import annotations

import numpy as np
import pytest

from kernbench import lang as tl
from kernbench.errors import PageFaultError, UsageError
from kernbench.lang import KernelCall, run_program
from kernbench.messages.owners import Lifetime
from kernbench.messages.source_line import SourceLine

HERE = "test_owners.py"
B = 16
kept = []

BLOCK_USES = {
    "an operator": lambda b, p: b * 2.0,
    "a reflected operator": lambda b, p: 1.0 - b,
    "a comparison": lambda b, p: b < 1.0,
    "an op of a unary kind": lambda b, p: tl.exp(b),
    "a condition": lambda b, p: tl.where(b > 0, 1.0, 2.0),
    "a third operand": lambda b, p: tl.fma(1.0, 2.0, b),
    "a reduction": lambda b, p: tl.sum(b, axis=0),
    "softmax": lambda b, p: tl.softmax(b),
    "a cast": lambda b, p: b.to(tl.float16),
    "a bitcast": lambda b, p: tl.cast(b, tl.int32, bitcast=True),
    "a broadcast": lambda b, p: tl.broadcast_to(b[:, None, :], B, B, B),
    "a transpose": lambda b, p: b.T,
    "a view": lambda b, p: tl.reshape(b, B * B) + 1.0,
    "an index": lambda b, p: b[None, :, :] + 1.0,
    "the left of a product": lambda b, p: tl.dot(b, tl.zeros((B, B), tl.float32)),
    "the right of a product": lambda b, p: tl.dot(tl.zeros((B, B), tl.float32), b),
    "an accumulator": lambda b, p: tl.dot(tl.zeros((B, B), tl.float32), tl.zeros((B, B), tl.float32), b),
    "what is stored": lambda b, p: tl.store(tile(p), b),
    "a mask of a load": lambda b, p: tl.load(tile(p), mask=b),
    "a mask of a store": lambda b, p: tl.store(tile(p), 1.0, mask=b),
    "what masked lanes become": lambda b, p: tl.load(tile(p), mask=rows() < 3, other=b),
    "an offset": lambda b, p: p + b,
    "an operand of a composite": lambda b, p: tl.composite("add", b, b, out=tl.ref(p, (B, B))),
    "a wait": lambda b, p: tl.wait(b),
    "a test": lambda b, p: tl.test(b),
    "print": lambda b, p: tl.device_print("b", b),
}
SCALAR_USES = {
    "a branch": lambda b, p: 1 if b else 2,
    "int()": lambda b, p: int(b),
    "float()": lambda b, p: float(b),
    "item()": lambda b, p: b.item(),
    "an index": lambda b, p: [0, 1][b],
    "a loop bound": lambda b, p: tl.range(b),
    "a fill": lambda b, p: tl.full((B,), b, tl.float32),
    "an address": lambda b, p: tl.load(b, dtype="fp32"),
}


def rows():
    return tl.arange(0, B)[:, None]


def tile(pointer):
    return pointer + rows() * B + tl.arange(0, B)[None, :]


def keep_a_block(p, q):
    kept.append(tl.load(tile(p)))


def keep_a_scalar(p, q):
    kept.append(tl.load(q))


def keep_a_forced_scalar(p, q):
    kept.append(tl.load(q))
    assert int(kept[0]) == 1


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    kept.clear()


def new_arguments(device):
    return device.tensor(np.ones((B, B), np.float32)), device.tensor(np.ones(1, np.int64), name="q")


def line_in(function, offset=1):
    return f"{HERE}:{function.__code__.co_firstlineno + offset}"


def error_of(use, keep, device, user=None):
    """What using in one program what another has kept says; without a ``user`` device they are of one launch."""

    def used_at_once(p, q):
        if tl.program_id(0) == 0:
            keep(p, q)
        else:
            use(kept[0], p)

    def used_later(p, q):
        use(kept[0], p)

    if user is not None:
        device.run(keep, *new_arguments(device))
    user, kernel, grid = (device, used_at_once, (2,)) if user is None else (user, used_later, (1,))
    with pytest.raises(UsageError) as raised:
        user.launch(kernel, grid, *new_arguments(user))
    return str(raised.value)


def says(use, whose, what, keep):
    return (
        f"{line_in(use, 0)}: a block of {whose} is used here: {what} was made at {line_in(keep)} by program (0, 0, 0) "
        "on sip0.cube0.pe0; load it again in this program, or pass it on through memory or a queue"
    )


@pytest.mark.parametrize("use", BLOCK_USES.values(), ids=BLOCK_USES)
def test_a_block_of_another_program_is_used_for_nothing(use, device):
    assert error_of(use, keep_a_block, device) == says(use, "another program", "fp32[16, 16]", keep_a_block)


@pytest.mark.parametrize("use", BLOCK_USES.values(), ids=BLOCK_USES)
def test_a_block_of_an_earlier_launch_is_used_for_nothing(use, device):
    text = error_of(use, keep_a_block, device, device)
    assert text == says(use, "an earlier launch", "fp32[16, 16]", keep_a_block)


@pytest.mark.parametrize("use", BLOCK_USES.values(), ids=BLOCK_USES)
def test_a_block_of_another_simulation_is_used_for_nothing(use, new_device):
    text = error_of(use, keep_a_block, new_device(), new_device())
    assert text == says(use, "another simulation", "fp32[16, 16]", keep_a_block)


@pytest.mark.parametrize("keep", [keep_a_scalar, keep_a_forced_scalar])
@pytest.mark.parametrize("use", SCALAR_USES.values(), ids=SCALAR_USES)
def test_a_value_of_another_program_is_not_looked_at_even_if_that_has_looked(use, keep, device):
    what = "int64"
    assert error_of(use, keep, device) == says(use, "another program", what, keep)
    kept.clear()
    assert error_of(use, keep, device, device) == says(use, "an earlier launch", what, keep)


@pytest.mark.parametrize("use", [tl.wait, tl.test])
def test_a_future_is_waited_for_where_it_was_made(use, device):
    def keep(p):
        kept.append(tl.composite("add", 1.0, 2.0, out=tl.ref(p, ())))

    def wait(p):
        use(kept[0])

    p, _ = new_arguments(device)
    device.run(keep, p)
    with pytest.raises(UsageError) as raised:
        device.run(wait, p)
    assert str(raised.value) == (
        f"{line_in(wait)}: a future of an earlier launch is used here: it was made at {line_in(keep)} by program "
        "(0, 0, 0) on sip0.cube0.pe0; wait for it in the program that made it"
    )


def test_a_block_reaches_no_other_program_by_a_default_or_a_closure(device):
    def keep(p, q):
        kept.append(tl.load(q))

    p, q = new_arguments(device)
    device.run(keep, p, q)
    block = kept[0]

    def by_default(p, n=block):
        tl.store(p, n)

    def by_closure(p):
        tl.store(p, block)

    for kernel in (by_default, by_closure):
        with pytest.raises(UsageError) as raised:
            device.run(kernel, p)
        assert str(raised.value) == says(kernel, "an earlier launch", "int64", keep).replace(
            line_in(kernel, 0), line_in(kernel)
        )


def test_what_the_newest_command_makes_has_a_line_too(device, new_port):
    """A program keeps its newest command back until the next one, so another may see a block that nobody has issued."""

    def kernel(p, q):
        if tl.program_id(0) == 0:
            kept.append(tl.load(q))
            run_program(KernelCall(other, (q,), {}), port)

    def other(q):
        kept[0] + 1

    p, q = new_arguments(device)
    port = new_port(device.memory)
    try:
        with pytest.raises(UsageError) as raised:
            device.run(kernel, p, q)
    finally:
        port.memory = None
    assert f"int64 was made at {line_in(kernel, 2)} by program (0, 0, 0)" in str(raised.value)


def test_what_is_known_without_memory_belongs_to_nobody(device):
    """Index blocks, masks and numbers are constants, computed at once; each program has them in its own TCM."""

    def keep(p, q):
        kept.extend([tl.arange(0, B), tl.full((B,), 2.0, tl.float32), tl.program_id(0) + 3, int(tl.load(q))])
        tl.store(p + kept[0], kept[1] + 1.0)

    def use(p, q):
        offsets, twos, three, one = kept
        tl.store(p + offsets, twos + three + one)

    p, q = new_arguments(device)
    device.run(keep, p, q)
    device.run(use, p, q)
    assert device.read(p)[0].tolist() == [6.0] * B


# -- pointers ---------------------------------------------------------------------------------------------------------


def living(device, array, name="x"):
    life = Lifetime(device)
    life.made = SourceLine("mine.py", 3)
    return device.tensor(array, name=name)._replace(life=life), life


POINTER_USES = {
    "a load": lambda p: tl.load(p + 1),
    "a store": lambda p: tl.store(p + 1, 1.0),
    "a load of a block": lambda p: tl.load(p, shape=(2,)),
    "a load by another type": lambda p: tl.load(p.to(tl.pointer_type(tl.int32))),
    "a reference": lambda p: tl.ref(p, (2,)),
    "no lane": lambda p: tl.load(p, mask=False),
}


def keep_a_pointer(p):
    kept.append(p)


@pytest.mark.parametrize("use", POINTER_USES.values(), ids=POINTER_USES)
def test_a_pointer_into_a_tensor_that_was_freed_leads_nowhere(use, device):
    x, life = living(device, np.ones(4, np.float32))
    device.run(keep_a_pointer, x)

    def kernel():
        use(kept[0])

    device.run(kernel)
    life.end("at mine.py:9")
    with pytest.raises(PageFaultError) as raised:
        device.run(kernel)
    assert str(raised.value) == (
        f"{line_in(use, 0)}: this pointer leads into 'x' fp32[4], made at mine.py:3, which was freed at mine.py:9; "
        "free it after the last launch that uses it, or make a new tensor"
    )


@pytest.mark.parametrize("use", POINTER_USES.values(), ids=POINTER_USES)
def test_a_pointer_into_a_tensor_of_another_simulation_leads_nowhere(use, new_device):
    device, other = new_device(), new_device()
    x, _ = living(device, np.ones(4, np.float32))
    device.run(keep_a_pointer, x)

    def kernel():
        use(kept[0])

    with pytest.raises(UsageError) as raised:
        other.run(kernel)
    assert str(raised.value) == (
        f"{line_in(use, 0)}: this pointer leads into 'x' fp32[4], made at mine.py:3, a tensor of another simulation; "
        "give the kernel one of its own"
    )


@pytest.mark.parametrize("at", ["operand", "out"])
def test_a_reference_lives_as_long_as_its_tensor(at, device):
    x, life = living(device, np.ones(4, np.float32))
    y, _ = living(device, np.ones(4, np.float32), name="y")

    def keep(x):
        kept.append(tl.ref(x, (4,)))

    def kernel(y):
        refs = (kept[0], tl.ref(y, (4,)))
        a, out = refs if at == "operand" else reversed(refs)
        tl.wait(tl.composite("add", a, 1.0, out=out))

    device.run(keep, x)
    device.run(kernel, y)
    life.end("at mine.py:9")
    with pytest.raises(PageFaultError) as raised:
        device.run(kernel, y)
    assert str(raised.value) == (
        f"{line_in(kernel, 3)}: this pointer leads into 'x' fp32[4], made at mine.py:3, which was freed at mine.py:9; "
        "free it after the last launch that uses it, or make a new tensor"
    )


def test_a_launch_may_use_what_is_freed_after_it_was_made(device):
    """A launch returns at once: the host may free a tensor that a kernel it has launched will only then touch."""
    x, life = living(device, np.ones(4, np.float32))

    def kernel(x):
        life.end("at mine.py:9")
        tl.store(x, tl.load(x) + 1.0)

    device.run(kernel, x)
    assert device.read(x)[0] == 2.0
