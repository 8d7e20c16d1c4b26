"""A translation covers each byte of an access once, in its page, at the nearest copy; what is in no tensor faults."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.components.control_cpu import map_bytes
from kernbench.device.placement import WAYS, DPPolicy
from kernbench.dtypes import as_dtype
from kernbench.errors import PageFaultError
from kernbench.memory.blocks import block_of, bytes_of, upward
from kernbench.memory.cut import cut, run_starts
from kernbench.memory.mapping import TableCopy
from kernbench.memory.page_table import N_PAST
from kernbench.messages.access import Access
from kernbench.messages.fabric import MmuMapMsg
from kernbench.messages.owners import LaunchId
from kernbench.messages.source_line import SourceLine

VA = 0x4000_0000
DTYPES = ("fp64", "fp32", "fp16", "bf16", "fp8e4nv", "fp8e5", "int8", "int32", "int64", "int1")
POLICIES = st.builds(
    DPPolicy, sip=st.sampled_from(WAYS), cube=st.sampled_from(WAYS), pe=st.sampled_from(WAYS)
)
GRIDS = st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)])
PAGES = st.sampled_from([8, 16, 32, 64, 256, 4096])
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


def byte_addresses_of(access):
    """The address of every byte of an access, in memory order."""
    if access.addresses is not None:
        return (access.addresses[:, None] + np.arange(access.itemsize)).reshape(-1)
    if access.size_bytes == 0:
        return np.empty(0, np.int64)
    va, run_bytes, outer, _ = upward(access)[0].runs()
    return (run_starts(va, outer)[:, None] + np.arange(run_bytes)).reshape(-1)


def random_values(shape, dtype, seed):
    bits = np.random.default_rng(seed).integers(0, 256, int(np.prod(shape)) * dtype.size_bytes, np.uint8)
    return (bits % 2 if dtype.name == "int1" else bits).view(dtype.numpy).reshape(shape)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def whole(shape, itemsize, va=VA):
    return Access(
        va=va,
        itemsize=itemsize,
        block_shape=shape,
        shape=shape,
        strides=tuple(row_major(shape, itemsize)),
        origin=(0,) * len(shape),
    )


@settings(max_examples=400, deadline=None)
@given(data=st.data(), shape=SHAPES, policy=POLICIES, name=st.sampled_from(DTYPES))
def test_a_load_is_numpy_indexing_whatever_the_placement(new_machine, data, shape, policy, name):
    page_bytes = data.draw(PAGES)
    machine = new_machine(*(data.draw(GRIDS) for _ in range(3)), page_bytes=page_bytes)
    dtype = as_dtype(name)
    shards, values = machine.tensor(shape, name, policy), random_values(shape, dtype, seed=1)
    everything = whole(shape, dtype.size_bytes)
    machine.store.write(shards.pieces_of_all_copies(everything), bytes_of(values, everything))

    kinds = (kind(shape, dtype.size_bytes) for kind in (boxes, lattices, gathers))
    access = data.draw(st.one_of(*kinds))
    pe = data.draw(st.integers(0, len(machine.pes) - 1))
    pages = machine.page_tables.of(pe).translate(pe, access, None)
    pieces = machine.page_tables.pieces(pe, access, None)

    byte_pages = byte_addresses_of(access) // page_bytes
    covered = np.zeros(access.size_bytes, int)
    for page, inside in pages:
        for piece in inside:
            for i in range(piece.n_runs):
                at = slice(piece.offset + i * piece.offset_pitch, None)
                covered[at][: piece.run_bytes] += 1
                assert (byte_pages[at][: piece.run_bytes] == page).all()
    assert (covered == 1).all()
    assert len({page for page, _ in pages}) == len(pages)
    assert pieces == tuple(piece for page in pages for piece in page.pieces)
    assert sum(piece.size_bytes for piece in pieces) == access.size_bytes

    addresses, lanes = addresses_of(access)
    expected = np.zeros(access.block_shape, dtype.numpy)
    expected.reshape(-1)[lanes] = values.reshape(-1)[(addresses - VA) // dtype.size_bytes]
    loaded = block_of(machine.store.read(pieces, access.size_bytes), access, dtype)
    assert same_bits(loaded, expected)
    assert loaded.flags.c_contiguous


@settings(max_examples=400, deadline=None)
@given(data=st.data(), shape=SHAPES, policy=POLICIES, name=st.sampled_from(DTYPES))
def test_a_store_is_numpy_assignment_where_the_pe_then_reads(new_machine, data, shape, policy, name):
    machine = new_machine(*(data.draw(GRIDS) for _ in range(3)), page_bytes=data.draw(PAGES))
    dtype = as_dtype(name)
    shards, values = machine.tensor(shape, name, policy), random_values(shape, dtype, seed=1)
    everything = whole(shape, dtype.size_bytes)
    machine.store.write(shards.pieces_of_all_copies(everything), bytes_of(values, everything))

    access = data.draw(boxes(shape, dtype.size_bytes) | gathers(shape, dtype.size_bytes))
    block = random_values(access.block_shape, dtype, seed=2)
    pe = data.draw(st.integers(0, len(machine.pes) - 1))
    pieces = machine.page_tables.pieces(pe, access, None)
    machine.store.write(pieces, bytes_of(block, access))

    addresses, lanes = addresses_of(access)
    expected = values.copy()
    expected.reshape(-1)[(addresses - VA) // dtype.size_bytes] = block.reshape(-1)[lanes]
    seen = machine.page_tables.pieces(pe, everything, None)
    assert same_bits(block_of(machine.store.read(seen, everything.size_bytes), everything, dtype), expected)


def physical_bytes(pieces):
    """Every physical byte of ``pieces``, in order."""
    runs = [
        np.arange(p.pa + i * p.pitch, p.pa + i * p.pitch + p.run_bytes)
        for p in pieces
        for i in range(p.n_runs)
    ]
    return np.sort(np.concatenate(runs)).tolist() if runs else []


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=SHAPES, policy=POLICIES, name=st.sampled_from(DTYPES))
def test_every_byte_of_a_tensor_reaches_each_physical_byte_exactly_once(
    new_machine, data, shape, policy, name
):
    """Byte by byte: no two virtual bytes meet, and together all PEs reach every copy's every byte."""
    machine = new_machine(*(data.draw(GRIDS) for _ in range(3)), page_bytes=data.draw(PAGES))
    shards = machine.tensor(shape, name, policy)
    there = {
        copy.pa + i
        for cell, copies in enumerate(shards.copies)
        for copy in copies
        for i in range(shards.grid.cell_bytes(cell))
    }
    reached = set()
    for pe in range(len(machine.pes)):
        every_byte = (
            Access(va=VA + i, itemsize=1, block_shape=(1,), shape=(1,), strides=(1,), origin=(0,))
            for i in range(shards.size_bytes)
        )
        found = [physical_bytes(machine.page_tables.pieces(pe, access, None)) for access in every_byte]
        assert all(len(one) == 1 for one in found)
        own = {one[0] for one in found}
        assert len(own) == shards.size_bytes
        assert sorted(own) == physical_bytes(
            machine.page_tables.pieces(pe, whole(shape, as_dtype(name).size_bytes), None)
        )
        reached |= own
    assert reached <= there
    n_copies = max(map(len, shards.copies))
    if n_copies == 1 or policy == DPPolicy("replicate", "replicate", "replicate"):
        assert reached == there


