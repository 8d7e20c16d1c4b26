"""Slices of an access move the bytes of their part of the block, and no others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.components.slicing import aligned_box, row_boxes, slice_access
from kernbench.messages.access import Access


def lanes(access: Access) -> dict[tuple[int, ...], int]:
    """The address of every active lane, by its place in the block."""
    if access.addresses is not None:
        places = np.unravel_index(access.lanes, access.block_shape)
        return dict(
            zip(zip(*(p.tolist() for p in places), strict=True), access.addresses.tolist(), strict=True)
        )
    return {
        tuple(o + i for o, i in zip(access.origin, index, strict=True)): access.va
        + sum(i * s for i, s in zip(index, access.strides, strict=True))
        for index in itertools.product(*(range(extent) for extent in access.shape))
    }


@st.composite
def masked_blocks(draw):
    """A block of 1 to 3 dimensions whose active box is any box of it."""
    block = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    origin = tuple(draw(st.integers(0, extent - 1)) for extent in block)
    shape = tuple(draw(st.integers(0, extent - first)) for extent, first in zip(block, origin, strict=True))
    strides = tuple(draw(st.sampled_from([0, 2, 12, 64, -32])) for _ in block)
    return Access(va=1000, itemsize=2, block_shape=block, shape=shape, strides=strides, origin=origin)


@st.composite
def gathers(draw):
    """A dense access: some lanes of a block, each with any address."""
    block = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    n = int(np.prod(block))
    active = sorted(draw(st.sets(st.integers(0, n - 1))))
    addresses = [draw(st.integers(0, 50)) * 4 for _ in active]
    return Access(
        va=0,
        itemsize=4,
        block_shape=block,
        shape=(len(active),),
        strides=(),
        origin=(0,),
        addresses=np.array(addresses, np.int64),
        lanes=np.array(active, np.int64),
    )


@given(access=st.one_of(masked_blocks(), gathers()), n_elem=st.integers(1, 40))
def test_the_slices_of_a_tiled_block_are_its_lanes_each_once(access, n_elem):
    found = {}
    for box in row_boxes(access.block_shape, n_elem):
        part = slice_access(access, box)
        assert part.block_shape == tuple(stop - start for start, stop in box)
        for place, address in lanes(part).items():
            whole = tuple(start + i for (start, _), i in zip(box, place, strict=True))
            assert whole not in found
            found[whole] = address
    assert found == lanes(access)


@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple), n_elem=st.integers(1, 100))
def test_row_boxes_hold_at_most_what_they_may_and_cover_the_block(shape, n_elem):
    sizes = [int(np.prod([stop - start for start, stop in box])) for box in row_boxes(shape, n_elem)]
    assert sum(sizes) == np.prod(shape)
    assert max(sizes) <= n_elem


@pytest.mark.parametrize(
    ("shape", "box"),
    [((4, 32), ((0, 2), (8, 16))), ((1, 32), ((0, 1), (8, 16))), ((32,), ((8, 16),)), ((), ())],
)
def test_an_operand_that_broadcasts_is_cut_along_the_dimensions_it_has(shape, box):
    assert aligned_box(((0, 2), (8, 16)), shape) == box
