"""A translation covers each byte of an access once, at the nearest copy, and faults on what is in no tensor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.dtypes import as_dtype
from kernbench.errors import PageFaultError
from kernbench.memory.blocks import block_of, bytes_of
from kernbench.messages.access import Access
from kernbench.messages.commands import SourceLine
from kernbench.runtime.placement import WAYS, DPPolicy

VA = 0x4000_0000
DTYPES = ("fp64", "fp32", "fp16", "bf16", "fp8e4nv", "fp8e5", "int8", "int32", "int64", "int1")
POLICIES = st.builds(
    DPPolicy, sip=st.sampled_from(WAYS), cube=st.sampled_from(WAYS), pe=st.sampled_from(WAYS)
)
GRIDS = st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)])
SHAPES = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
LINE = SourceLine("gemm.py", 12)


def row_major(shape, itemsize):
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.insert(0, strides[0] * extent)
    return strides


@st.composite
def boxes(draw, shape, itemsize):
    """An affine access to a tensor: a strided box, its dimensions in any order, some broadcast, masked to a box."""
    va, extents, strides = VA, [], []
    for extent, stride in zip(shape, row_major(shape, itemsize), strict=True):
        start, step = draw(st.integers(0, extent - 1)), draw(st.sampled_from([1, 1, 1, 2, 3, -1]))
        room = (extent - start + step - 1) // step if step > 0 else start + 1
        va += start * stride
        extents.append(draw(st.integers(0 if draw(st.integers(0, 9)) == 0 else 1, room)))
        strides.append(step * stride)
    if draw(st.booleans()):
        extents.append(draw(st.integers(1, 3)))
        strides.append(0)
    order = draw(st.permutations(range(len(extents))))
    box, strides = [extents[d] for d in order], [strides[d] for d in order]
    before, after = ([draw(st.sampled_from([0, 0, 1, 2])) for _ in box] for _ in range(2))
    return Access(
        va=va,
        itemsize=itemsize,
        block_shape=tuple(b + n + a for b, n, a in zip(before, box, after, strict=True)),
        shape=tuple(box),
        strides=tuple(strides),
        origin=tuple(before),
    )


@st.composite
def lattices(draw, shape, itemsize):
    """An affine access with any strides, also ones that step over row ends, along diagonals, or over themselves."""
    n_elem = int(np.prod(shape))
    extents, strides, reach = [], [], 0
    for _ in range(draw(st.integers(1, 3))):
        stride = draw(st.integers(1, max(1, n_elem // 2)))
        extents.append(draw(st.integers(1, 1 + (n_elem - 1 - reach) // stride)))
        reach += (extents[-1] - 1) * stride
        strides.append(stride * itemsize)
    start = draw(st.integers(0, n_elem - 1 - reach))
    return Access(
        va=VA + start * itemsize,
        itemsize=itemsize,
        block_shape=tuple(extents),
        shape=tuple(extents),
        strides=tuple(strides),
        origin=(0,) * len(extents),
    )


@st.composite
def gathers(draw, shape, itemsize):
    """A dense access: lanes of a block at any elements of the tensor, also several at one."""
    n_elem = int(np.prod(shape))
    block = draw(st.integers(1, 24))
    lanes = np.array(sorted(draw(st.sets(st.integers(0, block - 1)))), np.int64)
    where = draw(st.lists(st.integers(0, n_elem - 1), min_size=len(lanes), max_size=len(lanes)))
    if draw(st.booleans()):
        where = sorted(where)
    return Access(
        va=VA,
        itemsize=itemsize,
        block_shape=(block,),
        shape=(len(lanes),),
        strides=(),
        origin=(0,),
        addresses=VA + itemsize * np.array(where, np.int64),
        lanes=lanes,
    )


def addresses_of(access):
    """The address of each active lane of an access, and the lanes' flat positions in its block."""
    if access.addresses is not None:
        return access.addresses, access.lanes
    addresses = np.full(access.shape, access.va, np.int64)
    for d, stride in enumerate(access.strides):
        along = np.arange(access.shape[d]) * stride
        addresses += along.reshape([-1 if e == d else 1 for e in range(len(access.shape))])
    block = np.arange(np.prod(access.block_shape, dtype=int)).reshape(access.block_shape)
    active = block[tuple(slice(o, o + n) for o, n in zip(access.origin, access.shape, strict=True))]
    return addresses.reshape(-1), active.reshape(-1)


def random_values(shape, dtype, seed):
    bits = np.random.default_rng(seed).integers(0, 256, int(np.prod(shape)) * dtype.size_bytes, np.uint8)
    return (bits % 2 if dtype.name == "int1" else bits).view(dtype.numpy).reshape(shape)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def whole(shape, itemsize):
    return Access(
        va=VA,
        itemsize=itemsize,
        block_shape=shape,
        shape=shape,
        strides=tuple(row_major(shape, itemsize)),
        origin=(0,) * len(shape),
    )


