"""The memory map says where each byte of a tensor lies, page by page and shard by shard, and what that takes.

The machine is `tiny`: 4 PEs on a 2 x 2 grid, pages of 4 KiB, and a page directory of 4 KiB at the beginning of pe0's
slice. Physical memory begins at 1 << 47 with the four slices of 16 MiB; the one bank of SRAM follows.
"""

import pytest

from kernbench import simulate
from kernbench.analysis.memory_map import KindOfUse, Layout, Mapped, PeakUse, Shard, memory_map
from kernbench.device.placement import DPPolicy
from kernbench.topology.ids import PeId

VA = 0x4000_0000
SLICES = (0x8000_0000_0000, 0x8000_0100_0000, 0x8000_0200_0000, 0x8000_0300_0000)
DIRECTORY = 4096
SRAM = 0x8000_0400_0000
STARTS = (SLICES[0] + DIRECTORY, *SLICES[1:])  # of what is mapped first


def map_of(program, *overrides):
    """The map of what ``program(torch)`` makes."""
    simulation = simulate("tiny", mode="data", overrides=overrides)
    heap, records = simulation.device.heap, []
    heap.mapped = lambda mapping, policy: records.append(
        Mapped(mapping=mapping, policy=str(policy), others=tuple(heap.mappings.values()))
    )
    program(simulation.torch)
    return memory_map(records, simulation.graph, simulation.machine.addresses)


def row_of(*shape, **policy):
    """The row of an fp32 tensor that is alone."""
    made = map_of(lambda torch: torch.empty(*shape, policy=DPPolicy(**policy), name="x"))
    return made.tensors[0]


def pages(tensor):
    """``(pages, split ones, segments per page, segments, bytes of entries)``."""
    return tensor.n_pages, tensor.n_split_pages, tensor.segments, tensor.n_segments, tensor.table_bytes


def shard(part, pe, pa, size_bytes):
    return Shard(
        part=part,
        pe=PeId(0, 0, pe),
        kind="hbm",
        memory=f"sip0.cube0.hbm{pe}",
        pa=pa,
        size_bytes=size_bytes,
    )


def parts_of(tensor):
    return [(shard.pe.pe, shard.part, shard.size_bytes) for shard in tensor.shards]


def test_rows_that_fill_pages_leave_them_whole():
    x = row_of(8, 512, pe="row_wise")  # 2 rows of 2 KiB for each PE
    assert (x.name, x.shape, x.dtype, x.policy) == (
        "x",
        (8, 512),
        "fp32",
        "sip=replicate, cube=row_wise, pe=row_wise",
    )
    assert (x.va, x.size_bytes, x.page_bytes, x.n_copies) == (VA, 16384, 4096, 1)
    assert pages(x) == (4, 0, (1, 1), 4, 4 * 32)
    assert x.shards == tuple(shard(f"[{2 * pe}:{2 * pe + 2}, :]", pe, STARTS[pe], 4096) for pe in range(4))


def test_columns_split_every_page():
    x = row_of(
        8, 512, pe="column_wise"
    )  # a page has 2 rows, and of each row 512 B for each PE: 4 segments of 2 runs
    assert pages(x) == (4, 4, (4, 4), 16, 16 * 32)
    assert x.shards == tuple(
        shard(f"[:, {128 * pe}:{128 * pe + 128}]", pe, STARTS[pe], 8 * 512) for pe in range(4)
    )


def test_every_pe_has_a_copy_and_entries_of_its_own():
    x = row_of(1024, pe="replicate")
    assert pages(x) == (1, 0, (1, 1), 1, 4 * 32)
    assert (x.size_bytes, x.n_copies) == (4096, 4)
    assert x.shards == tuple(shard("[:]", pe, STARTS[pe], 4096) for pe in range(4))


def test_uneven_shards_split_the_pages_that_they_meet_in():
    x = row_of(
        3, 1000, pe="row_wise"
    )  # borders at 4000 and 8000 B: in the pages 0 and 1 of 3; nothing for pe3
    assert pages(x) == (3, 2, (1, 2), 5, 5 * 32)
    assert parts_of(x) == [(0, "[0:1, :]", 4000), (1, "[1:2, :]", 4000), (2, "[2:3, :]", 4000)]
    y = row_of(10, pe="row_wise")  # ceil(10 / 4) for each, while there are any
    assert pages(y) == (1, 1, (4, 4), 4, 4 * 32)
    assert parts_of(y) == [(0, "[0:3]", 12), (1, "[3:6]", 12), (2, "[6:9]", 12), (3, "[9:10]", 4)]


def test_a_tensor_without_bytes_has_an_address_and_no_pages():
    empty, next_one = map_of(lambda torch: [torch.empty(0, 3), torch.empty(4)]).tensors
    assert (empty.va, empty.size_bytes, empty.n_copies, empty.shards) == (VA, 0, 0, ())
    assert pages(empty) == (0, 0, (0, 0), 0, 0)
    assert next_one.va == VA + 4096  # behind the page that is never mapped


