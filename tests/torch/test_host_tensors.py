"""A host tensor computes through numpy what PyTorch computes; a tensor on the device says what to write instead.

That values, dtypes and words are PyTorch's is tested against PyTorch itself, in ``tests/torch``.
"""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.device.placement import DPPolicy
from kernbench.dtypes import DTYPES, as_dtype
from kernbench.errors import KernBenchError, RefusedError, UnknownAttributeError, UsageError
from kernbench.torch.names import FUNCTIONS, METHODS
from kernbench.torch.tensor_base import PROPERTIES

HOST_ONLY = "is on the device, and the host computes nothing there; give a copy on the host, as in x.cpu(), or compute"
ANYWHERE = {"numel", "is_tensor"}
CHECKED = ("fp32", "fp16", "bf16", "int8", "int32", "uint8", "int64")
OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "@": lambda a, b: a @ b,
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "&": lambda a, b: a & b,
    "+=": lambda a, b: a.__iadd__(b),
}


def host(torch, values, dtype=None):
    return torch.tensor(values, dtype=dtype, device="cpu")


# -- on the device ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(METHODS))
def test_each_method_of_a_tensor_on_the_device_is_an_error_with_the_cure(torch, name):
    if name in PROPERTIES or name.startswith("__"):
        return
    x = torch.zeros(4, name="x")
    with pytest.raises(RefusedError) as caught:
        getattr(x, name)()
    assert str(caught.value).startswith(f"x.{name}(): 'x'[4] {HOST_ONLY}")
    assert torch.ahbm.machine.read == []


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_given_a_tensor_on_the_device_is_an_error_with_the_cure(torch, name):
    if name in ANYWHERE:
        return
    x = torch.zeros(4, name="x")
    args = {"cat": ([x],), "concat": ([x],), "stack": ([x],), "where": (x, 1, 0)}.get(name)
    with pytest.raises(KernBenchError) as caught:
        FUNCTIONS[name](*args) if args else call_with(FUNCTIONS[name], x)
    assert f"'x'[4] {HOST_ONLY}" in str(caught.value)
    assert torch.ahbm.machine.read == []


def call_with(function, x):
    """``function`` of ``x``, with as many further operands as it wants."""
    for more in ((), (x,), (x, x)):
        try:
            return function(x, *more)
        except TypeError as error:
            if isinstance(error, KernBenchError):
                raise
    raise AssertionError(function)


@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("other", ["device", "host", "number"])
def test_each_operator_on_the_device_is_an_error_with_the_cure(torch, symbol, other):
    x = torch.zeros(4, name="x")
    y = {"device": torch.zeros(4), "host": torch.zeros(4, device="cpu"), "number": 2}[other]
    with pytest.raises(RefusedError) as caught:
        OPERATORS[symbol](x, y)
    assert str(caught.value).startswith(f"x {symbol} y: 'x'[4] {HOST_ONLY}")


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda torch, x: x.T, f"x.T: 'x'[4] {HOST_ONLY}"),
        (lambda torch, x: -x, f"-x: 'x'[4] {HOST_ONLY}"),
        (
            lambda torch, x: x.to(torch.float16),
            "x.to(torch.float16): 'x'[4] is on the device, and the host computes nothing there; convert a copy on the "
            "host, as in x.cpu().to(torch.float16).to('ahbm'), or in a kernel",
        ),
        (
            lambda torch, x: x.to("ahbm", torch.int8),
            "x.to(torch.int8): 'x'[4] is on the device, and the host",
        ),
        (lambda torch, x: host(torch, [1.0]) + x, f"torch.add: 'x'[4] {HOST_ONLY}"),
        (lambda torch, x: host(torch, [1.0])[x], f"x[y]: 'x'[4] {HOST_ONLY}"),
        (
            lambda torch, x: x.__setitem__(0, 1),
            "x[...] = y: 'x'[4] is on the device, and the host computes nothing there; write with copy_, as in "
            "x.narrow(0, i, 1).copy_(y), or in a kernel",
        ),
        (
            lambda torch, x: copy.deepcopy(x),
            "deepcopy(x): 'x'[4] is on the device, and the host computes nothing there; copy it with "
            "x.to('ahbm', copy=True)",
        ),
    ],
)
def test_other_uses_on_the_device_say_what_to_write(torch, use, text):
    with pytest.raises(RefusedError) as caught:
        use(torch, torch.zeros(4, name="x"))
    assert str(caught.value).startswith(text)


