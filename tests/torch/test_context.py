"""``torch`` makes tensors as PyTorch does, launches in order, keeps simulated time, and ends with all memory free."""

import gc
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from kernbench.device.placement import DPPolicy
from kernbench.errors import DTypeError, KernelError, ShapeError, UsageError
from kernbench.lang.jit import jit

US = 1_000_000


def here(lines=0):
    """The line that calls this, or one so many lines further, as errors write it."""
    return f"{Path(__file__).name}:{sys._getframe(1).f_lineno + lines}"


def test_dtypes_have_pytorchs_names(torch):
    assert [torch.float16.name, torch.bfloat16.name, torch.float8_e4m3fn.name] == ["fp16", "bf16", "fp8e4nv"]
    assert [torch.int.name, torch.long.name, torch.float.name, torch.bool.name] == [
        "int32",
        "int64",
        "fp32",
        "int1",
    ]


def test_an_unknown_name_offers_the_nearest(torch):
    with pytest.raises(
        AttributeError, match=r"torch has no attribute 'flaot16' here; did you mean 'float16'\?"
    ):
        _ = torch.flaot16


@pytest.mark.parametrize("shape", [((2, 3),), (2, 3), ([2, 3],), (np.int64(2), 3)])
def test_shapes_come_as_numbers_or_as_one_sequence(torch, shape):
    for make in (torch.zeros, torch.ones, torch.empty, torch.rand, torch.randn):
        assert make(*shape).shape == (2, 3)


def test_fillings(torch):
    assert torch.zeros(2).tolist() == [0, 0]
    assert torch.ones(2, dtype="int8").tolist() == [1, 1]
    assert torch.full((2, 1), 0.1, dtype="bf16").numpy().tolist() == [[ml_dtypes.bfloat16(0.1)]] * 2
    assert torch.tensor([[1.5, 2]]).tolist() == [[1.5, 2]]
    assert np.isnan(torch.empty(3).numpy()).all()


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda t: t.zeros(1), "fp32"),
        (lambda t: t.full((1,), 1), "int64"),
        (lambda t: t.full((1,), True), "int1"),
        (lambda t: t.full((1,), 1.0), "fp32"),
        (lambda t: t.arange(3), "int64"),
        (lambda t: t.arange(0, 1, 0.5), "fp32"),
        (lambda t: t.tensor([1.0]), "fp32"),
        (lambda t: t.tensor([1]), "int64"),
        (lambda t: t.tensor(np.zeros(1)), "fp64"),
        (lambda t: t.tensor([1], dtype="fp8"), "fp8e4nv"),
        (lambda t: t.from_numpy(np.zeros(1, ml_dtypes.float8_e5m2)), "fp8e5"),
        (lambda t: t.randn(1, dtype=t.float16), "fp16"),
    ],
)
def test_the_dtype_without_being_told_is_pytorchs(torch, make, dtype):
    assert make(torch).dtype.name == dtype


@pytest.mark.parametrize("bounds", [(5,), (2, 9), (1, 9, 3), (9, 1, -2)])
def test_arange(torch, bounds):
    assert torch.arange(*bounds).tolist() == list(range(*bounds))


def test_empty_costs_no_time_and_what_has_values_is_copied_over(torch):
    torch.empty(64, 64)
    assert torch.ahbm.machine.now_ps == 0
    torch.zeros(64, 64)
    assert torch.ahbm.machine.now_ps == 1 * US
    assert torch.ahbm.machine.written == [64 * 64 * 4]
    torch.zeros(64, 64, device="host")
    torch.from_numpy(np.zeros(64))
    assert torch.ahbm.machine.now_ps == 1 * US


def test_a_tensor_is_row_wise_on_every_level_without_a_policy(torch):
    row_wise = DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise", least_bytes=1024)  # a row of HBM
    assert torch.empty(4).policy == row_wise
    assert torch.zeros(4, policy=DPPolicy()).policy == DPPolicy()
    assert torch.from_numpy(np.zeros(4)).to("ahbm").policy == row_wise


def test_tensors_are_named_in_order_unless_they_are_given_a_name(torch):
    assert [torch.empty(1).name, torch.empty(1, name="x").name, torch.empty(1).name] == [
        "tensor1",
        "x",
        "tensor2",
    ]


