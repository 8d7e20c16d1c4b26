"""A tensor gives back what was put into it, whatever its dtype and placement, and moves no byte more than asked."""

import contextlib
import gc
import sys
from pathlib import Path

import greenlet
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.device.placement import SPACES, WAYS, DPPolicy
from kernbench.dtypes import DTYPES, as_dtype
from kernbench.errors import CapacityError, DTypeError, ShapeError, UsageError
from kernbench.torch.tensor import Tensor

POLICIES = st.builds(
    DPPolicy,
    sip=st.sampled_from(WAYS),
    cube=st.sampled_from(WAYS),
    pe=st.sampled_from(WAYS),
    space=st.sampled_from(SPACES),
)
SHAPES = st.lists(st.integers(0, 7), max_size=3).map(tuple)
ONE_PE = ((1, 1), (1, 1), (1, 1))


def here(lines=0):
    """The line that calls this, or one so many lines further, as errors write it."""
    return f"{Path(__file__).name}:{sys._getframe(1).f_lineno + lines}"


def values_of(shape, dtype, seed=0):
    bits = np.random.default_rng(seed).integers(0, 256, int(np.prod(shape)) * dtype.size_bytes, np.uint8)
    return (bits % 2 if dtype.name == "int1" else bits).view(dtype.numpy).reshape(shape)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=200, deadline=None)
@given(dtype=st.sampled_from(DTYPES), shape=SHAPES, policy=POLICIES)
def test_numpy_gives_back_what_copy_put_in(new_torch, dtype, shape, policy):
    torch, values = new_torch(), values_of(shape, dtype)
    tensor = torch.empty(shape, dtype=dtype, policy=policy)
    assert tensor.copy_(values) is tensor
    assert same_bits(tensor.numpy(), values)
    assert same_bits(tensor.data, values)


@st.composite
def indexed_arrays(draw):
    """A shape and one of numpy's basic indices into it."""
    shape = draw(st.lists(st.integers(0, 7), min_size=1, max_size=3).map(tuple))
    terms = []
    for extent in shape[: draw(st.integers(0, len(shape)))]:
        number = st.integers(-extent, extent - 1) if extent else st.nothing()
        bound = st.none() | st.integers(-9, 9)
        terms.append(draw(number | st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, -1, -2]))))
    if draw(st.booleans()):
        terms.insert(draw(st.integers(0, len(terms))), None)
    if draw(st.booleans()):
        terms.append(...)
    return shape, tuple(terms)


@settings(max_examples=300, deadline=None)
@given(where=indexed_arrays(), dtype=st.sampled_from(["fp32", "bf16", "int1"]).map(as_dtype), policy=POLICIES)
def test_slicing_is_numpys_and_moves_only_what_it_touches(new_torch, where, dtype, policy):
    (shape, index), torch = where, new_torch()
    values = values_of(shape, dtype)
    tensor = torch.from_numpy(values).to("ahbm", policy=policy)
    expected = values[index]
    got = tensor[index]
    assert same_bits(got.numpy(), np.asarray(expected))
    assert got.device == "cpu"
    assert torch.ahbm.machine.read == ([expected.nbytes] if expected.nbytes else [])


def test_one_element_of_a_tensor_is_a_number(torch):
    assert torch.arange(12, dtype="int32")[-1] == 11


def test_a_replicated_tensor_is_written_to_every_copy_and_read_from_one(torch):
    torch.from_numpy(np.zeros((4, 8), np.float32)).to(
        "ahbm", policy=DPPolicy("replicate", "replicate", "row_wise")
    ).numpy()
    assert torch.ahbm.machine.written == [4 * 128]
    assert torch.ahbm.machine.read == [128]


def test_repr_moves_nothing(torch):
    x = torch.empty(64, 32, dtype="bf16", policy=DPPolicy(pe="tiled"), name="x")
    sram = torch.empty(4, policy=DPPolicy(space="sram"), name="y")
    assert repr(x) == "Tensor('x', [64, 32], bf16, ahbm: sip=replicate, cube=row_wise, pe=tiled)"
    assert repr(sram) == "Tensor('y', [4], fp32, ahbm: sip=replicate, cube=row_wise, pe=row_wise, space=sram)"
    x.free()
    assert repr(x) == "Tensor('x', [64, 32], bf16, ahbm: freed)"
    assert repr(torch.tensor([1, 2], name="z", device="host")) == "Tensor('z', [2], int64, cpu, [1, 2])"
    assert torch.ahbm.machine.read == []


