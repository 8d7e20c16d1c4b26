"""A view is what PyTorch says it is, and the same memory: it is where its bytes are, and lives as long as they do."""

import gc
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.device.placement import WAYS, DPPolicy
from kernbench.errors import ShapeError, UsageError
from kernbench.messages.fabric import Piece
from kernbench.torch.tensor import DEVICE, HOST

POLICIES = st.builds(
    DPPolicy, sip=st.sampled_from(WAYS), cube=st.sampled_from(WAYS), pe=st.sampled_from(WAYS)
)
ONE_PE = ((1, 1), (1, 1), (1, 1))
ITEM_BYTES = 4


def numbered(*shape):
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


# -- shapes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [DEVICE, HOST])
@pytest.mark.parametrize(
    ("shape", "view", "expected"),
    [
        ((2, 6), lambda x: x.view(3, 4), (3, 4)),
        ((2, 6), lambda x: x.view((3, 4)), (3, 4)),
        ((2, 6), lambda x: x.view([3, np.int64(4)]), (3, 4)),
        ((2, 6), lambda x: x.view(-1), (12,)),
        ((2, 6), lambda x: x.view(4, -1, 1), (4, 3, 1)),
        ((0, 6), lambda x: x.view(-1), (0,)),
        ((0, 6), lambda x: x.view(-1, 3), (0, 3)),
        ((1, 1), lambda x: x.view(()), ()),
        ((), lambda x: x.view(1, -1), (1, 1)),
        ((2, 6), lambda x: x.reshape(3, -1), (3, 4)),
        ((2, 6), lambda x: x.view_as(x.context.empty(12)), (12,)),
        ((2, 3, 4), lambda x: x.flatten(), (24,)),
        ((2, 3, 4), lambda x: x.flatten(1), (2, 12)),
        ((2, 3, 4), lambda x: x.flatten(0, -2), (6, 4)),
        ((2, 0, 4), lambda x: x.flatten(1, 2), (2, 0)),
        ((), lambda x: x.flatten(), (1,)),
        ((1, 3, 1), lambda x: x.squeeze(), (3,)),
        ((1, 3, 1), lambda x: x.squeeze(-1), (1, 3)),
        ((1, 3, 1), lambda x: x.squeeze(1), (1, 3, 1)),
        ((1, 3, 1), lambda x: x.squeeze((0, 2)), (3,)),
        ((), lambda x: x.squeeze(0), ()),
        ((2, 3), lambda x: x.unsqueeze(0), (1, 2, 3)),
        ((2, 3), lambda x: x.unsqueeze(-1), (2, 3, 1)),
        ((), lambda x: x.unsqueeze(0), (1,)),
        ((4, 2), lambda x: x.narrow(0, 1, 2), (2, 2)),
        ((4, 2), lambda x: x.narrow(-2, -1, 1), (1, 2)),
        ((4, 2), lambda x: x.narrow(0, 4, 0), (0, 2)),
        ((1, 8), lambda x: x.narrow(1, 2, 3), (1, 3)),
        ((4, 2), lambda x: x.narrow(1, 0, 2), (4, 2)),
        ((4, 2), lambda x: x.narrow(1, 1, 0), (4, 0)),
        ((0, 8), lambda x: x.narrow(1, 2, 3), (0, 3)),
    ],
)
def test_a_view_has_the_shape_that_pytorch_gives_it(torch, device, shape, view, expected):
    found = view(torch.empty(shape, device=device))
    assert (found.shape, found.numel(), found.device) == (expected, math.prod(expected), device)
    assert found.numpy().shape == expected