def test_random_numbers_follow_from_the_seed_alone(new_torch):
    a, b, c = (new_torch(seed=seed) for seed in (1, 1, 2))
    first = a.randn(100).numpy()
    assert np.array_equal(first, b.randn(100).numpy())
    assert not np.array_equal(first, c.randn(100).numpy())
    assert not np.array_equal(first, a.randn(100).numpy())
    c.manual_seed(1)
    assert np.array_equal(first, c.randn(100).numpy())
    assert np.array_equal(first, c.randn(100, generator=c.Generator().manual_seed(1)).numpy())


def test_random_numbers_do_not_depend_on_the_placement(new_torch):
    spread, single = (new_torch(*grids, seed=5).rand(9, 9, dtype="fp16") for grids in ((), ((1, 1),) * 3))
    assert np.array_equal(spread.numpy(), single.numpy())


def test_random_integers_lie_in_their_range(torch):
    values = torch.randint(-2, 3, (1000,), dtype="int8").numpy()
    assert values.dtype == np.int8
    assert set(values.tolist()) == {-2, -1, 0, 1, 2}


def test_random_floats_of_an_integer_dtype_are_refused(torch):
    with pytest.raises(DTypeError) as caught:
        torch.randn(4, dtype="int8")
    assert str(caught.value) == "randn: int8 is no float dtype; draw fp32 and convert"


@pytest.mark.parametrize("shape", [(-1,), (2.5,), ("ab",)])
def test_a_wrong_shape_is_refused(torch, shape):
    with pytest.raises(ShapeError, match="every extent is an integer of 0 or more"):
        torch.empty(*shape)


def test_an_unknown_device_is_refused(torch):
    with pytest.raises(UsageError) as caught:
        torch.empty(4, device="cuda")
    assert str(caught.value) == "unknown device 'cuda'; (known: ahbm, cpu)"


def test_an_unknown_dtype_is_refused(torch):
    with pytest.raises(DTypeError, match="unknown dtype 'fp61'; did you mean 'fp64'"):
        torch.empty(4, dtype="fp61")


def test_events_measure_simulated_time(torch):
    start, end = torch.Event(enable_timing=True), torch.Event(enable_timing=True)
    start.record()
    torch.launch(lambda: None, 1)
    torch.launch(lambda: None, 1)
    end.record()
    end.synchronize()
    assert end.time_ps - start.time_ps == 10 * US
    assert start.elapsed_time(end) == 0.01


def test_an_event_that_was_not_recorded_has_no_time(torch):
    with pytest.raises(UsageError, match=r"it was not recorded; call record\(\) first"):
        torch.Event().elapsed_time(torch.Event())


def test_host_copies_wait_for_the_kernels_before_them(torch):
    x = torch.zeros(4)
    torch.launch(lambda x: None, 1, (x,))
    x.numpy()
    assert len(torch.ahbm.machine.launched) == 1
    assert torch.ahbm.machine.now_ps == (1 + 5 + 1) * US


def test_the_device_counts_its_sips(torch):
    assert torch.ahbm.device_count() == 2


