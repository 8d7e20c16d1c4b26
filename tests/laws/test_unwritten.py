"""Reads of memory that nobody wrote are reported once for each tensor and line, for every dtype (ADR-0037)."""

import warnings

import numpy as np
import pytest

import kernbench as kb
from kernbench.device.placement import DPPolicy
from kernbench.errors import UninitialisedError, UninitialisedWarning
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.simulation import Simulation

MODES = ("timed", "data")
DTYPES = ("fp64", "fp32", "fp16", "bf16", "fp8", "fp8e5", "int64", "int32", "int16", "int8", "uint8", "int1")


@jit
def load_block(x_ptr, first, n: tl.constexpr):
    tl.load(x_ptr + first + tl.arange(0, n))


LOAD = load_block.fn.__code__.co_firstlineno + 2


def simulate(mode="data", **options):
    return Simulation.of("tiny", mode=mode, **options)


def reads_of(simulation, run):
    """What ``run`` is warned of, and what the report says."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
        simulation.torch.synchronize()
    told = [str(w.message) for w in caught if issubclass(w.category, UninitialisedWarning)]
    assert told == [str(read) for read in simulation.report().unwritten]
    return told


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_kernel_that_reads_unwritten_memory_is_told_whatever_the_dtype(mode, dtype):
    simulation = simulate(mode)
    x = simulation.torch.empty(16, dtype=dtype, name="x")
    holds = "NaN" if x.dtype.is_float else "all ones (-1 where it is signed)"
    (text,) = reads_of(simulation, lambda: simulation.torch.launch(load_block, (1,), (x, 4), {"n": 8}))
    assert text == (
        f"sip0.cube0.pe0 reads 8 elements from [4] to [11] of 'x' {x.dtype}[16] that nobody wrote, which hold {holds}; "
        "fill it first, as in torch.zeros, or mask them"
    )


def test_the_host_is_told_too_at_its_line():
    simulation = simulate()
    x = simulation.torch.empty(2, 3, name="x")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        x.numpy()
        line = test_the_host_is_told_too_at_its_line.__code__.co_firstlineno + 5
        x[1, 2]
        x[1, 2]
    assert [(w.filename, w.lineno) for w in caught] == [
        ("test_unwritten.py", line),
        ("test_unwritten.py", line + 2),
        ("test_unwritten.py", line + 3),
    ]
    assert str(caught[1].message) == (
        "the host reads element [1, 2] of 'x' fp32[2, 3] that nobody wrote, which hold NaN; fill it first, as in "
        "torch.zeros, or mask them"
    )


def test_a_line_is_told_of_once_for_each_tensor():
    simulation = simulate()
    torch = simulation.torch
    x, y = torch.empty(16, name="x"), torch.empty(16, name="y")

    def run():
        for tensor in (x, x, y, x):
            torch.launch(load_block, (2,), (tensor, 0), {"n": 8})

    first, second = reads_of(simulation, run)
    assert ("'x'" in first, "'y'" in second) == (True, True)


@jit
def store_some(x_ptr, HOW: tl.constexpr):
    """Program p stores what ``HOW`` says; four programs store all of 64 elements."""
    p, at = tl.program_id(0), tl.arange(0, 16)
    if HOW == "runs":
        tl.store(x_ptr + p * 16 + at, at.to(tl.float32))
    elif HOW == "turns":
        tl.store(x_ptr + at * 4 + p, at.to(tl.float32))
    elif HOW == "tiles":
        rows, columns = tl.arange(0, 4) + p // 2 * 4, tl.arange(0, 4) + p % 2 * 4
        tl.store(x_ptr + rows[:, None] * 8 + columns[None, :], tl.zeros((4, 4), tl.float32))
    else:
        every = tl.arange(0, 64)
        tl.store(x_ptr + every, every.to(tl.float32), mask=(every & 5) % 4 == p % 2 + p // 2 * 4 % 4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["runs", "turns", "tiles"])
def test_what_kernels_wrote_is_written_and_what_they_left_out_is_not(how, mode):
    simulation = simulate(mode)
    torch = simulation.torch
    for n_programs, n_unwritten in ((4, 0), (3, 16)):
        x = torch.empty(64, name="x")
        torch.launch(store_some, (n_programs,), (x,), {"HOW": how})
        if not n_unwritten:
            assert not np.isnan(x.numpy()).any()
            continue
        with pytest.warns(UninitialisedWarning, match=f"the host reads {n_unwritten} elements"):
            assert np.isnan(x.numpy()).sum() == n_unwritten


def test_bytes_of_an_element_are_counted_by_themselves():
    @jit
    def store_bytes(x_ptr):
        tl.store(x_ptr.to(tl.pointer_type(tl.int8)) + tl.arange(0, 16) * 2, tl.zeros((16,), tl.int8))

    simulation = simulate()
    x = simulation.torch.empty(8, name="x")
    simulation.torch.launch(store_bytes, (1,), (x,))
    with pytest.warns(UninitialisedWarning, match="reads 8 elements"):
        x.numpy()


def test_what_the_host_wrote_is_written():
    torch = simulate(uninitialised="error").torch
    x = torch.zeros(4, 4)
    x.numpy()
    y = torch.empty(4, 4, policy=DPPolicy("replicate", "replicate", "replicate"))
    y.copy_(x)
    torch.launch(load_block, (4,), (y, 0), {"n": 16})
    torch.launch(load_block, (4,), (y.view(-1).narrow(0, 4, 4), 0), {"n": 4})
    assert y.tolist() == x.tolist()


def test_masked_lanes_are_not_read():
    @jit
    def load_masked(x_ptr):
        at = tl.arange(0, 16)
        tl.load(x_ptr + at, mask=at < 5, other=0.0)

    torch = simulate(uninitialised="error").torch
    x = torch.empty(16)
    torch.launch(load_masked, (1,), (torch.zeros(5),))
    torch.launch(store_some, (1,), (x,), {"HOW": "runs"})
    torch.launch(load_masked, (1,), (x,))
    torch.synchronize()


@pytest.mark.parametrize("mode", MODES)
def test_memory_that_is_given_again_is_unwritten_again(mode):
    simulation = simulate(mode)
    torch = simulation.torch
    x = torch.zeros(16)
    va = x.data_ptr()
    x.free()
    torch.synchronize()
    y = torch.empty(16, name="y")
    assert y.data_ptr() == va
    reads_of(simulation, lambda: torch.launch(load_block, (1,), (y, 0), {"n": 16}))


@pytest.mark.parametrize("mode", MODES)
def test_it_is_an_error_where_that_is_asked_for(mode):
    torch = simulate(mode, uninitialised="error").torch
    x = torch.empty(16, name="x")

    def run():
        torch.launch(load_block, (1,), (x, 0), {"n": 16})
        torch.synchronize()

    with pytest.raises(UninitialisedError) as error:
        run()
    assert str(error.value) == (
        f"test_unwritten.py:{LOAD}: sip0.cube0.pe0 reads 16 elements from [0] to [15] of 'x' fp32[16] that nobody "
        "wrote, which hold NaN; fill it first, as in torch.zeros, or mask them"
    )


@pytest.mark.parametrize("mode", ["timed", "data", "timing"])
def test_nothing_is_said_where_it_is_ignored_or_no_values_exist(mode):
    simulation = simulate(mode, uninitialised="ignore" if mode != "timing" else "error")
    simulation.torch.launch(load_block, (1,), (simulation.torch.empty(16), 0), {"n": 16})
    simulation.torch.synchronize()
    assert simulation.report().unwritten == ()


def test_a_window_begins_with_nothing_found():
    simulation = simulate()
    torch = simulation.torch
    x = torch.empty(16, name="x")
    reads_of(simulation, lambda: torch.launch(load_block, (1,), (x, 0), {"n": 16}))
    simulation.begin_window()
    assert simulation.report().unwritten == ()


def test_the_outputs_of_a_bench_are_read_for_the_line_of_its_outcome():
    @kb.bench("part")
    def part(torch):
        x = torch.empty(64, name="x")
        torch.launch(store_some, (3,), (x,), {"HOW": "runs"})
        return kb.Outcome(outputs=(x,), expected=lambda: (), reference="none", flops=0)

    line = part.__code__.co_firstlineno + 4
    with pytest.raises(
        UninitialisedError, match=rf"\Atest_unwritten.py:{line}: the host reads 16 elements from \[48\]"
    ):
        kb.run("part", topology="tiny", uninitialised="error")
