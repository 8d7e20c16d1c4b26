"""Every byte of memory has exactly one owner and one address; a PE's slice is all or part of its local channel."""

from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.config.load import load_config
from kernbench.device.placement import DPPolicy, place
from kernbench.dtypes import int8
from kernbench.errors import PageFaultError
from kernbench.memory.allocator import VirtualAllocator
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.page_table import PageTable
from kernbench.memory.shards import Copy, ShardMap
from kernbench.messages.access import Access
from kernbench.topology.address_map import PA_BASE, AddressMap
from kernbench.topology.builder import build_graph
from kernbench.units import GIB, KIB, MIB

PRESETS = ["tiny", "default", "big"]


def offsets(size_bytes):
    """Any byte of so many, the ends often."""
    return st.sampled_from([0, size_bytes - 1]) | st.integers(0, size_bytes - 1)


@pytest.fixture(scope="module")
def map_of(graph_of):
    made = {}
    return lambda name, *overrides: made.setdefault(
        (name, overrides), (graph_of(name, *overrides), AddressMap(graph_of(name, *overrides)))
    )


@pytest.mark.parametrize("name", PRESETS)
def test_regions_are_disjoint_and_together_all_memory(map_of, name):
    graph, addresses = map_of(name)
    regions = addresses.regions()
    cube, n_cubes = graph.spec.cube, len(graph.of_kind("m_cpu"))
    assert sum(region.size_bytes for region in regions) == n_cubes * (
        cube.hbm.capacity_bytes + cube.sram.size_bytes
    )
    for before, after in zip(regions, regions[1:], strict=False):
        assert before.base + before.size_bytes <= after.base
    assert regions[-1].base + regions[-1].size_bytes <= PA_BASE + addresses.size


@pytest.mark.parametrize("name", PRESETS)
def test_each_controller_owns_one_region(map_of, name):
    graph, addresses = map_of(name)
    owners = [region.owner for region in addresses.regions()]
    assert sorted(owners) == sorted(
        node.index for kind in ("hbm_ctrl", "sram") for node in graph.of_kind(kind)
    )


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_address_is_owned_by_the_region_it_lies_in(map_of, name, data):
    _, addresses = map_of(name)
    region = data.draw(st.sampled_from(addresses.regions()))
    offset = data.draw(offsets(region.size_bytes))
    assert addresses.region(region.base + offset) == region
    assert addresses.owner(region.base + offset) == region.owner


@pytest.mark.parametrize("name", PRESETS)
def test_slices_are_disjoint_lie_in_the_own_cube_and_use_up_the_hbm(map_of, name):
    graph, addresses = map_of(name)
    slices = [addresses.slice_of(pe) for pe in range(graph.n_pes)]
    for before, after in zip(slices, slices[1:], strict=False):
        assert before.base + before.size_bytes <= after.base
    for pe, part in enumerate(slices):
        channel, niu = graph.nodes[part.owner], graph.nodes[graph.niu_of(pe)]
        whole = addresses.region(part.base)
        assert whole.owner == part.owner
        assert part.base + part.size_bytes <= whole.base + whole.size_bytes
        assert (channel.at, channel.row) == (niu.at[:-1], niu.row)
        assert 0 <= niu.column - channel.column < 2
    n_cubes = len(graph.of_kind("m_cpu"))
    assert sum(part.size_bytes for part in slices) == n_cubes * graph.spec.cube.hbm.capacity_bytes


@pytest.mark.parametrize(
    ("name", "pe", "owner", "base", "size_bytes"),
    [
        ("tiny", 3, "sip0.cube0.hbm3", PA_BASE + 3 * 16 * MIB, 16 * MIB),
        (
            "default",
            16 + 5,
            "sip0.cube1.hbm5",
            PA_BASE + 32 * GIB + 5 * GIB,
            GIB,
        ),  # windows of 32 GiB hold 16 GiB + 16 MiB
        # the second half of the second channel
        ("big", 3, "sip0.cube0.hbm1", PA_BASE + (1536 + 768) * MIB, 768 * MIB),
    ],
)
def test_slices_by_hand(map_of, name, pe, owner, base, size_bytes):
    graph, addresses = map_of(name)
    part = addresses.slice_of(pe)
    assert (graph.nodes[part.owner].name, part.base, part.size_bytes) == (owner, base, size_bytes)


def test_an_sram_bank_lies_behind_the_hbm(map_of):
    graph, addresses = map_of("default")
    bank = addresses.sram_bank((1, 2), 3)
    assert graph.nodes[bank.owner].name == "sip1.cube2.sram3"
    assert (bank.base, bank.size_bytes) == (PA_BASE + 6 * 32 * GIB + 16 * GIB + 3 * 4 * MIB, 4 * MIB)
    assert addresses.region(bank.base) == bank


def test_pes_that_share_a_channel_divide_it(map_of):
    graph, addresses = map_of("default", "cube.hbm.channels=8")
    first, second, third = (addresses.slice_of(pe) for pe in range(3))
    assert first.owner == second.owner != third.owner
    assert second.base == first.base + first.size_bytes == first.base + GIB
    assert graph.nodes[third.owner].name == "sip0.cube0.hbm1"