def test_cdiv(torch):
    assert [torch.cdiv(n, 4) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


# -- the end of a context ---------------------------------------------------------------------------------


def test_closing_waits_for_what_was_launched_and_returns_all_memory(torch):
    x, y = torch.zeros(4), torch.empty(64, 8, policy=DPPolicy(space="sram"))
    view = x.view(2, 2)
    torch.launch(lambda x: None, 1, (x,))
    torch.close()
    assert len(torch.ahbm.machine.launched) == 1
    assert [tensor.is_freed for tensor in (x, y, view)] == [True] * 3
    assert torch.ahbm.heap.virtual.blocks == {}
    assert torch.ahbm.heap.n_buried == 0


def test_closing_twice_is_closing_once(torch):
    x = torch.zeros(4)
    _, line = torch.close(), here()
    torch.close()
    assert x.freed == f"with its context at {line}"


def test_the_end_of_a_with_block_closes(torch):
    with torch as inside:
        assert inside is torch
        x, line = inside.zeros(4), here(-2)
    assert x.freed == f"with its context at {line}"


def test_tensors_are_freed_at_the_end_in_the_order_of_their_addresses(torch):
    buried = []
    torch.ahbm.heap.bury = lambda shards, space: buried.append(shards.name)
    tensors = [torch.empty(4, name=f"t{i}") for i in range(20)]
    tensors.pop(7).free()
    torch.close()
    assert buried == ["t7", *(tensor.name for tensor in tensors)]


def test_a_tensor_that_waits_for_the_garbage_collector_is_freed_at_the_end_and_only_then(torch):
    x = torch.empty(4)
    x.me = x
    del x
    torch.close()
    gc.collect()
    assert (torch.ahbm.heap.virtual.blocks, torch.ahbm.heap.n_buried) == ({}, 0)


@pytest.mark.parametrize(
    "use",
    [
        lambda torch, x, host: torch.empty(4),
        lambda torch, x, host: torch.zeros(4),
        lambda torch, x, host: torch.full((4,), 1, device="host"),
        lambda torch, x, host: torch.empty(4, device="host"),
        lambda torch, x, host: torch.arange(4),
        lambda torch, x, host: torch.randn(4),
        lambda torch, x, host: torch.tensor([4]),
        lambda torch, x, host: torch.from_numpy(np.zeros(4)),
        lambda torch, x, host: host.to("ahbm"),
        lambda torch, x, host: torch.launch(lambda: None, 1),
        lambda torch, x, host: torch.launch(lambda x: None, 1, (x,)),
        lambda torch, x, host: jit(lambda x: None)[(1,)](x),
        lambda torch, x, host: torch.__enter__(),
    ],
)
def test_nothing_is_made_launched_or_copied_after_the_end(torch, use):
    x, host = torch.zeros(4), torch.zeros(4, device="host")
    _, line = torch.close(), here()
    with pytest.raises(UsageError) as caught:
        use(torch, x, host)
    assert str(caught.value) == (
        f"this context is closed (at {line}); begin a new simulation, as in kb.simulate('tiny')"
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda x, host: x.numpy(),
        lambda x, host: x[0],
        lambda x, host: x.copy_(host),
        lambda x, host: host.copy_(x),
        lambda x, host: x.to("host"),
        lambda x, host: x.view(2, 2),
    ],
)
def test_a_tensor_does_not_outlive_its_context(torch, use):
    x, host = torch.zeros(4, name="x"), torch.zeros(4, device="host")
    _, line = torch.close(), here()
    with pytest.raises(UsageError) as caught:
        use(x, host)
    assert str(caught.value) == (
        f"'x'[4] was freed with its context at {line}; make a new tensor, or free it later"
    )
    with pytest.raises(UsageError) as caught:
        x.free()
    assert str(caught.value) == f"'x'[4] was freed before, with its context at {line}; free a tensor once"


def test_a_host_tensor_outlives_its_context(torch):
    with torch:
        host = torch.ones(4).cpu()
    assert host.view(2, 2).copy_(host.numpy().reshape(2, 2)).tolist() == [[1, 1], [1, 1]]


def fails(*errors):
    """A function that raises one error after another, the last one ever again."""
    left = list(errors)

    def fail():
        raise left.pop(0) if len(left) > 1 else left[0]

    return fail


KERNEL_FAILED, STOPPED = KernelError("a kernel failed"), UsageError("this simulation stopped")


def test_what_a_kernel_raised_comes_out_of_closing(torch):
    x = torch.zeros(4)
    torch.ahbm.machine.synchronize = fails(KERNEL_FAILED, STOPPED)
    with pytest.raises(KernelError, match=r"^a kernel failed$"):
        torch.close()
    assert x.is_freed
    torch.close()


def test_a_mistake_of_a_kernel_comes_out_of_closing(torch):
    torch.ahbm.machine.synchronize = fails(UsageError("kernel.py:3: a mistake"), STOPPED)
    with pytest.raises(UsageError, match=r"^kernel\.py:3: a mistake$"):
        torch.close()


def test_a_machine_that_was_stopped_before_closes_without_a_word(torch):
    x = torch.zeros(4)
    torch.ahbm.machine.synchronize, torch.ahbm.machine.is_stopped = fails(STOPPED), True
    torch.close()
    assert x.is_freed


def test_an_error_while_memory_returns_comes_out_of_closing(torch):
    x = torch.zeros(4)
    torch.ahbm.heap.reap = fails(UsageError("it is not allocated"))
    with pytest.raises(UsageError, match=r"^it is not allocated$"):
        torch.close()
    assert x.is_freed


@pytest.mark.parametrize("at_the_end", [(KERNEL_FAILED, STOPPED), (STOPPED,), (RuntimeError(),)])
def test_an_error_in_the_block_comes_through_whatever_closing_meets(torch, at_the_end):
    tensors = []

    def fail():
        with torch:
            tensors.append(torch.zeros(4))
            torch.ahbm.machine.synchronize = fails(*at_the_end)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert tensors[0].is_freed
