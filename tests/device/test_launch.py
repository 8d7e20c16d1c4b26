"""A program runs on the PE that the stated rule, or the caller, gives it."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench import tl
from kernbench.device.placement import WAYS, DPPolicy
from kernbench.errors import ShapeError, UsageError
from kernbench.lang.jit import jit
from kernbench.topology.ids import PeId

REPLICATED = DPPolicy("replicate", "replicate", "replicate")


def kernel(x=None, y=None, n=0, BLOCK=0):
    pass


def launched(torch, *args, **kwargs):
    torch.launch(kernel, *args, **kwargs)
    torch.synchronize()
    return torch.ahbm.machine.launched[-1]


def pes(torch, *args, **kwargs):
    return [program.pe for program in launched(torch, *args, **kwargs).programs]


@given(n_programs=st.integers(1, 70))
def test_programs_spread_over_all_pes_when_nothing_is_sharded(new_torch, n_programs):
    assert pes(new_torch(), n_programs) == [p * 16 // n_programs for p in range(n_programs)]


@given(n_programs=st.integers(1, 40), rows=st.integers(2, 40))
def test_programs_go_to_the_holders_of_the_first_sharded_argument(new_torch, n_programs, rows):
    torch = new_torch()
    everywhere = torch.empty(4, policy=REPLICATED)
    sharded = torch.empty(rows, 4, policy=DPPolicy("row_wise"))
    single = torch.empty(2, 1, policy=DPPolicy("row_wise", "replicate", "replicate"))
    holders = sharded.holders
    expected = [holders[p * len(holders) // n_programs] for p in range(n_programs)]
    assert pes(torch, n_programs, (everywhere, sharded)) == expected
    assert pes(torch, n_programs, (everywhere,), {"y": sharded, "n": single}) == expected


@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple),
    bounds=st.tuples(st.integers(0, 350), st.integers(0, 350)),
    levels=st.tuples(*[st.sampled_from(WAYS)] * 3),
    only=st.none()
    | st.permutations(range(16)).flatmap(lambda pes: st.integers(1, 16).map(lambda n: pes[:n])),
    least_bytes=st.integers(1, 2048),
    place=st.sampled_from([None, "cyclic"]),
)
def test_parts_that_lie_together_have_their_programs_where_they_were_dealt(
    new_torch, shape, bounds, levels, only, least_bytes, place
):
    found = []
    for least in (0, least_bytes):
        torch = new_torch()
        policy = DPPolicy(*levels, only=only, least_bytes=least)
        x = torch.empty(shape, dtype="fp64", policy=policy)
        first, last = sorted(min(bound, x.numel()) for bound in bounds)
        view = x.flatten().narrow(0, first, last - first)
        found.append([pes(torch, 40, (tensor,), place=place) for tensor in (x, view)])
    assert found[0] == found[1]


def test_only_puts_programs_where_it_put_the_tensor(torch):
    there, rows = torch.empty(8, policy=DPPolicy(only=3)), torch.empty(4, 2, policy=DPPolicy(only=[5, 2]))
    assert pes(torch, 2, (there,)) == [3, 3]
    assert pes(torch, 4, (rows,)) == [5, 5, 2, 2]  # the first rows lie on PE 5
    assert pes(torch, 4, (rows,), place="cyclic") == [5, 2, 5, 2]
    assert pes(torch, 2, (rows.narrow(0, 2, 2),)) == [2, 2]


def test_the_first_argument_that_lies_on_certain_pes_decides_sharded_or_not(torch):
    everywhere, there, sharded = (
        torch.empty(4, policy=REPLICATED),
        torch.empty(1, policy=DPPolicy(only=3)),
        torch.empty(16, 2),
    )
    assert pes(torch, 1, (everywhere, there, sharded)) == [3]
    assert pes(torch, 16, (everywhere, sharded, there)) == list(range(16))
    assert pes(torch, 2, (torch.empty(0, policy=DPPolicy(only=3)), everywhere)) == [0, 8]  # lies nowhere


def test_without_such_an_argument_programs_spread_over_the_pes_of_the_default_policy(torch):
    torch.ahbm.default_policy = DPPolicy(only=[4, 6])
    assert pes(torch, 4, (torch.empty(4, policy=REPLICATED),)) == [4, 4, 6, 6]
    assert pes(torch, 3, place="cyclic") == [4, 6, 4]


def test_cyclic_deals_programs_to_the_same_pes_in_turn(torch):
    x = torch.empty(3, 4)  # rows 0 to 2 on pe 0, 4 and 8
    assert pes(torch, 7, (x,), place="cyclic") == [0, 4, 8, 0, 4, 8, 0]
    assert pes(torch, 17, place="cyclic") == [*range(16), 0]


def test_a_list_names_the_pe_of_each_program(torch):
    assert pes(torch, 3, place=[2, "sip1.cube0.pe3", PeId(0, 1, 0)]) == [2, 11, 4]


def test_a_function_names_the_pe_of_a_program_id(torch):
    assert pes(torch, (2, 3), place=lambda at: at[0] + 4 * at[1]) == [0, 1, 4, 5, 8, 9]


def test_programs_are_counted_with_the_first_axis_fastest(torch):
    programs = launched(torch, (2, 2, 2)).programs
    assert [program.index for program in programs] == list(range(8))
    assert [program.ids for program in programs[:5]] == [
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (1, 1, 0),
        (0, 0, 1),
    ]


def test_a_grid_is_a_number_a_tuple_or_a_function_of_the_arguments(torch):
    x = torch.empty(100)
    assert launched(torch, 5).grid == (5, 1, 1)
    assert launched(torch, (5, 2)).grid == (5, 2, 1)
    sized = launched(torch, lambda meta: (torch.cdiv(meta["x"].numel(), meta["BLOCK"]),), (x,), {"BLOCK": 32})
    assert sized.grid == (4, 1, 1)


def test_a_kernel_is_given_addresses_for_tensors_and_all_else_as_it_is(torch):
    x, y = torch.empty(4, 2, dtype="fp16", name="x"), torch.empty(3, name="y")
    call = launched(torch, 1, (x, 5), {"BLOCK": 64, "n": y})
    (pointer, five), meta = call.args, call.meta
    assert (pointer.name, pointer.va, pointer.dtype, pointer.shape, pointer.size_bytes) == (
        "x",
        x.data_ptr(),
        x.dtype,
        (4, 2),
        16,
    )
    assert (five, meta["BLOCK"], meta["n"].name) == (5, 64, "y")
    assert (call.kernel.__wrapped__, call.name) == (kernel, "kernel")


@pytest.mark.parametrize("grid", [(), (1, 1, 1, 1), (-1,), (2, 1.5)])
def test_a_wrong_grid_is_refused(torch, grid):
    with pytest.raises(UsageError, match="must be one to three integers of 0 or more"):
        torch.launch(kernel, grid)


@pytest.mark.parametrize(
    ("place", "kind", "message"),
    [
        (
            "blocked",
            UsageError,
            "launch: place='blocked' is unknown; give 'cyclic', a list of PEs, or a function",
        ),
        ([0], ShapeError, "launch: place lists 1 PE for 2 programs; it must name one for each"),
        (
            [0, 16],
            UsageError,
            "launch: place of program 1: there is no PE 16; PEs are 0..15, sip0.cube0.pe0..sip1.cube1.pe3",
        ),
        (
            lambda at: PeId(2, 0, 0),
            UsageError,
            "launch: place of program 0: there is no PE sip2.cube0.pe0; "
            "PEs are 0..15, sip0.cube0.pe0..sip1.cube1.pe3",
        ),
        (
            ["pe3", 0],
            UsageError,
            "launch: place of program 0: 'pe3' is not the name of a PE; write it like 'sip0.cube1.pe3'",
        ),
        (
            lambda at: 0.5,
            UsageError,
            "launch: place of program 0: there is no PE 0.5; PEs are 0..15, sip0.cube0.pe0..sip1.cube1.pe3",
        ),
    ],
)
def test_a_wrong_place_is_refused(torch, place, kind, message):
    with pytest.raises(kind) as caught:
        torch.launch(kernel, 2, place=place)
    assert str(caught.value) == message


def test_a_host_tensor_cannot_be_an_argument(torch):
    with pytest.raises(UsageError) as caught:
        torch.launch(kernel, 1, (torch.from_numpy(np.zeros(4)),))
    assert str(caught.value) == (
        "kernel 'kernel': argument 'x' is 'tensor1', a tensor on the host; copy it with .to('ahbm')"
    )


def test_a_freed_tensor_cannot_be_an_argument(torch):
    x = torch.empty(4, name="x")
    with x:
        line = sys._getframe().f_lineno - 1
    with pytest.raises(UsageError) as caught:
        torch.launch(kernel, 1, (3, x))
    assert str(caught.value) == (
        "kernel 'kernel': argument 'y' is 'x', which was freed at the end of its with block at "
        f"test_launch.py:{line}; make a new tensor, or free it later"
    )


def test_a_tensor_of_another_simulation_cannot_be_an_argument(new_torch):
    with pytest.raises(UsageError) as caught:
        new_torch().launch(kernel, 1, (), {"x": new_torch().empty(4, name="b")})
    line = caught.traceback[0].lineno + 1
    assert str(caught.value) == (
        f"kernel 'kernel': argument 'x' is 'b', a tensor of another simulation, made at test_launch.py:{line}; copy it "
        "by way of numpy()"
    )


ARRAY = "a numpy array [4]; copy it to the device with torch.from_numpy(x).to('ahbm')"
LIST = "a list of numbers; copy them to the device with torch.tensor(x), or pass tuple(x), whose numbers are scalars"


@pytest.mark.parametrize(
    ("argument", "what"),
    [(np.ones(4), ARRAY), ([1, 2], LIST), ((1, (2, np.ones(4))), ARRAY), ({"a": [[1.0]]}, LIST)],
)
def test_an_array_of_the_host_or_a_list_of_numbers_cannot_be_an_argument(torch, argument, what):
    with pytest.raises(UsageError) as caught:
        torch.launch(kernel, 1, (3, argument))
    assert str(caught.value) == f"kernel 'kernel': argument 'y' is {what}"


def test_a_constant_may_be_a_list_and_an_array_without_dimensions_is_a_number(torch):
    def constant(x, SHAPE: tl.constexpr):
        pass

    torch.launch(constant, 1, (np.array(3), [4, 5]))
    torch.synchronize()
    (call,) = torch.ahbm.machine.launched
    assert call.args == (np.array(3), [4, 5])


def test_arguments_that_do_not_fit_the_kernel_are_refused_before_anything_runs(torch):
    with pytest.raises(UsageError, match=r"^kernel kernel\(x=None, y=None, n=0, BLOCK=0\): multiple values"):
        torch.launch(kernel, 1, (1,), {"x": 2})
    with pytest.raises(UsageError, match=r"no argument 'BLOK'; did you mean 'BLOCK'\?"):
        torch.launch(kernel, 1, (1,), {"BLOK": 2})


def test_hints_for_a_gpu_are_dropped(torch):
    assert launched(torch, 1, (1,), {"num_warps": 4, "BLOCK": 2}).meta == {"BLOCK": 2}


def test_a_jit_kernel_runs_on_the_device_of_its_first_tensor(new_torch):
    first, second = new_torch(), new_torch()
    compiled = jit(kernel)
    for torch in (second, first):
        compiled[(lambda meta: (meta["BLOCK"],))](torch.empty(4), 3, BLOCK=2)
    for torch in (first, second):
        torch.synchronize()
        (call,) = torch.ahbm.machine.launched
        assert (call.kernel, call.grid, call.args[1:], call.meta) == (compiled, (2, 1, 1), (3,), {"BLOCK": 2})


def test_a_jit_kernel_without_tensors_needs_a_device(torch):
    with pytest.raises(UsageError) as caught:
        jit(kernel)[(1,)](3)
    assert str(caught.value) == (
        "kernel 'kernel' has no tensor among its arguments to say on which device it runs; "
        "launch it with torch.launch(kernel, grid, args)"
    )