@settings(max_examples=400, deadline=None)
@given(data=st.data(), shape=SHAPES, policy=POLICIES, name=st.sampled_from(DTYPES))
def test_a_load_is_numpy_indexing_whatever_the_placement(new_machine, data, shape, policy, name):
    machine, dtype = new_machine(*(data.draw(GRIDS) for _ in range(3))), as_dtype(name)
    shards, values = machine.tensor(shape, name, policy), random_values(shape, dtype, seed=1)
    everything = whole(shape, dtype.size_bytes)
    machine.store.write(shards.pieces_of_all_copies(everything), bytes_of(values, everything))

    kinds = (kind(shape, dtype.size_bytes) for kind in (boxes, lattices, gathers))
    access = data.draw(st.one_of(*kinds))
    pe = data.draw(st.integers(0, len(machine.pes) - 1))
    pieces, cost_ps = machine.translator.translate(pe, access, None)

    covered = np.zeros(access.size_bytes, int)
    for piece in pieces:
        for i in range(piece.n_runs):
            covered[piece.offset + i * piece.offset_pitch :][: piece.run_bytes] += 1
    assert (covered == 1).all()
    assert sum(piece.size_bytes for piece in pieces) == access.size_bytes
    assert cost_ps == 1000

    addresses, lanes = addresses_of(access)
    expected = np.zeros(access.block_shape, dtype.numpy)
    expected.reshape(-1)[lanes] = values.reshape(-1)[(addresses - VA) // dtype.size_bytes]
    loaded = block_of(machine.store.read(pieces, access.size_bytes), access, dtype)
    assert same_bits(loaded, expected)
    assert loaded.flags.c_contiguous


@settings(max_examples=400, deadline=None)
@given(data=st.data(), shape=SHAPES, policy=POLICIES, name=st.sampled_from(DTYPES))
def test_a_store_is_numpy_assignment_where_the_pe_then_reads(new_machine, data, shape, policy, name):
    machine, dtype = new_machine(*(data.draw(GRIDS) for _ in range(3))), as_dtype(name)
    shards, values = machine.tensor(shape, name, policy), random_values(shape, dtype, seed=1)
    everything = whole(shape, dtype.size_bytes)
    machine.store.write(shards.pieces_of_all_copies(everything), bytes_of(values, everything))

    access = data.draw(boxes(shape, dtype.size_bytes) | gathers(shape, dtype.size_bytes))
    block = random_values(access.block_shape, dtype, seed=2)
    pe = data.draw(st.integers(0, len(machine.pes) - 1))
    pieces, _ = machine.translator.translate(pe, access, None)
    machine.store.write(pieces, bytes_of(block, access))

    addresses, lanes = addresses_of(access)
    expected = values.copy()
    expected.reshape(-1)[(addresses - VA) // dtype.size_bytes] = block.reshape(-1)[lanes]
    seen, _ = machine.translator.translate(pe, everything, None)
    assert same_bits(block_of(machine.store.read(seen, everything.size_bytes), everything, dtype), expected)


def test_a_tile_of_a_sharded_matrix_is_one_piece_for_each_cell(machine):
    """[8, 8] fp32, rows over 2 SIPs x 2 cubes, columns over 4 PEs: cells of 2 rows x 8 bytes."""
    machine.tensor((8, 8), "fp32", DPPolicy(sip="row_wise", cube="row_wise", pe="column_wise"))
    tile = Access(
        va=VA + 1 * 32 + 4, itemsize=4, block_shape=(4, 2), shape=(4, 2), strides=(32, 4), origin=(0, 0)
    )
    pieces, _ = machine.translator.translate(0, tile, None)
    assert [
        (p.owner - 100, p.pa & 0xFFFF, p.run_bytes, p.pitch, p.n_runs, p.offset, p.offset_pitch)
        for p in pieces
    ] == [
        (0, 12, 4, 4, 1, 0, 4),
        (1, 8, 4, 4, 1, 4, 4),
        (4, 4, 4, 8, 2, 8, 8),
        (5, 0, 4, 8, 2, 12, 8),
        (8, 4, 4, 4, 1, 24, 4),
        (9, 0, 4, 4, 1, 28, 4),
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (DPPolicy("replicate", "replicate", "replicate"), list(range(16))),
        (DPPolicy("replicate", "replicate", "row_wise"), [0] * 4 + [4] * 4 + [8] * 4 + [12] * 4),
        (DPPolicy("replicate", "row_wise", "row_wise"), [0] * 8 + [8] * 8),
        (DPPolicy("row_wise", "row_wise", "row_wise"), [0] * 16),
        (DPPolicy("row_wise", "row_wise", "replicate"), [0, 1, 2, 3] + [0] * 12),
    ],
    ids=str,
)
def test_a_pe_reads_its_own_copy_else_its_cubes_else_its_sips_else_the_first(machine, policy, expected):
    machine.tensor((1,), "fp32", policy)
    first = whole((1,), 4)
    owners = [machine.translator.translate(pe, first, None)[0][0].owner - 100 for pe in range(16)]
    assert owners == expected


def test_a_repeated_translation_is_the_same_object_until_a_tensor_goes(machine):
    shards = machine.tensor((64,), "fp32", DPPolicy())
    first, _ = machine.translator.translate(3, whole((64,), 4), None)
    assert machine.translator.translate(2, whole((64,), 4), None)[0] is first
    machine.translator.unmap(shards)
    with pytest.raises(PageFaultError):
        machine.translator.translate(3, whole((64,), 4), LINE)


def test_an_access_past_the_end_names_kernel_line_pe_address_and_tensor(machine):
    machine.tensor((64, 32), "fp16", DPPolicy())
    rows = Access(
        va=VA + 62 * 64, itemsize=2, block_shape=(4, 32), shape=(4, 32), strides=(64, 2), origin=(0, 0)
    )
    with pytest.raises(PageFaultError) as caught:
        machine.translator.translate(5, rows, LINE)
    assert str(caught.value) == (
        "sip0.cube1.pe1: gemm.py:12: address 0x4000_1000 is not mapped; it is 1 B past the end of 'x' [64, 32] fp16 "
        "(0x4000_0000..0x4000_0fff); mask the lanes outside or check the strides"
    )


def test_an_access_before_a_tensor_names_the_nearest_one(machine):
    machine.tensor((64,), "fp32", DPPolicy(), name="far", va=VA - 0x100000)
    machine.tensor((64,), "fp32", DPPolicy())
    falling = Access(va=VA + 8, itemsize=4, block_shape=(8,), shape=(8,), strides=(-4,), origin=(0,))
    with pytest.raises(PageFaultError) as caught:
        machine.translator.translate(0, falling, LINE)
    assert str(caught.value) == (
        "sip0.cube0.pe0: gemm.py:12: address 0x3fff_ffec is not mapped; "
        "it is 20 B before the beginning of 'x' [64] fp32 "
        "(0x4000_0000..0x4000_00ff); mask the lanes outside or check the strides"
    )


def test_an_access_without_any_tensor_says_so(machine):
    with pytest.raises(PageFaultError) as caught:
        machine.translator.translate(0, whole((1,), 4), None)
    assert str(caught.value) == "sip0.cube0.pe0: address 0x4000_0000 is not mapped; no tensor is"


def lanes_at(*addresses):
    return Access(
        va=addresses[0],
        itemsize=4,
        block_shape=(len(addresses),),
        shape=(len(addresses),),
        strides=(),
        origin=(0,),
        addresses=np.array(addresses),
        lanes=np.arange(len(addresses)),
    )


def test_a_gather_may_touch_several_tensors(machine):
    policy = DPPolicy()
    machine.tensor((4,), "int32", policy, name="x")
    machine.tensor((4,), "int32", policy, name="y", va=VA + 0x1000)
    for base in (0, 0x1000):
        access = Access(va=VA + base, itemsize=4, block_shape=(4,), shape=(4,), strides=(4,), origin=(0,))
        pieces, _ = machine.translator.translate(0, access, None)
        machine.store.write(pieces, bytes_of(np.arange(4, dtype=np.int32) + base, access))
    access = lanes_at(VA + 0x1004, VA + 8, VA + 0x100C)
    pieces, _ = machine.translator.translate(0, access, None)
    assert block_of(machine.store.read(pieces, 12), access, as_dtype("int32")).tolist() == [0x1001, 2, 0x1003]


@pytest.mark.parametrize("bad", [VA - 4, VA + 16, VA + 14])
def test_one_lane_outside_is_a_fault(machine, bad):
    machine.tensor((4,), "int32", DPPolicy())
    with pytest.raises(
        PageFaultError, match=f"address {max(bad, VA + 16) if bad > VA else bad:#_x} is not mapped"
    ):
        machine.translator.translate(0, lanes_at(VA, bad), None)


def test_an_empty_access_touches_nothing_and_faults_nowhere(machine):
    nothing = Access(va=0, itemsize=4, block_shape=(4,), shape=(0,), strides=(4,), origin=(0,))
    assert machine.translator.translate(0, nothing, None) == ((), 1000)