@settings(max_examples=200, deadline=None)
@given(data=st.data(), shape=SHAPES, policy=POLICIES)
def test_an_entry_has_a_segment_for_each_affine_part_of_its_page(new_machine, data, shape, policy):
    page_bytes = data.draw(PAGES)
    machine = new_machine(*(data.draw(GRIDS) for _ in range(3)), page_bytes=page_bytes)
    shards = machine.tensor(shape, "fp32", policy)
    entries, mapping = machine.mapping.entries, machine.mapping
    starts = range(0, shards.size_bytes, page_bytes)
    assert mapping.n_pages == len(starts)
    assert list(mapping.pages) == [(VA + at) // page_bytes for at in starts]
    for page, at in enumerate(starts):
        parts = cut(shards.grid, at, min(page_bytes, shards.size_bytes - at), ())
        assert entries.segments(page) == len(parts)
        assert entries.first(page) == sum(entries.segments(before) for before in range(page))
    assert entries.total == sum(entries.segments(page) for page in range(mapping.n_pages))


@pytest.mark.parametrize(
    ("policy", "copies", "leaf_entries"),
    [
        (DPPolicy("row_wise", "row_wise", "row_wise"), (16, 16), 16),
        (DPPolicy("replicate", "row_wise", "row_wise"), (8, 8), 8),
        (DPPolicy("replicate", "replicate", "row_wise"), (8, 4), 4),
        (DPPolicy("replicate", "replicate", "replicate"), (8, 4), 4),
    ],
    ids=str,
)
def test_a_map_message_carries_the_copies_that_its_pes_use(machine, policy, copies, leaf_entries):
    """64 rows of 64 B on 2 SIPs x 2 cubes x 4 PEs, in one page: 16 B of range, 32 B for each copy or entry."""
    machine.tensor((64, 16), "fp32", policy)
    mapping, (of_sip, of_cube) = machine.mapping, copies
    assert map_bytes(MmuMapMsg, mapping, range(8)) == 16 + 32 * of_sip
    assert map_bytes(MmuMapMsg, mapping, range(4)) == 16 + 32 * of_cube
    assert mapping.leaf_bytes(4) == 32 * leaf_entries


def test_a_walk_reads_the_directories_and_then_the_entry_within_the_leaf(new_machine):
    """[64, 16] fp32 over 4 PEs, pages of 1 KiB: each page is one PE's; a leaf of 4 entries."""
    machine = new_machine(sips=(1, 1), cubes=(1, 1), page_bytes=1024)
    machine.tensor((64, 16), "fp32", DPPolicy())
    mapping = machine.mapping
    mapping.blocks[0] = TableCopy(100, 0x5000, 101, 0x9000)
    first = VA // 1024
    place = first // 512 % 512 * 8
    assert [(p.owner, p.pa, p.size_bytes) for p in mapping.walk(first + 2, 0, 1, 3)] == [
        (101, 0x9000 + place, 8),
        (101, 0xA000 + place, 8),
        (100, 0x5000 + 2 * 32, 32),
    ]
    leaf, directory = mapping.leaf_piece(0, 4), mapping.directory_piece(0)
    assert (leaf.pa, leaf.size_bytes) == (0x5000, 128)
    assert (directory.pa, directory.size_bytes) == (0x9000 + place, 8)


def test_pes_with_copies_of_their_own_have_entries_of_their_own(new_machine):
    machine = new_machine(sips=(1, 1), cubes=(1, 1), page_bytes=1024)
    machine.tensor((64, 16), "fp32", DPPolicy("replicate", "replicate", "replicate"))
    mapping = machine.mapping
    mapping.blocks[0] = TableCopy(100, 0x5000, 101, 0x9000)
    (entry,) = mapping.walk(VA // 1024 + 1, 0, 3, 1)
    assert entry.pa == 0x5000 + 32 * (3 * 4 + 1)
    assert mapping.leaf_bytes(4) == 4 * 4 * 32


def test_a_tile_of_a_sharded_matrix_is_one_piece_for_each_cell(machine):
    """[8, 8] fp32, rows over 2 SIPs x 2 cubes, columns over 4 PEs: cells of 2 rows x 8 bytes."""
    machine.tensor((8, 8), "fp32", DPPolicy(sip="row_wise", cube="row_wise", pe="column_wise"))
    tile = Access(
        va=VA + 1 * 32 + 4, itemsize=4, block_shape=(4, 2), shape=(4, 2), strides=(32, 4), origin=(0, 0)
    )
    pieces = machine.page_tables.pieces(0, tile, None)
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
    owners = [machine.page_tables.pieces(pe, first, None)[0].owner - 100 for pe in range(16)]
    assert owners == expected


def test_a_repeated_translation_is_the_same_object_until_a_tensor_goes(machine):
    machine.tensor((64,), "fp32", DPPolicy())
    table = machine.page_tables.of(3)
    first = table.translate(3, whole((64,), 4), None)
    assert table.translate(2, whole((64,), 4), None) is first
    table.unmap(machine.mapping)
    with pytest.raises(PageFaultError):
        table.translate(3, whole((64,), 4), LINE)


def test_an_access_past_the_end_names_kernel_line_pe_address_and_tensor(machine):
    machine.tensor((64, 32), "fp16", DPPolicy())
    rows = Access(
        va=VA + 62 * 64, itemsize=2, block_shape=(4, 32), shape=(4, 32), strides=(64, 2), origin=(0, 0)
    )
    with pytest.raises(PageFaultError) as caught:
        machine.page_tables.pieces(5, rows, LINE)
    assert str(caught.value) == (
        "sip0.cube1.pe1: gemm.py:12: address 0x4000_1000 is not mapped; it is 1 B past the end of 'x' [64, 32] fp16 "
        "(0x4000_0000..0x4000_0fff); nothing else is mapped here; mask the lanes outside or check the strides"
    )


def test_a_fault_lists_the_nearest_other_tensors_and_counts_the_rest(machine):
    for i, name in enumerate("abcdef"):
        machine.tensor((64,), "fp32", DPPolicy(), name=name, va=VA + 0x10000 * i)
    with pytest.raises(PageFaultError) as caught:
        machine.page_tables.pieces(0, lanes_at(VA + 0x20200), LINE)
    assert str(caught.value) == (
        "sip0.cube0.pe0: gemm.py:12: address 0x4002_0200 is not mapped; it is 257 B past the end of 'c' [64] fp32 "
        "(0x4002_0000..0x4002_00ff); also mapped here: 'd' 0x4003_0000..0x4003_00ff, 'b' 0x4001_0000..0x4001_00ff, "
        "'e' 0x4004_0000..0x4004_00ff, 2 more; mask the lanes outside or check the strides"
    )


def test_an_access_before_a_tensor_names_the_nearest_one(machine):
    machine.tensor((64,), "fp32", DPPolicy(), name="far", va=VA - 0x100000)
    machine.tensor((64,), "fp32", DPPolicy())
    falling = Access(va=VA + 8, itemsize=4, block_shape=(8,), shape=(8,), strides=(-4,), origin=(0,))
    with pytest.raises(PageFaultError) as caught:
        machine.page_tables.pieces(0, falling, LINE)
    assert str(caught.value) == (
        "sip0.cube0.pe0: gemm.py:12: address 0x3fff_ffec is not mapped; "
        "it is 20 B before the beginning of 'x' [64] fp32 "
        "(0x4000_0000..0x4000_00ff); also mapped here: 'far' 0x3ff0_0000..0x3ff0_00ff; "
        "mask the lanes outside or check the strides"
    )


def test_an_access_without_any_tensor_says_so(machine):
    with pytest.raises(PageFaultError) as caught:
        machine.page_tables.pieces(0, whole((1,), 4), None)
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
        pieces = machine.page_tables.pieces(0, access, None)
        machine.store.write(pieces, bytes_of(np.arange(4, dtype=np.int32) + base, access))
    access = lanes_at(VA + 0x1004, VA + 8, VA + 0x100C)
    pieces = machine.page_tables.pieces(0, access, None)
    assert block_of(machine.store.read(pieces, 12), access, as_dtype("int32")).tolist() == [0x1001, 2, 0x1003]


@pytest.mark.parametrize("bad", [VA - 4, VA + 16, VA + 14])
def test_one_lane_outside_is_a_fault(machine, bad):
    machine.tensor((4,), "int32", DPPolicy())
    with pytest.raises(
        PageFaultError, match=f"address {max(bad, VA + 16) if bad > VA else bad:#_x} is not mapped"
    ):
        machine.page_tables.pieces(0, lanes_at(VA, bad), None)


def test_an_empty_access_touches_nothing_and_faults_nowhere(machine):
    nothing = Access(va=0, itemsize=4, block_shape=(4,), shape=(0,), strides=(4,), origin=(0,))
    assert machine.page_tables.of(0).translate(0, nothing, None) == ()
    assert machine.page_tables.pieces(0, nothing, None) == ()


def test_a_fault_knows_the_tensors_that_were_unmapped_last(machine):
    table = machine.page_tables.of(0)
    for i in range(N_PAST + 1):
        shards = machine.tensor((64,), "fp32", DPPolicy(), name=f"t{i}", va=VA + 0x1000 * i)
        shards.life.made = SourceLine("host.py", i)
        shards.life.end(f"at host.py:{1000 + i}")
        machine.page_tables.unmap([machine.mapping])
    with pytest.raises(PageFaultError) as caught:
        table.translate(0, whole((64,), 4, va=VA + 0x1000 * N_PAST), LINE)
    assert str(caught.value) == (
        "sip0.cube0.pe0: gemm.py:12: address 0x4004_0000 is in 't64' [64] fp32 (0x4004_0000..0x4004_00ff), made at "
        "host.py:64, which was freed at host.py:1064; free it after the last launch that uses it, or make a new tensor"
    )
    with pytest.raises(PageFaultError, match="is not mapped; no tensor is"):
        table.translate(0, whole((64,), 4), LINE)


@pytest.mark.parametrize("reads", [lambda: whole((64,), 4), lambda: lanes_at(VA + 4, VA + 12)])
def test_a_mapped_tensor_is_there_for_the_launches_made_before_it_was_freed(machine, reads):
    shards = machine.tensor((64,), "fp32", DPPolicy())
    machine.page_tables.begin(LaunchId(machine), [0])
    shards.life.end("at host.py:9")
    machine.page_tables.begin(LaunchId(machine), [1])
    machine.page_tables.pieces(0, reads(), LINE)
    machine.page_tables.pieces(2, reads(), LINE)
    with pytest.raises(PageFaultError, match=r"made at \?:0, which was freed at host.py:9"):
        machine.page_tables.pieces(1, reads(), LINE)