@pytest.mark.parametrize(
    ("shape", "way", "parts"),
    [
        ((), "replicate", "[]"),
        ((4, 3, 8), "tiled", "[0:2, :, 0:4] [0:2, :, 4:8] [2:4, :, 0:4] [2:4, :, 4:8]"),
        ((4, 3, 8), "row_wise", "[0:1, :, :] [1:2, :, :] [2:3, :, :] [3:4, :, :]"),
        ((1, 8), "column_wise", "[:, 0:2] [:, 2:4] [:, 4:6] [:, 6:8]"),
    ],
)
def test_parts_are_written_as_numpy_indexes(shape, way, parts):
    shards = row_of(shape, pe=way).shards
    assert " ".join(dict.fromkeys(shard.part for shard in shards)) == parts


def test_shards_in_sram_name_their_bank():
    x = row_of(1024, pe="row_wise", space="sram")
    assert x.policy == "sip=replicate, cube=row_wise, pe=row_wise, space=sram"
    assert [(s.pe.pe, s.kind, s.memory, s.pa, s.size_bytes) for s in x.shards] == [
        (pe, "sram", "sip0.cube0.sram0", SRAM + 1024 * pe, 1024) for pe in range(4)
    ]


def test_preloaded_tlbs_need_no_table():
    made = map_of(lambda torch: torch.empty(1024), "pe.mmu.miss=preload")
    assert (made.tensors[0].n_segments, made.tensors[0].table_bytes) == (4, 0)
    assert made.tensors[0].shards[0].pa == SLICES[0]
    assert made.layout.directory_bytes == 0
    assert [use.kind for use in made.uses] == ["hbm"] * 4


def test_use_counts_whole_bursts_of_all_memories():
    def program(torch):
        x = torch.empty(10, policy=DPPolicy("row_wise"), name="x")
        return [x, torch.empty(1024, policy=DPPolicy(space="sram"), name="y")]

    made = map_of(program)
    bursts = [use(f"pe{pe}", 32) for pe in range(4)]  # 12, 12, 12 and 4 B in bursts of 32 B
    assert made.uses == (
        *bursts,
        # the directory, and for each tensor a page of 4 segments of 32 B
        PeakUse(kind="page_tables", name="sip0.cube0", most_bytes=DIRECTORY + 2 * 128),
        use("sram0", 4096, kind="sram"),
    )
    mib = 1 << 20
    assert list(made.kinds()) == [
        kind("hbm", 4, 4, (32, 32), 16 * mib),
        kind("page_tables", 1, 1, (4352, 4352), 64 * mib),
        kind("sram", 1, 1, (4096, 4096), mib),
    ]


def use(part, most_bytes, kind="hbm"):
    return PeakUse(kind=kind, name=f"sip0.cube0.{part}", most_bytes=most_bytes)


def kind(name, n_used, n_all, least_to_most, capacity_bytes):
    least_bytes, most_bytes = least_to_most
    return KindOfUse(
        kind=name,
        n_used=n_used,
        n_all=n_all,
        least_bytes=least_bytes,
        most_bytes=most_bytes,
        capacity_bytes=capacity_bytes,
    )


def test_a_freed_tensor_is_in_the_map_and_its_memory_is_counted_once():
    def program(torch):
        x = torch.empty(4096, name="x")  # 4 KiB for each PE, and 4 entries of one segment
        del x
        return torch.empty(4096, name="y")

    made = map_of(program)
    assert [(tensor.name, tensor.va) for tensor in made.tensors] == [("x", VA), ("y", VA)]
    assert [use.most_bytes for use in made.uses] == [4096] * 4 + [DIRECTORY + 4 * 32]


def test_the_most_at_one_time_is_remembered():
    def program(torch):
        x, y = torch.empty(4096), torch.empty(4096)
        del x, y
        return torch.empty(4)

    assert [use.most_bytes for use in map_of(program).uses] == [8192] * 4 + [DIRECTORY + 8 * 32]


def test_a_program_without_tensors_uses_nothing():
    made = map_of(lambda torch: None)
    assert (made.tensors, made.uses) == ((), ())
    assert [(use.n_used, use.least_bytes, use.most_bytes) for use in made.kinds()] == [(0, 0, 0)] * 3


def test_the_layout_follows_from_the_machine():
    mib = 1 << 20
    assert map_of(lambda torch: None).layout == Layout(
        va_base=VA,
        va_end=1 << 47,
        page_bytes=4096,
        pa_base=1 << 47,
        window_bytes=128 * mib,  # the power of two that holds 65 MiB
        hbm_bytes=64 * mib,
        slice_bytes=16 * mib,
        sram_bytes=mib,
        bank_bytes=mib,
        n_pes=4,
        n_cubes=1,
        n_banks=1,
        directory_bytes=DIRECTORY,
    )