@pytest.mark.parametrize("device", [DEVICE, HOST])
@pytest.mark.parametrize(
    ("view", "message"),
    [
        (
            lambda x: x.view(3, 2),
            "view of 'x'[2, 4]: shape [3, 2] is invalid for input of size 8; its extents must multiply to 8",
        ),
        (
            lambda x: x.reshape(3, -1),
            "reshape of 'x'[2, 4]: shape [3, -1] is invalid for input of size 8; its extents must multiply to 8",
        ),
        (
            lambda x: x.view(0, -1),
            "view of 'x'[2, 4]: shape [0, -1] is invalid for input of size 8; its extents must multiply to 8",
        ),
        (
            lambda x: x.narrow(0, 0, 0).view(0, -1),
            "view of 'x'[0, 4]: shape [0, -1]: -1 can be any value where there are 0 elements; write it out",
        ),
        (
            lambda x: x.view(-1, -1),
            "view of 'x'[2, 4]: shape [-1, -1]: only one dimension can be inferred; write all but one",
        ),
        (
            lambda x: x.view(-2, 4),
            "view of 'x'[2, 4]: -2 is no extent; write integers of 0 or more, and -1 for one of them",
        ),
        (
            lambda x: x.view(x.dtype),
            "view of 'x'[2, 4]: fp32 is no extent; write integers of 0 or more, and -1 for one of them",
        ),
        (lambda x: x.view(), "view of 'x'[2, 4]: no shape is given; write one, such as (2, -1)"),
        (
            lambda x: x.view_as(x.narrow(0, 0, 1)),
            "view of 'x'[2, 4]: shape [1, 4] is invalid for input of size 8; its extents must multiply to 8",
        ),
        (
            lambda x: x.flatten(1, 0),
            "flatten of 'x'[2, 4]: start_dim 1 comes after end_dim 0; give them in order",
        ),
        (lambda x: x.flatten(2), "flatten of 'x'[2, 4]: dimension out of range: 2; give one from -2 to 1"),
        (
            lambda x: x.squeeze((0, -3)),
            "squeeze of 'x'[2, 4]: dimension out of range: -3; give one from -2 to 1",
        ),
        (
            lambda x: x.unsqueeze(3),
            "unsqueeze of 'x'[2, 4]: dimension out of range: 3; give one from -3 to 2",
        ),
        (
            lambda x: x.narrow("rows", 0, 1),
            "narrow of 'x'[2, 4]: dimension out of range: 'rows'; give one from -2 to 1",
        ),
        (
            lambda x: x.narrow(0, 3, 0),
            "narrow of 'x'[2, 4]: start 3 is out of range; give an integer from -2 to 2",
        ),
        (
            lambda x: x.narrow(0, -3, 1),
            "narrow of 'x'[2, 4]: start -3 is out of range; give an integer from -2 to 2",
        ),
        (
            lambda x: x.narrow(0, 0, -1),
            "narrow of 'x'[2, 4]: length -1 is no length; give an integer of 0 or more",
        ),
        (
            lambda x: x.narrow(0, -1, 2),
            "narrow of 'x'[2, 4]: start (-1) + length (2) exceeds dimension size (2); narrow less",
        ),
        (
            lambda x: x.narrow(0, 0, 1).view(2, 2).narrow(1, 0, 3),
            "narrow of 'x'[2, 2]: start (0) + length (3) exceeds dimension size (2); narrow less",
        ),
        (
            lambda x: x.narrow(0, 0, 1).narrow(1, 0, 1).view(()).narrow(0, 0, 1),
            "narrow of 'x'[]: it has no dimension to narrow; view it as [1]",
        ),
    ],
)
def test_a_view_that_pytorch_refuses_is_refused(torch, device, view, message):
    with pytest.raises(ShapeError) as caught:
        view(torch.empty(2, 4, name="x", device=device))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("shape", "dim", "message"),
    [
        (
            (2, 4),
            1,
            "narrow of 'x'[2, 4]: that part of dimension 1 is not one range of memory, as a view on the device is; "
            "narrow dimension 0, or read the part, as in x[:, 1:3]",
        ),
        (
            (1, 2, 3),
            -1,
            "narrow of 'x'[1, 2, 3]: that part of dimension 2 is not one range of memory, as a view on the device is; "
            "narrow dimension 0, or read the part, as in x[:, :, 1:3]",
        ),
    ],
)
def test_a_part_with_gaps_is_no_view_on_the_device(torch, shape, dim, message):
    with pytest.raises(ShapeError) as caught:
        torch.empty(shape, name="x").narrow(dim, 1, 2)
    assert str(caught.value) == message


# -- memory -----------------------------------------------------------------------------------------------


@st.composite
def chains(draw):
    """A shape, one view after another of it, and the array that numpy says the last one is."""
    array = numbered(*draw(st.lists(st.integers(0, 6), max_size=3)))
    shape, steps = array.shape, []
    for kind in draw(
        st.lists(st.sampled_from(["narrow", "view", "flatten", "unsqueeze", "squeeze"]), max_size=4)
    ):
        if kind == "narrow" and array.ndim:
            start = draw(st.integers(0, array.shape[0]))
            steps.append((kind, (0, start, draw(st.integers(0, array.shape[0] - start)))))
            array = array[start : start + steps[-1][1][2]]
        elif kind == "view":
            steps.append((kind, (draw(st.permutations(array.shape)),)))
            array = array.reshape(steps[-1][1][0])
        elif kind == "unsqueeze":
            steps.append((kind, (draw(st.integers(0, array.ndim)),)))
            array = np.expand_dims(array, steps[-1][1])
        elif kind in ("flatten", "squeeze"):
            steps.append((kind, ()))
            array = getattr(np, {"flatten": "ravel"}.get(kind, kind))(array)
    return shape, steps, array


