"""``torch`` makes tensors as PyTorch does, launches in order, and keeps simulated time."""

import ml_dtypes
import numpy as np
import pytest

from kernbench.errors import DTypeError, ShapeError, UsageError
from kernbench.runtime.placement import ROW_WISE, DPPolicy

US = 1_000_000


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
    assert torch.machine.now_ps == 0
    torch.zeros(64, 64)
    assert torch.machine.now_ps == 1 * US
    assert torch.machine.written == [64 * 64 * 4]
    torch.zeros(64, 64, device="host")
    torch.from_numpy(np.zeros(64))
    assert torch.machine.now_ps == 1 * US


def test_a_tensor_is_row_wise_on_every_level_without_a_policy(torch):
    assert torch.empty(4).policy == ROW_WISE
    assert torch.zeros(4, policy=DPPolicy()).policy == DPPolicy()
    assert torch.from_numpy(np.zeros(4)).to("ahbm").policy == ROW_WISE


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
    assert str(caught.value) == "unknown device 'cuda'; (known: ahbm, host)"


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
    assert len(torch.machine.launched) == 1
    assert torch.machine.now_ps == (1 + 5 + 1) * US


def test_the_device_counts_its_sips(torch):
    assert torch.device_count() == 2


def test_cdiv(torch):
    assert [torch.cdiv(n, 4) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