def test_what_needs_no_values_works_on_the_device(torch):
    x = torch.zeros(4, 2, policy=DPPolicy(only=3))
    assert x.contiguous() is x is x.detach() is x.to("ahbm") is x.to(torch.float32)
    assert x.is_contiguous() and not x.requires_grad and x.is_floating_point()  # noqa: PT018
    for made in (torch.empty_like(x), torch.zeros_like(x, dtype="int8"), torch.full_like(x, 2)):
        assert (made.shape, made.device, made.policy) == ((4, 2), "ahbm", DPPolicy(only=3))
    assert torch.zeros_like(x, device="cpu").device == "cpu"
    assert torch.zeros_like(x, policy=DPPolicy(only=1)).holders == (1,)


def test_a_number_is_read_from_the_device(torch):
    x = torch.full((1, 1), 2.5)
    assert (float(x), int(x), f"{x.view(()):.2f}") == (2.5, 2, "2.50")
    assert [float(v) for v in torch.arange(3)] == [0, 1, 2]
    assert list(range(5))[torch.arange(4)[2]] == 2


def test_functions_of_numpy_take_tensors_as_arrays(torch):
    x, y = torch.arange(4, dtype="fp32"), torch.arange(4, dtype="fp32", device="cpu")
    assert np.sum(x) == np.sum(y) == 6
    assert np.concatenate([x, y]).tolist() == [0, 1, 2, 3] * 2
    assert np.exp(y).tolist() == np.exp(np.arange(4, dtype=np.float32)).tolist()


# -- on the host ------------------------------------------------------------------------------------------


@st.composite
def operands(draw):
    """Two arrays of broadcast shapes and any two dtypes, of small whole numbers."""
    shape = draw(st.lists(st.integers(1, 4), max_size=3))
    other = [n if draw(st.booleans()) else 1 for n in shape][draw(st.integers(0, len(shape))) :]
    dtypes = [as_dtype(draw(st.sampled_from(CHECKED))) for _ in "ab"]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return [rng.integers(0, 12, s).astype(d.numpy) for s, d in zip((shape, other), dtypes)]


@settings(max_examples=150, deadline=None)
@given(arrays=operands(), symbol=st.sampled_from(["+", "*", "-", "==", "<"]))
def test_operators_compute_as_exact_numbers_do_where_those_fit(new_torch, arrays, symbol):
    torch = new_torch()
    a, b = (torch.from_numpy(array) for array in arrays)
    result = OPERATORS[symbol](a, b)
    exact = OPERATORS[symbol](*(array.astype(np.float64) for array in arrays))
    assert result.shape == exact.shape
    if symbol in "==<":
        assert result.dtype is torch.bool
    else:
        assert result.dtype is torch.result_type(a, b)
        if not result.dtype.signed or result.dtype.bits == 8:
            exact = exact.astype(np.int64).astype(result.dtype.numpy)  # wraps
    assert np.array_equal(result.numpy().astype(np.float64), np.asarray(exact).astype(np.float64))


@given(seed=st.integers(0, 99))
def test_half_precision_is_computed_in_fp32_and_rounded_once(new_torch, seed):
    torch, rng = new_torch(), np.random.default_rng(seed)
    a, b = (rng.standard_normal(50).astype(np.float16) for _ in "ab")
    found = (torch.from_numpy(a) * torch.from_numpy(b) + 1).numpy()
    product = (a.astype(np.float32) * b.astype(np.float32)).astype(np.float16)
    assert found.tolist() == (product.astype(np.float32) + 1).astype(np.float16).tolist()
    total = torch.from_numpy(a).sum()
    assert total.item() == np.float16(np.sum(a.astype(np.float32)))


def test_views_share_memory_and_copies_do_not(torch):
    x = torch.arange(12, dtype="fp32", device="cpu").view(3, 4)
    x[1] = 0
    x[:, 0] += 5
    x.T[3].fill_(9)
    assert x.tolist() == [[5, 1, 2, 9], [5, 0, 0, 9], [13, 9, 10, 9]]
    for same in (x, x.detach(), x.cpu(), x.to("cpu"), x.to(torch.float32), x.contiguous()):
        assert np.shares_memory(same.numpy(), x.numpy())
    for copied in (
        x.clone(),
        x.to("cpu", copy=True),
        x.double().float(),
        copy.deepcopy(x),
        x.t().contiguous(),
    ):
        assert not np.shares_memory(copied.numpy(), x.numpy())