@settings(max_examples=200, deadline=None)
@given(chain=chains(), policy=POLICIES)
def test_a_view_is_the_same_memory_as_numpys_view(new_torch, chain, policy):
    (shape, steps, expected), torch = chain, new_torch()
    base = torch.from_numpy(numbered(*shape)).to(DEVICE, policy=policy)
    view = base
    for method, args in steps:
        view = getattr(view, method)(*args)
    torch.ahbm.machine.written.clear()
    np.testing.assert_array_equal(view.numpy(), expected, strict=True)
    assert torch.ahbm.machine.read == ([expected.nbytes] if expected.size else [])
    assert view.nbytes == expected.nbytes
    view.copy_(-1 - expected)
    after = numbered(*shape)
    if expected.size:
        first = int(expected.reshape(-1)[0])
        after.reshape(-1)[first : first + expected.size] = -1 - expected.reshape(-1)
        assert view.data_ptr() == base.data_ptr() + first * ITEM_BYTES
    np.testing.assert_array_equal(base.numpy(), after)


def test_a_view_is_written_to_every_copy_and_read_from_one(torch):
    x = torch.zeros(4, 8, policy=DPPolicy("replicate", "replicate", "row_wise"))
    torch.ahbm.machine.written.clear()
    half = x.narrow(0, 0, 2)
    half.copy_(numbered(2, 8))
    half.numpy()
    assert (torch.ahbm.machine.written, torch.ahbm.machine.read) == ([4 * 64], [64])


def test_only_the_bytes_of_a_part_of_a_view_move(torch):
    view = torch.from_numpy(numbered(6, 4)).to(DEVICE).narrow(0, 2, 4).view(8, 2)
    assert view[1:7:2, 1].tolist() == [11, 15, 19]
    assert view[-1, -1] == 23
    view.fetch()
    assert torch.ahbm.machine.read == [3 * ITEM_BYTES, ITEM_BYTES, view.nbytes]


def test_a_view_describes_itself_and_has_the_name_of_its_base(torch):
    x = torch.empty(4, 6, dtype="fp16", policy=DPPolicy(pe="tiled"), name="x")
    view = x.narrow(0, 1, 2).view(3, -1)
    assert repr(view) == "Tensor('x', [3, 4], fp16, ahbm: sip=replicate, cube=row_wise, pe=tiled)"
    assert (view.nbytes, view.stride(), view.policy, view.dtype) == (24, (4, 1), x.policy, x.dtype)
    assert view.data_ptr() == x.data_ptr() + 12
    with pytest.raises(ShapeError) as caught:
        view.copy_(np.zeros(4, np.float16))
    assert str(caught.value) == "copy_ into 'x': it is [3, 4] and the source is [4]; shapes must be equal"
    with pytest.raises(UsageError) as caught:
        view[3]
    assert str(caught.value) == "'x'[3, 4]: index 3 is out of bounds for axis 0 with size 3"


def test_a_kernel_is_given_the_bytes_of_the_view(torch):
    x = torch.empty(4, 6, name="x")
    torch.launch(lambda x: None, 1, (x.narrow(0, 1, 2).flatten(),))
    torch.synchronize()
    ((pointer,),) = (call.args for call in torch.ahbm.machine.launched)
    assert pointer[:5] == ("x", x.data_ptr() + 24, x.dtype, (12,), 48)


# -- placement --------------------------------------------------------------------------------------------


def pes_of_ones(machine):
    """The PEs in whose slices of HBM there is a byte of value 1."""
    slices = [machine.slice_of(pe) for pe in range(len(machine.pes))]
    contents = [machine.store.read((Piece(*at, size, size, 1, 0, size),), size) for *at, size in slices]
    return tuple(pe for pe, content in enumerate(contents) if (content == 1).any())


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    bounds=st.tuples(st.integers(0, 81), st.integers(0, 81)),
    policy=POLICIES,
)
def test_the_holders_of_a_view_are_the_pes_with_its_bytes(new_torch, shape, bounds, policy):
    torch = new_torch()
    x = torch.zeros(shape, dtype="int8", policy=policy)
    first, last = sorted(min(bound, x.numel()) for bound in bounds)
    view = x.flatten().narrow(0, first, last - first)
    view.copy_(np.ones(view.shape, np.int8))
    assert view.holders == pes_of_ones(torch.ahbm.machine)


def placed(torch, n_programs, *args):
    torch.launch(lambda *tensors: None, n_programs, args)
    torch.synchronize()
    return [program.pe for program in torch.ahbm.machine.launched[-1].programs]


def test_programs_go_to_the_holders_of_a_view(torch):
    x = torch.empty(16, 4)  # a row on each PE
    assert placed(torch, 4, x.narrow(0, 6, 2)) == [6, 6, 7, 7]
    assert placed(torch, 2, x.narrow(0, 9, 1).view(2, 2)) == [9, 9]
    assert placed(torch, 3, x.flatten().narrow(0, 7, 2)) == [
        1,
        1,
        2,
    ]  # the end of row 1 and the start of row 2
    assert placed(torch, 4, x.view(4, 16)) == [0, 4, 8, 12]