def test_a_tensor_describes_itself_in_pytorchs_words(torch):
    x = torch.empty(2, 3, 4, dtype=torch.float16)
    assert isinstance(x, torch.Tensor)
    assert isinstance(x, Tensor)
    assert (x.shape, x.size(), x.size(1), x.dim(), x.ndim) == ((2, 3, 4), (2, 3, 4), 3, 3, 3)
    assert (x.numel(), x.element_size(), x.nbytes, len(x)) == (24, 2, 48, 2)
    assert (x.stride(), x.stride(0)) == ((12, 4, 1), 12)
    assert (x.dtype, x.device) == (torch.float16, "ahbm")


def test_item_and_tolist(torch):
    assert torch.full((1, 1), 2.5).item() == 2.5
    assert torch.arange(3).tolist() == [0, 1, 2]
    with pytest.raises(ShapeError, match=r"'x'\[2\] has 2 elements; item\(\) needs one"):
        torch.zeros(2, name="x").item()


def test_a_scalar_has_no_length(torch):
    with pytest.raises(UsageError, match="'x' has no dimensions, so no length"):
        len(torch.empty((), name="x"))


def test_a_host_tensor_shares_the_memory_of_its_array(torch):
    array = np.zeros(4, np.float32)
    host = torch.from_numpy(array)
    host.copy_(np.ones(4, np.float32))
    assert array.tolist() == [1, 1, 1, 1]
    assert host[1:3].tolist() == [1, 1]
    assert host.device == "cpu"


def test_tensors_move_between_host_and_device(torch):
    x = torch.arange(6, dtype="fp32", name="x")
    host = x.to("host")
    assert (host.device, host.tolist(), host.name) == ("cpu", [0, 1, 2, 3, 4, 5], "x")
    assert x.cpu().tolist() == host.tolist()
    copy = x.to("ahbm", policy=DPPolicy("replicate", "replicate", "replicate"))
    assert copy.tolist() == x.tolist()
    assert host.copy_(torch.zeros(6)).tolist() == [0] * 6


def test_copies_want_equal_shapes_and_dtypes(torch):
    x = torch.empty(2, 3, dtype="fp16", name="x")
    with pytest.raises(ShapeError) as caught:
        x.copy_(np.zeros((3, 2), np.float16))
    assert str(caught.value) == "copy_ into 'x': it is [2, 3] and the source is [3, 2]; shapes must be equal"
    with pytest.raises(DTypeError) as caught:
        x.copy_(np.zeros((2, 3), ml_dtypes.bfloat16))
    assert (
        str(caught.value)
        == "copy_ into 'x': it is fp16 and the source is bf16; convert the source with astype()"
    )
    with pytest.raises(
        DTypeError, match=r"the source is fp32; convert the source with \.to\(torch\.float16\)"
    ):
        x.copy_(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([0, 1], "'x'[...]: [0, 1] is no integer, slice, ... or None; read the tensor, then index it"),
        (True, "'x'[...]: True is no integer, slice, ... or None; read the tensor, then index it"),
        (4, "'x'[4]: index 4 is out of bounds for axis 0 with size 4"),
        ((0, 0), "'x'[4]: too many indices for array: array is 1-dimensional, but 2 were indexed"),
    ],
)
def test_a_wrong_index_is_refused(torch, index, message):
    x = torch.empty(4, name="x")
    with pytest.raises(UsageError) as caught:
        x[index]
    assert str(caught.value) == message


# -- memory -----------------------------------------------------------------------------------------------


def test_a_tensor_that_cannot_fit_says_what_is_there(new_torch):
    torch = new_torch(*ONE_PE)  # one slice of 16 KiB
    weights = torch.empty(8192, dtype="int8", name="weights")
    with pytest.raises(CapacityError) as caught:
        torch.empty(64, 64, dtype="fp32", name="x")
    assert str(caught.value) == (
        "sip0.cube0.pe0: its slice of HBM: no room for 'x': it needs 16 KiB, and of 16 KiB 3.938 KiB are free, "
        "3.938 KiB in one piece; allocated: 'weights' 8 KiB, page directory 4 KiB, page table of 'weights' 64 B; "
        "free a tensor, make it smaller or shard it over more PEs"
    )
    assert len(torch.ahbm.heap.virtual.blocks) == 1
    del weights


def test_what_was_allocated_for_a_tensor_that_does_not_fit_is_given_back(torch):
    slice_of = torch.ahbm.machine.slice_of
    torch.ahbm.machine.slice_of = lambda pe: slice_of(pe) if pe < 15 else (115, slice_of(15)[1], 64)
    everywhere = DPPolicy("replicate", "replicate", "replicate")
    with pytest.raises(CapacityError, match=r"^sip1.cube1.pe3: its slice of HBM: no room for 'x'"):
        torch.empty(100, dtype="int8", policy=everywhere, name="x")
    torch.empty(15, 1 << 13, dtype="int8", name="y")  # takes most of the slice of all PEs but the last


