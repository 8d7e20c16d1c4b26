"""A policy cuts a tensor into rectangles that cover it, each dealt to the PEs that the policy says, and in no smaller
shards than it says."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.device.placement import SPACES, WAYS, DPPolicy, default_policy, joined, place
from kernbench.dtypes import as_dtype
from kernbench.errors import UsageError
from kernbench.memory.cut import CellBorders

GRIDS = st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)])
ROW_WISE = DPPolicy(sip="row_wise")
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


LEAST = 64


@given(
    shape=st.lists(st.integers(1, 24), min_size=1, max_size=3).map(tuple),
    policy=POLICIES | st.builds(DPPolicy, only=st.permutations(range(16)), space=st.sampled_from(SPACES)),
    dtype=st.sampled_from(["int8", "fp16", "fp64"]),
    least_bytes=st.integers(1, 2 * LEAST),
    turn=st.integers(0, 20),
)
def test_shards_are_parts_together_until_they_have_least_bytes(shape, policy, dtype, least_bytes, turn):
    parts = place(shape, as_dtype(dtype), policy, machine())
    shards = joined(parts, least_bytes, turn)
    size_bytes = int(np.prod(shape)) * as_dtype(dtype).size_bytes
    of_shard = np.empty((parts.grid.rows, parts.grid.row_bytes), int)
    of_shard.fill(-1)
    for cell, holders in enumerate(shards.holders):
        rows, columns = box(shards.grid, cell)
        assert (of_shard[rows, columns] == -1).all()
        of_shard[rows, columns] = cell
        assert shards.grid.cell_bytes(cell) >= min(least_bytes, size_bytes)
        assert holders
    assert (of_shard >= 0).all()
    inside = [set() for _ in shards.holders]
    for part, holders in enumerate(parts.holders):
        (shard,) = np.unique(of_shard[box(parts.grid, part)])  # no part is cut
        inside[shard].add(holders)
    # all copies of a shard are held by PEs of one of its parts, and turn about by those of each
    assert all(shards.holders[shard] in found for shard, found in enumerate(inside))
    turns = [joined(parts, least_bytes, turn).holders for turn in range(parts.grid.n_cells)]
    assert [set(holders) for holders in zip(*turns)] == inside


def box(grid, cell):
    """The rows of a cell, and the bytes of each."""
    i, j = divmod(cell, grid.n_cols)
    return slice(*grid.row_bounds[i : i + 2]), slice(*grid.col_bounds[j : j + 2])


@given(n_elem=st.integers(1, 3000), least_bytes=st.integers(1, 300))
def test_no_more_parts_lie_together_than_least_bytes_asks_for(n_elem, least_bytes):
    parts = place((n_elem,), as_dtype("int8"), ROW_WISE, machine()).grid.col_bounds
    shards = joined(place((n_elem,), as_dtype("int8"), ROW_WISE, machine()), least_bytes).grid.col_bounds
    for start, end in pairwise(shards):
        between = [at for at in parts if start < at < end]
        assert not [at for at in between if at - start >= least_bytes and end - at >= least_bytes]


def test_a_vector_of_two_rows_of_hbm_is_two_pieces_for_whoever_reads_it(graph_of):
    spec = graph_of("default").spec
    parts = place((1024,), as_dtype("fp16"), default_policy(spec), spec)
    shards = joined(parts, default_policy(spec).least_bytes)
    assert (parts.grid.n_cells, parts.grid.cell_bytes(0)) == (128, 16)
    assert shards == (CellBorders(1, 2048, (0, 1), (0, 1024, 2048)), ((0,), (64,)))
    assert [joined(parts, 1024, turn).holders for turn in (1, 63, 64)] == [
        ((1,), (65,)),
        ((63,), (127,)),
        ((0,), (64,)),
    ]


def test_what_is_over_joins_the_last_shard():
    """10 parts of 1 B, 4 together: 4 and 6, not 4, 4 and 2."""
    parts = place((10,), as_dtype("int8"), ROW_WISE, machine())
    assert parts.holders == ((0,), (1,), (2,), (4,), (5,), (8,), (9,), (10,), (12,), (13,))
    assert joined(parts, 4) == (CellBorders(1, 10, (0, 1), (0, 4, 10)), ((0,), (5,)))


def test_rows_are_joined_first_and_columns_where_all_rows_are_not_enough():
    """4 x 4 B in tiles of 1 x 1 B: all rows of a column are 4 B, those of two 8 B."""
    parts = place((4, 4), as_dtype("int8"), DPPolicy("replicate", "tiled", "tiled"), machine((1, 1), (2, 2)))
    assert parts.grid == CellBorders(4, 4, (0, 1, 2, 3, 4), (0, 1, 2, 3, 4))
    assert joined(parts, 2).grid == CellBorders(4, 4, (0, 2, 4), (0, 1, 2, 3, 4))
    assert joined(parts, 4).grid == CellBorders(4, 4, (0, 4), (0, 1, 2, 3, 4))
    assert joined(parts, 5).grid == CellBorders(4, 4, (0, 4), (0, 2, 4))
    assert joined(parts, 17).grid == CellBorders(4, 4, (0, 4), (0, 4))


@pytest.mark.parametrize("topology", ["tiny", "default", "big"])
def test_without_a_policy_each_byte_is_once_in_a_shard_of_a_row_of_hbm_or_more(graph_of, topology):
    assert default_policy(graph_of(topology).spec) == DPPolicy(
        sip="row_wise", cube="row_wise", pe="row_wise", least_bytes=1024
    )


def test_the_least_shard_is_a_row_of_the_machines_own_hbm(graph_of):
    assert default_policy(graph_of("tiny", "cube.hbm.org.row=2048").spec).least_bytes == 2048


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
        ({"least_bytes": -1}, "DPPolicy: least_bytes=-1; give a whole number, 0 or more"),
        ({"least_bytes": "1 KiB"}, "DPPolicy: least_bytes='1 KiB'; give a whole number, 0 or more"),
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