def test_indices_are_numpys_and_give_tensors(torch):
    x = torch.arange(6, dtype="int32", device="cpu").view(2, 3)
    found = [x[1], x[1, 2], x[:, ::2], x[..., None][0], x[x > 2], x[torch.tensor([1, 0], device="cpu")]]
    assert [y.tolist() for y in found] == [
        [3, 4, 5],
        5,
        [[0, 2], [3, 5]],
        [[0], [1], [2]],
        [3, 4, 5],
        [[3, 4, 5], [0, 1, 2]],
    ]
    assert [row.tolist() for row in x] == [[0, 1, 2], [3, 4, 5]]


def test_a_read_only_array_is_not_written(torch):
    array = np.zeros(4)
    array.flags.writeable = False
    x = torch.from_numpy(array, name="x")
    for write in (lambda: x.fill_(1), lambda: x.__setitem__(0, 1), lambda: x.add_(1)):
        with pytest.raises(UsageError) as caught:
            write()
        assert str(caught.value) == "'x': its array is read-only; write to x.clone()"


def test_conversions_go_by_way_of_the_host_and_cost_what_the_copies_cost(torch):
    there = torch.tensor([1.7, -1.7]).to("cpu", torch.int32).to("ahbm", torch.float16, name="y")
    assert (there.tolist(), there.dtype, there.name) == ([1, -1], torch.float16, "y")
    assert (torch.ahbm.machine.written, torch.ahbm.machine.read) == ([8, 4], [8, 4])
    assert host(torch, [1, 2]).to("ahbm", torch.int8, policy=DPPolicy(only=2)).holders == (2,)


def test_a_device_is_said_by_name_or_by_another_tensor(torch):
    x = torch.zeros(2, device="cpu")
    assert str(x.device) == x.device.type == "cpu"
    assert repr(x.device) == "device(type='cpu')"
    assert x.device == torch.device("cpu") == torch.device("host")
    assert x.to(torch.zeros(1, dtype="int8")).device == torch.device("ahbm")
    assert isinstance(x.device, torch.device)
    for wrong in (3, None):
        with pytest.raises(TypeError, match="is no name of a device; give 'ahbm' or 'cpu'"):
            torch.device(wrong)


def test_a_policy_places_nothing_on_the_host(torch):
    for make in (torch.empty, torch.zeros):
        with pytest.raises(UsageError) as caught:
            make(2, device="cpu", policy=DPPolicy(only=1), name="x")
        assert str(caught.value) == (
            "'x' is to be on the host, and only PE 1 places tensors on the device; give one of both"
        )


def test_no_grad_switches_nothing_off(torch):
    with torch.no_grad():
        assert host(torch, [1.0]).sum().item() == 1

    @torch.no_grad()
    def function():
        return 3

    assert function() == 3


# -- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "not_named"),
    [
        ("alclose", "close"),
        ("cloze", "close"),
        ("no_gard", "host_read"),
        ("hostread", "host_read"),
        ("free", "free"),
    ],
)
def test_a_misspelt_name_of_torch_names_nothing_that_ends_or_moves_something(torch, name, not_named):
    with pytest.raises(UnknownAttributeError) as caught:
        getattr(torch, name)
    assert f"'{not_named}'" not in str(caught.value).split("(known")[0].split(" here; ")[1]
    assert not_named not in str(caught.value).split("(known: ")[1].split(", ")


@pytest.mark.parametrize(
    ("name", "near"), [("alclose", "allclose"), ("zeros_lik", "zeros_like"), ("Cat", "cat")]
)
def test_a_misspelt_name_of_torch_names_the_nearest_of_pytorchs(torch, name, near):
    with pytest.raises(UnknownAttributeError, match=f"did you mean '{near}'"):
        getattr(torch, name)


def test_a_name_that_a_tensor_lacks_is_an_attribute_error_with_the_cure(torch):
    for x in (torch.zeros(2), torch.zeros(2, device="cpu")):
        assert not hasattr(x, "backward")
        with pytest.raises(
            AttributeError, match=r"a tensor has no 'backward' here; .*; all else do with numpy"
        ):
            x.backward()


# -- numbers that a dtype holds ---------------------------------------------------------------------------