@pytest.mark.parametrize(
    "pa", [-1, 0, 5 * MIB, PA_BASE - 1, PA_BASE + 64 * MIB + 1 * MIB, PA_BASE + 128 * MIB, 1 << 48]
)
def test_an_address_outside_of_memory_is_a_fault_that_says_where_memory_is(map_of, pa):
    _, addresses = map_of("tiny")
    with pytest.raises(PageFaultError) as caught:
        addresses.owner(pa)
    assert str(caught.value) == (
        f"physical address {pa:#x} belongs to no memory; sip0.cube0 has 0x800000000000..0x8000040fffff"
    )


# -- physical and virtual ---------------------------------------------------------------------------------------


@lru_cache
def virtual_tensors(graph):
    """``(va, size_bytes)`` of tensors that take all virtual addresses of a context of ``graph``."""
    spec = graph.spec
    page_bytes = spec.pe.mmu.page_bytes
    allocator = VirtualAllocator(page_bytes, spec.host.fit)
    found = []
    for size_bytes in (1, page_bytes, 3 * MIB + 1, 40 * GIB, 1 << 45, None):
        size_bytes = size_bytes or allocator.largest_hole_bytes - page_bytes
        found.append((allocator.allocate(size_bytes, "x"), size_bytes))
    assert allocator.free_bytes == 0
    return found


@lru_cache
def page_table(graph):
    """All of them mapped, each at the beginnings of all slices."""
    addresses = AddressMap(graph)
    slices = [addresses.slice_of(pe) for pe in range(graph.n_pes)]
    page_bytes = graph.spec.pe.mmu.page_bytes
    table = PageTable(graph.pes, page_bytes)
    for va, size_bytes in virtual_tensors(graph):
        sharding = place((size_bytes,), int8, DPPolicy(), graph.spec)
        copies = [[Copy(pe, slices[pe].owner, slices[pe].base) for pe in pes] for pes in sharding.holders]
        shards = ShardMap(
            name="x",
            va=va,
            shape=(size_bytes,),
            dtype=int8,
            grid=sharding.grid,
            copies=copies,
            pes=graph.pes,
        )
        table.map(TensorMapping(shards, page_bytes))
    return table


def byte_at(va):
    return Access(va=va, itemsize=1, block_shape=(1,), shape=(1,), strides=(1,), origin=(0,))


@pytest.mark.parametrize("name", PRESETS)
def test_bit_47_is_set_in_every_physical_address_and_clear_in_every_virtual_one(map_of, name):
    graph, addresses = map_of(name)
    for region in addresses.regions():
        assert region.base >> 47 == (region.base + region.size_bytes - 1) >> 47 == 1
    for va, size_bytes in virtual_tensors(graph):
        assert va >> 47 == (va + size_bytes - 1) >> 47 == 0


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_memory_has_a_virtual_address(map_of, name, data):
    graph, addresses = map_of(name)
    first, size_bytes = data.draw(st.sampled_from(virtual_tensors(graph)))
    va = first + data.draw(offsets(size_bytes))
    assert page_table(graph).translate(0, byte_at(va), None)
    with pytest.raises(PageFaultError, match=f"^physical address {va:#x} belongs to no memory; "):
        addresses.region(va)


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_page_table_translates_a_physical_address(map_of, name, data):
    graph, addresses = map_of(name)
    region = data.draw(st.sampled_from(addresses.regions()))
    pa = region.base + data.draw(offsets(region.size_bytes))
    assert addresses.region(pa) == region
    with pytest.raises(PageFaultError, match=f": address {pa:#_x} is not mapped; "):
        page_table(graph).translate(0, byte_at(pa), None)


@settings(max_examples=20, deadline=None)
@given(
    channels=st.sampled_from([2, 4, 8]),
    kib_a_channel=st.integers(1, 64),
    banks=st.integers(1, 4),
    kib_a_bank=st.integers(1, 64),
)
def test_any_sizes_give_each_byte_one_owner(channels, kib_a_channel, banks, kib_a_bank):
    at = [[i % 2, i // 2] for i in range(banks)]
    graph = build_graph(
        load_config(
            "tiny",
            [
                f"cube.hbm={{channels: {channels}, capacity: {channels * kib_a_channel * 4} KiB}}",
                "pe.mmu.miss=preload",  # a slice may be too small for page directories
                f"cube.sram={{banks: {banks}, size: {banks * kib_a_bank} KiB, at: {at}}}",
            ],
        ).topology
    )
    addresses = AddressMap(graph)
    edges = [(r.base, r.base + r.size_bytes, r.owner) for r in addresses.regions()]
    assert edges[0][0] == PA_BASE
    assert all(end == start for (_, end, _), (start, _, _) in zip(edges, edges[1:], strict=False))
    assert edges[-1][1] == PA_BASE + (channels * kib_a_channel * 4 + banks * kib_a_bank) * KIB
    for start, end, owner in edges:
        assert addresses.owner(start) == addresses.owner(end - 1) == owner
