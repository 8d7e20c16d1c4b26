"""A policy cuts a tensor into rectangles that cover it, each held by the PEs that the policy says."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.device.placement import ROW_WISE, WAYS, DPPolicy, place
from kernbench.dtypes import as_dtype
from kernbench.errors import UsageError

GRIDS = st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)])
POLICIES = st.builds(
    DPPolicy, sip=st.sampled_from(WAYS), cube=st.sampled_from(WAYS), pe=st.sampled_from(WAYS)
)


def machine(sips=(2, 1), cubes=(1, 2), pes=(2, 2)):
    level = lambda grid: SimpleNamespace(count=grid[0] * grid[1], grid=grid)  # noqa: E731
    return SimpleNamespace(
        system=SimpleNamespace(sips=level(sips)),
        sip=SimpleNamespace(cubes=level(cubes)),
        cube=SimpleNamespace(pes=level(pes)),
    )


def held_by(shape, policy, spec, dtype="int8"):
    """For each PE, the flat elements of the tensor that it holds."""
    sharding = place(shape, as_dtype(dtype), policy, spec)
    grid, itemsize = sharding.grid, as_dtype(dtype).size_bytes
    elements = np.arange(int(np.prod(shape))).reshape(grid.rows, grid.row_bytes // itemsize)
    held = {}
    for cell, holders in enumerate(sharding.holders):
        i, j = divmod(cell, grid.n_cols)
        left, right = (at // itemsize for at in grid.col_bounds[j : j + 2])
        for pe in holders:
            assert pe not in held
            held[pe] = elements[grid.row_bounds[i] : grid.row_bounds[i + 1], left:right].reshape(-1).tolist()
            assert len(held[pe]) * itemsize == grid.cell_bytes(cell)
    return held


def split(extent, n_parts):
    """Ceil-size parts first."""
    size = -(-extent // n_parts)
    return [slice(min(i * size, extent), min((i + 1) * size, extent)) for i in range(n_parts)]


def expected(shape, policy, sips, cubes, pes):
    """For each PE, what it holds, by cutting an array level by level."""
    parts = [np.arange(int(np.prod(shape))).reshape(shape)]
    for way, (across, down) in zip((policy.sip, policy.cube, policy.pe), (sips, cubes, pes), strict=True):
        parts = [unit for part in parts for unit in cut(part, way, across, down)]
    return {pe: part.reshape(-1).tolist() for pe, part in enumerate(parts) if part.size}


def cut(part, way, across, down):
    n = across * down
    if way == "replicate":
        return [part] * n
    if way == "row_wise" or part.ndim == 1:
        return [part[rows] for rows in split(part.shape[0], n)]
    if way == "column_wise":
        return [part[..., columns] for columns in split(part.shape[-1], n)]
    return [
        part[rows][..., columns]
        for rows in split(part.shape[0], down)
        for columns in split(part.shape[-1], across)
    ]


@given(
    shape=st.lists(st.integers(1, 13), min_size=1, max_size=3).map(tuple),
    policy=POLICIES,
    sips=GRIDS,
    cubes=GRIDS,
    pes=GRIDS,
    dtype=st.sampled_from(["int8", "fp16", "fp64"]),
)
def test_every_pe_holds_what_cutting_an_array_level_by_level_gives_it(shape, policy, sips, cubes, pes, dtype):
    assert held_by(shape, policy, machine(sips, cubes, pes), dtype) == expected(
        shape, policy, sips, cubes, pes
    )


def test_rows_over_all_levels():
    held = held_by((32, 2), ROW_WISE, machine())
    assert held == {pe: [4 * pe, 4 * pe + 1, 4 * pe + 2, 4 * pe + 3] for pe in range(16)}


def test_uneven_shards_are_ceil_size_first_and_the_last_may_be_empty():
    """5 rows over 4 PEs: 2, 2, 1 and none."""
    held = held_by((5, 1), DPPolicy(cube="replicate"), machine(sips=(1, 1), cubes=(1, 1)))
    assert held == {0: [0, 1], 1: [2, 3], 2: [4]}


def test_tiles_lie_on_the_grid_of_their_level_x_over_columns_y_over_rows():
    held = held_by((2, 4), DPPolicy(pe="tiled"), machine(sips=(1, 1), cubes=(1, 1), pes=(2, 2)))
    assert held == {0: [0, 1], 1: [2, 3], 2: [4, 5], 3: [6, 7]}


def test_a_tensor_smaller_than_the_machine_lies_on_the_first_units():
    assert held_by((3,), ROW_WISE, machine()) == {0: [0], 4: [1], 8: [2]}


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0), (2, 0, 3)])
def test_a_tensor_without_elements_has_no_shards(shape):
    sharding = place(shape, as_dtype("fp32"), DPPolicy(), machine())
    assert sharding.holders == ()
    assert sharding.grid.n_cells == 0


def test_a_scalar_has_one_element():
    assert held_by((), ROW_WISE, machine()) == {0: [0]}


def test_in_sram_the_pes_of_a_cube_share_one_replica():
    held = held_by((4,), DPPolicy("replicate", "replicate", "replicate", space="sram"), machine())
    assert sorted(held) == [0, 4, 8, 12]


def test_no_policy_keeps_each_byte_once():
    assert DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise") == ROW_WISE


@given(
    shape=st.lists(st.integers(1, 13), min_size=1, max_size=3).map(tuple),
    only=st.permutations(range(16)).flatmap(lambda pes: st.integers(1, 16).map(lambda n: pes[:n])),
)
def test_a_list_of_pes_gets_the_rows_as_row_wise_deals_them_in_the_lists_order(shape, only):
    parts = split(shape[0], len(only))
    rows = np.arange(int(np.prod(shape))).reshape(shape)
    dealt = {pe: rows[part].reshape(-1).tolist() for pe, part in zip(only, parts) if rows[part].size}
    assert held_by(shape, DPPolicy(only=only), machine()) == dealt


def test_a_list_of_one_pe_is_that_pe():
    assert held_by((3, 2), DPPolicy(only=[5]), machine()) == held_by((3, 2), DPPolicy(only=5), machine())
    assert (
        DPPolicy(only=[0, 2]) == DPPolicy(only=range(0, 4, 2)) == DPPolicy(only=np.arange(0, 4, 2).tolist())
    )
    assert {DPPolicy(only=[1, 0]).pes, DPPolicy(only=np.int64(3)).pes, DPPolicy().pes} == {(1, 0), (3,), ()}


@pytest.mark.parametrize("shape", [(0,), (4, 0)])
def test_a_tensor_without_elements_has_no_shards_on_a_list_of_pes_either(shape):
    assert place(shape, as_dtype("fp32"), DPPolicy(only=[0, 1]), machine()).holders == ()


NUMBERS = "give a PE's number, as in only=3, or a list of them, as in only=[0, 1]"


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ([], f"DPPolicy: only=[] names no PE; {NUMBERS}"),
        ("3", f"DPPolicy: only='3': '3' is no PE's number; {NUMBERS}"),
        ("", f"DPPolicy: only='': '' is no PE's number; {NUMBERS}"),
        (True, f"DPPolicy: only=True: True is no PE's number; {NUMBERS}"),
        (1.5, f"DPPolicy: only=1.5: 1.5 is no PE's number; {NUMBERS}"),
        (-1, f"DPPolicy: only=-1: -1 is no PE's number; {NUMBERS}"),
        ({0, 1}, f"DPPolicy: only={{0, 1}}: {{0, 1}} is no PE's number; {NUMBERS}"),
        ([0, [1]], f"DPPolicy: only=[0, [1]]: [1] is no PE's number; {NUMBERS}"),
        ([0, "1"], f"DPPolicy: only=[0, '1']: '1' is no PE's number; {NUMBERS}"),
        ((0, None), f"DPPolicy: only=(0, None): None is no PE's number; {NUMBERS}"),
        ([0, 2, 0], "DPPolicy: only=[0, 2, 0] names PE 0 twice; name each once"),
    ],
)
def test_what_names_no_pe_is_refused_where_the_policy_is_made(only, message):
    with pytest.raises(UsageError) as caught:
        DPPolicy(only=only)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (16, "DPPolicy: only=16 is no PE; PEs are 0..15"),
        ([3, 16], "DPPolicy: only=[3, 16]: 16 is no PE; PEs are 0..15"),
    ],
)
def test_a_pe_that_the_machine_does_not_have_is_refused_where_a_tensor_is_placed(only, message):
    with pytest.raises(UsageError) as caught:
        place((4,), as_dtype("fp32"), DPPolicy(only=only), machine())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"cube": "rowwise"},
            "DPPolicy: cube='rowwise' is unknown; did you mean 'row_wise'? "
            "(known: column_wise, replicate, row_wise, tiled)",
        ),
        ({"space": "HBM"}, "DPPolicy: space='HBM' is unknown; did you mean 'hbm'? (known: hbm, sram)"),
        (
            {"pe": None},
            "DPPolicy: pe=None is unknown; (known: column_wise, replicate, row_wise, tiled)",
        ),
    ],
)
def test_a_wrong_policy_is_refused_with_the_nearest_name(fields, message):
    with pytest.raises(UsageError) as caught:
        DPPolicy(**fields)
    assert str(caught.value) == message