IN_INT8 = "300 is not one of -128 to 127; give a wider dtype, or convert a tensor with .to(), which wraps"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda torch: torch.tensor([300], dtype=torch.int8),
            f"value cannot be converted to type int8 without overflow: {IN_INT8}",
        ),
        (
            lambda torch: torch.full((2,), 300, dtype=torch.int8),
            f"value cannot be converted to type int8_t without overflow: {IN_INT8}",
        ),
        (
            lambda torch: torch.full((2,), math.nan, dtype=torch.int32),
            "value cannot be converted to type int without overflow: nan is not one of -2147483648 to 2147483647; give "
            "a wider dtype, or convert a tensor with .to(), which wraps",
        ),
        (
            lambda torch: torch.full((2,), 1e5, dtype=torch.float16),
            "value cannot be converted to type c10::Half without overflow: 100000.0 is beyond its largest, 65504; give "
            "float('inf') or a wider dtype",
        ),
        (
            lambda torch: torch.zeros(2, dtype=torch.int8, device="cpu").fill_(300),
            f"value cannot be converted to type int8_t without overflow: {IN_INT8}",
        ),
        (
            lambda torch: torch.full_like(torch.empty(2, dtype=torch.int8), 300),
            f"value cannot be converted to type int8_t without overflow: {IN_INT8}",
        ),
        (
            lambda torch: torch.tensor([[1, 2**63]]),
            "Overflow when unpacking long long: 9223372036854775808 in a tensor of torch.int64; give floats",
        ),
        (
            lambda torch: torch.randint(0, 300, (2,), dtype=torch.uint8),
            "to - 1 is out of bounds for unsigned char: 299 is not one of 0 to 255; give a wider dtype",
        ),
        (
            lambda torch: torch.arange(math.inf),
            "unsupported range: 0 -> inf; give finite numbers",
        ),
    ],
)
def test_a_number_beyond_a_dtype_is_refused(torch, make, text):
    with pytest.raises(KernBenchError) as caught:
        make(torch)
    assert str(caught.value) == text
    assert torch.ahbm.machine.written == []


@given(
    dtype=st.sampled_from([d for d in DTYPES if d.is_int and d.bits > 1]), number=st.integers(-(2**66), 2**66)
)
def test_an_integer_is_taken_exactly_where_the_dtype_holds_it_or_wraps_a_negative_one(
    new_torch, dtype, number
):
    torch = new_torch()
    most = 2 ** (dtype.bits - dtype.signed) - 1
    least = -most - dtype.signed
    is_held = max(least, -(2**63)) <= number <= most and (number >= 0 or dtype.name != "uint64")
    try:
        found = torch.tensor([number], dtype=dtype, device="cpu").tolist()
    except KernBenchError:
        assert not is_held
    else:
        assert is_held
        assert found == [number if dtype.signed or number >= 0 else number + 2**dtype.bits]


@given(
    dtype=st.sampled_from([d for d in DTYPES if d.is_int and 1 < d.bits < 64]),
    number=st.floats(-300, 300) | st.floats(width=32),
)
def test_a_float_tensor_is_cast_as_x86_does(new_torch, dtype, number):
    torch = new_torch()
    bits = 64 if dtype.name == "uint32" else 32
    fits = math.isfinite(number) and -(2 ** (bits - 1)) <= math.trunc(number) < 2 ** (bits - 1)
    whole = math.trunc(number) if fits else -(2 ** (bits - 1))
    low = 0 if not dtype.signed else -(2 ** (dtype.bits - 1))
    wrapped = (whole - low) % 2**dtype.bits + low
    assert host(torch, [number], torch.float64).to(dtype).tolist() == [wrapped]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda torch: torch.from_numpy([1, 2]),
            "expected np.ndarray (got list): torch.from_numpy takes an array; make one with np.array(), or use "
            "torch.tensor()",
        ),
        (
            lambda torch: torch.from_numpy(np.ma.masked_array([1.0, 2.0], [0, 1])),
            "torch.from_numpy: the array has a mask, which a tensor does not keep; fill it, as in array.filled(0)",
        ),
        (
            lambda torch: torch.tensor(np.ma.masked_array([1.0, 2.0], [0, 1])),
            "torch.tensor: the array has a mask, which a tensor does not keep; fill it, as in array.filled(0)",
        ),
        (
            lambda torch: torch.zeros(10**13, device="cpu"),
            "a tensor [10000000000000] of fp32 takes 3.725e+04 GiB on the host; make it smaller",
        ),
        (
            lambda torch: torch.tensor(["a"]),
            "torch.tensor: 'a' is no number of a dtype; give numbers, nested lists of them, or an array",
        ),
        (
            lambda torch: torch.tensor([None]),
            "torch.tensor: None is no number of a dtype; give numbers, nested lists of them, or an array",
        ),
        (
            lambda torch: torch.full((2,), "a"),
            "full(): argument 'fill_value' (position 2) must be Number, not str",
        ),
        (lambda torch: torch.randint(1.5, 3, (2,)), "torch.randint(1.5, 3): give whole numbers"),
    ],
)
def test_what_is_no_array_or_number_is_refused(torch, make, text):
    with pytest.raises(KernBenchError) as caught:
        make(torch)
    assert str(caught.value) == text