def test_an_empty_view_says_nothing_about_where_programs_run(torch):
    x = torch.empty(16, 4)
    assert placed(torch, 2, x.narrow(0, 5, 0), x.narrow(0, 3, 1)) == [3, 3]
    assert placed(torch, 2, x.narrow(0, 5, 0)) == [0, 8]


# -- lives ------------------------------------------------------------------------------------------------


def test_a_view_keeps_the_memory_when_its_base_is_gone(new_torch):
    torch = new_torch(*ONE_PE)
    view = torch.from_numpy(numbered(4, 2)).to(DEVICE).narrow(0, 1, 2).narrow(0, 1, 1)
    gc.collect()
    torch.synchronize()
    torch.zeros(8)  # would lie where the first one did
    assert view.tolist() == [[4, 5]]


@pytest.mark.parametrize("last", range(3))
def test_memory_returns_when_the_last_of_base_and_views_is_gone(torch, last):
    base = torch.empty(4, 2)
    tensors = [base, base.view(8), base.view(8).narrow(0, 4, 4)]
    del base
    survivor = tensors.pop(last)
    del tensors
    torch.synchronize()
    assert len(torch.ahbm.heap.virtual.blocks) == 1
    del survivor
    torch.synchronize()
    assert torch.ahbm.heap.virtual.blocks == {}


def test_base_and_views_in_a_cycle_are_freed_by_the_garbage_collector(torch):
    base = torch.empty(4, 2)
    view = base.view(8)
    base.view_of_mine, view.base = view, base
    del base, view
    gc.collect()
    torch.synchronize()
    assert torch.ahbm.heap.virtual.blocks == {}


def test_memory_is_kept_until_the_kernel_that_was_given_a_view_is_complete(torch):
    x = torch.empty(4, 2, name="x")
    va = x.data_ptr()
    torch.launch(lambda x: None, 1, (x.view(8),))
    del x
    torch.empty(4, name="y")
    assert torch.ahbm.heap.virtual.blocks[va].label == "'x'"
    torch.synchronize()
    assert torch.ahbm.heap.virtual.blocks == {}


@pytest.mark.parametrize("end", ["free", "with"])
def test_a_view_that_is_freed_takes_the_memory_from_all(torch, end):
    base = torch.zeros(4, 2, name="x")
    view = base.narrow(0, 1, 2)
    if end == "free":
        view.free()
    else:
        with view:
            pass
    assert base.is_freed
    assert view.is_freed
    torch.synchronize()
    assert torch.ahbm.heap.virtual.blocks == {}
    for use in (base.numpy, base.data_ptr, lambda: base.view(8), lambda: base.narrow(0, 0, 1)):
        with pytest.raises(
            UsageError, match=r"^'x'\[4, 2\] was freed at .*test_views.py:\d+; make a new tensor"
        ):
            use()
    with pytest.raises(
        UsageError, match=r"^'x'\[4, 2\] was freed before, at .*test_views.py:\d+; free a tensor once$"
    ):
        base.free()


# -- on the host ------------------------------------------------------------------------------------------


def test_views_on_the_host_share_the_memory_of_the_array(torch):
    array = numbered(4, 6)
    host = torch.from_numpy(array, name="x")
    for view in (host.view(24), host.reshape(3, 8), host.flatten(), host.unsqueeze(1), host.narrow(1, 2, 3)):
        assert (view.name, np.shares_memory(view.numpy(), array)) == ("x", True)
    host.view(2, 12).narrow(0, 1, 1).squeeze(0).copy_(np.full(12, -1, np.float32))
    assert array.tolist() == [*numbered(2, 6).tolist(), [-1] * 6, [-1] * 6]
    assert (host.narrow(1, 2, 3).stride(), host.narrow(1, 2, 3).stride(0)) == ((6, 1), 6)


def test_a_host_array_with_gaps_is_viewed_where_its_strides_allow_it(torch):
    array = numbered(4, 6)[:, 1:5]
    host = torch.from_numpy(array, name="x")
    for view in (host.view(2, 2, 4), host.view(4, 2, 2), host.unsqueeze(0), host.unsqueeze(2).squeeze()):
        assert np.shares_memory(view.numpy(), array)
    with pytest.raises(ShapeError) as caught:
        host.view(16)
    assert str(caught.value) == (
        "view of 'x'[4, 4]: shape [16] is not compatible with its strides [6, 1]; use reshape(), which copies"
    )
    copy = host.reshape(16)
    assert copy.tolist() == array.reshape(16).tolist()
    assert not np.shares_memory(copy.numpy(), array)
    assert host.narrow(0, 1, 0).view(0).tolist() == []
