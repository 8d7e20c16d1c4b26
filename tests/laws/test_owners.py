"""In every mode a block, a pointer and an address lead only where their owner lives, and the host may free early."""

import inspect

import pytest

from kernbench.errors import PageFaultError, UsageError
from kernbench.lang import jit, tl
from kernbench.simulation import simulate

MODES = ["timed", "data", "timing"]
HERE = "test_owners.py"
kept = []


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    kept.clear()


@jit
def keep_block(x_ptr, y_ptr):
    if not kept:
        kept.append(tl.load(x_ptr))
    tl.store(y_ptr, kept[0] * 2.0)


@jit
def keep_pointer(x_ptr, y_ptr):
    if not kept:
        kept.append(x_ptr)
    tl.store(y_ptr, tl.load(kept[0]) * 2.0)


@jit
def by_address(address, y_ptr):
    tl.store(y_ptr, tl.load(address, dtype="fp32", shape=(1,)))


def line_of(function, text):
    """``FILE:line`` of the first line of ``function`` that contains ``text``."""
    source, first = inspect.getsourcelines(getattr(function, "fn", function))
    return f"{HERE}:{first + next(i for i, s in enumerate(source) if text in s)}"


def machine(mode):
    torch = simulate("tiny", mode=mode).torch
    return torch, torch.ones(4, name="x"), torch.zeros(4, name="y")


def run(torch, kernel, *args):
    torch.launch(kernel, (1,), args)
    torch.synchronize()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("whose", ["an earlier launch", "another simulation"])
def test_a_block_dies_with_its_program(mode, whose):
    torch, x, y = machine(mode)
    run(torch, keep_block, x, y)
    if whose == "another simulation":
        torch, x, y = machine(mode)
    with pytest.raises(UsageError) as raised:
        run(torch, keep_block, x, y)
    assert str(raised.value) == (
        f"{line_of(keep_block, 'tl.store')}: a block of {whose} is used here: fp32 was made at "
        f"{line_of(keep_block, 'tl.load')} by program (0, 0, 0) on sip0.cube0.pe0; load it again in this program, or "
        "pass it on through memory or a queue"
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_pointer_lives_as_long_as_its_tensor(mode):
    torch, x, y = machine(mode)
    run(torch, keep_pointer, x, y)
    run(torch, keep_pointer, y, y)  # x is there, so its pointer is good
    torch.launch(keep_pointer, (1,), (y, y))
    x.free()  # the launch before does not mind
    torch.synchronize()
    torch.zeros(4, name="new")
    with pytest.raises(PageFaultError) as raised:
        run(torch, keep_pointer, y, y)
    freed = line_of(test_a_pointer_lives_as_long_as_its_tensor, "x.free()")
    assert str(raised.value) == (
        f"{line_of(keep_pointer, 'tl.store')}: this pointer leads into 'x' fp32[4], made at "
        f"{line_of(machine, 'torch.ones')}, which was freed at {freed}; free it after the last launch that uses it, or "
        "make a new tensor"
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_pointer_of_another_simulation_leads_nowhere(mode):
    torch, x, y = machine(mode)
    run(torch, keep_pointer, x, y)
    torch, x, y = machine(mode)
    with pytest.raises(UsageError) as raised:
        run(torch, keep_pointer, x, y)
    assert str(raised.value) == (
        f"{line_of(keep_pointer, 'tl.store')}: this pointer leads into 'x' fp32[4], made at "
        f"{line_of(machine, 'torch.ones')}, a tensor of another simulation; give the kernel one of its own"
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_unmapped", [False, True], ids=["just freed", "long unmapped"])
@pytest.mark.parametrize("how", ["free", "del"])
def test_an_address_in_a_tensor_that_was_freed_is_a_page_fault_that_names_it(mode, is_unmapped, how):
    torch, x, y = machine(mode)
    address = x.data_ptr()
    run(torch, by_address, address, y)
    torch.launch(by_address, (1,), (address, y))
    if how == "free":
        x.free()  # the launch before does not mind
        freed = f"at {line_of(test_an_address_in_a_tensor_that_was_freed_is_a_page_fault_that_names_it, 'x.free()')}"
    else:
        del x
        freed = "when nothing referred to it any more"
    if is_unmapped:
        torch.synchronize()
    with pytest.raises(PageFaultError) as raised:
        run(torch, by_address, address, y)
    assert str(raised.value) == (
        f"sip0.cube0.pe0: {line_of(by_address, 'tl.store')}: address {address:#_x} is in 'x' [4] fp32 "
        f"({address:#_x}..{address + 15:#_x}), made at {line_of(machine, 'torch.ones')}, which was freed {freed}; "
        "free it after the last launch that uses it, or make a new tensor"
    )
