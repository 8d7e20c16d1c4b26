"""A memory gives back what was written last at a physical address, and 0xFF where nothing was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.dtypes import DTYPES
from kernbench.memory.store import MemoryStore
from kernbench.messages.fabric import Piece

BASE, SIZE = 0x1000, 4096


def whole(size, pa=BASE):
    return (Piece(owner=0, pa=pa, run_bytes=size, pitch=size, n_runs=1, offset=0, offset_pitch=size),)


@given(
    run=st.integers(1, 9),
    gap=st.integers(0, 9),
    count=st.integers(1, 9),
    at=st.integers(0, 99),
    spread=st.integers(0, 5),
    data=st.data(),
)
def test_strided_pieces_move_as_a_loop_over_runs_would(run, gap, count, at, spread, data):
    piece = Piece(0, BASE + at, run, run + gap, count, 3, run + spread)
    size = 3 + count * (run + spread)
    sent = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8)
    store = MemoryStore([(BASE, SIZE)])
    store.write([piece], sent)

    expected = np.full(SIZE, 0xFF, np.uint8)
    for i in range(count):
        first, offset = at + i * (run + gap), 3 + i * (run + spread)
        expected[first : first + run] = sent[offset : offset + run]
    assert np.array_equal(store.read(whole(SIZE), SIZE), expected)

    got = store.read([piece], size)
    for i in range(count):
        offset = 3 + i * (run + spread)
        assert np.array_equal(got[offset : offset + run], sent[offset : offset + run])


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_unwritten_memory_is_nan_in_floats_and_all_ones_in_integers(dtype):
    value = MemoryStore([(BASE, SIZE)]).read(whole(8), 8).view(dtype.numpy)
    if dtype.is_float:
        assert np.isnan(value).all()
    elif dtype.signed:
        assert (value == -1).all()


def test_discarded_memory_reads_as_unwritten():
    store = MemoryStore([(BASE, SIZE)])
    store.write(whole(8), np.arange(8, dtype=np.uint8))
    store.discard(BASE + 2, 3)
    assert store.read(whole(8), 8).tolist() == [0, 1, 0xFF, 0xFF, 0xFF, 5, 6, 7]


def test_a_region_takes_memory_only_as_far_as_it_was_touched():
    store = MemoryStore([(0, 1 << 40), (1 << 40, 1 << 40)])
    store.discard(0, 1 << 30)
    assert store.held_bytes == 0
    store.write(whole(100, pa=1 << 40), np.zeros(100, np.uint8))
    assert store.held_bytes == 100


def test_regions_are_apart():
    store = MemoryStore([(64, 64), (0, 64)])
    store.write(whole(64, pa=0), np.full(64, 1, np.uint8))
    store.write(whole(64, pa=64), np.full(64, 2, np.uint8))
    assert store.read(whole(64, pa=0), 64).tolist() == [1] * 64


@pytest.mark.parametrize("pa", [BASE - 1, BASE + SIZE - 3, 0])
def test_an_address_in_no_region_is_a_bug_of_ours(pa):
    with pytest.raises(AssertionError, match="lie in no region"):
        MemoryStore([(BASE, SIZE)]).read(whole(4, pa=pa), 4)