def test_sram_shards_take_turns_over_the_banks_of_their_cube(torch):
    x = torch.zeros(8, dtype="int8", policy=DPPolicy("replicate", "replicate", "row_wise", space="sram"))
    assert [copy.owner for copy in (cell[0] for cell in x.shards.copies)] == [200, 201, 200, 201]


@pytest.mark.parametrize("end", ["free", "del", "with"])
def test_the_end_of_a_tensor_gives_its_memory_back(new_torch, end):
    torch = new_torch(*ONE_PE)
    for _ in range(3):
        x = torch.empty(1 << 13, dtype="int8", name="x")
        if end == "free":
            x.free()
        elif end == "del":
            del x
        else:
            with x as inside:
                assert inside is x
    torch.synchronize()
    assert torch.ahbm.heap.virtual.blocks == {}


def test_a_cycle_of_references_is_freed_by_the_garbage_collector(new_torch):
    torch = new_torch(*ONE_PE)
    x = torch.empty(1 << 13, dtype="int8")
    x.me = x
    del x
    gc.collect()
    torch.empty(1 << 13, dtype="int8")


def test_memory_is_kept_until_the_kernels_that_may_use_it_are_complete(new_torch):
    torch = new_torch(*ONE_PE)
    x = torch.empty(64, name="x")
    va = x.data_ptr()
    torch.launch(lambda x: None, 1, (x,))
    del x
    torch.empty(64, name="y")
    assert torch.ahbm.machine.page_tables.by_sip[0].resolve(va).name == "x"
    torch.synchronize()
    assert torch.ahbm.machine.page_tables.by_sip[0].resolve(va) is None


def test_an_allocation_waits_for_kernels_when_only_freed_tensors_stand_in_its_way(new_torch):
    torch = new_torch(*ONE_PE)
    x = torch.empty(1 << 13, dtype="int8", name="x")
    torch.launch(lambda x: None, 1, (x,))
    del x
    torch.empty(1 << 13, dtype="int8", name="y")
    assert len(torch.ahbm.machine.launched) == 1


def test_freed_memory_reads_as_unwritten(new_torch):
    torch = new_torch(*ONE_PE)
    torch.ones(64).free()
    assert np.isnan(torch.empty(64).numpy()).all()


USES = [
    lambda x: x.numpy(),
    lambda x: x.fetch(),
    lambda x: x[0],
    lambda x: x.copy_(np.zeros(4, np.float32)),
    lambda x: x.data_ptr(),
    lambda x: x.view(2, 2),
    lambda x: x.to("ahbm", copy=True),
]


@pytest.mark.parametrize("use", USES)
def test_use_after_free_names_the_tensor_and_the_line_that_freed_it(torch, use):
    x = torch.zeros(4, name="x")
    _, line = x.free(), here()
    with pytest.raises(UsageError) as caught:
        use(x)
    assert str(caught.value) == f"'x'[4] was freed at {line}; make a new tensor, or free it later"


@pytest.mark.parametrize("use", USES)
def test_use_after_a_with_block_names_the_tensor_and_the_block(torch, use):
    with torch.zeros(4, name="x") as x:
        line = here(-1)
    with pytest.raises(UsageError) as caught:
        use(x)
    assert str(caught.value) == (
        f"'x'[4] was freed at the end of its with block at {line}; make a new tensor, or free it later"
    )


def test_freeing_twice_is_an_error_that_names_the_first_time(torch):
    x = torch.zeros(4, name="x")
    _, line = x.free(), here()
    with pytest.raises(UsageError) as caught:
        x.free()
    assert str(caught.value) == f"'x'[4] was freed before, at {line}; free a tensor once"


def test_a_tensor_freed_within_its_with_block_was_freed_there(torch):
    with torch.zeros(4, name="x") as x:
        _, line = x.free(), here()
    assert x.freed == f"at {line}"


def test_the_line_is_the_users_also_when_python_ends_the_block_for_him(torch):
    x, line = torch.zeros(4), here(1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(x)
    assert x.freed == f"at the end of its with block at {line}"


def test_who_writes_a_bench_of_kernbench_is_a_user(torch):
    x = torch.zeros(4)
    path = Path(sys.modules["kernbench"].__file__).parent / "benches" / "mine.py"
    exec(compile("\n\nx.free()", str(path), "exec"), {"x": x})
    assert x.freed == "at mine.py:3"


def test_a_tensor_may_be_freed_where_no_line_of_a_user_is(torch):
    x = torch.zeros(4)
    greenlet.greenlet(x.free).switch()
    assert x.freed == "at ?:0"
