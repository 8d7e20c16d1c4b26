"""The accumulators hold what fits, the least recently used leaves first, and room is reused behind its last users."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.components.accumulators import AccumulatorFile, Eviction

NOTHING = Eviction((), ())


@pytest.fixture
def file():
    """Eviction for two results of 100 bytes, named 0 and 1, made by commands 10 and 11; each is 50 bytes in TCM."""
    file = AccumulatorFile(200)
    assert file.place(0, 100, 50, maker=10) == NOTHING
    assert file.place(1, 100, 50, maker=11) == NOTHING
    return file


def test_a_result_stays_until_another_needs_its_room(file):
    assert 0 in file
    assert 1 in file
    assert file.place(2, 100, 50, maker=12) == Eviction(stores=(50,), behind=(10,))
    assert 0 not in file


def test_the_least_recently_read_leaves_first(file):
    assert file.read(0, reader=20)
    assert file.place(2, 100, 50, maker=12) == Eviction((50,), (11,))
    assert 1 not in file


def test_room_is_reused_behind_its_maker_and_its_readers(file):
    file.read(0, reader=20)
    file.read(1, reader=21)
    assert file.place(2, 100, 50, maker=12) == Eviction((50,), (10, 20))


def test_a_dead_result_leaves_its_room_unstored(file):
    file.drop(1)
    assert file.place(2, 100, 50, maker=12) == Eviction((), (11,))


def test_dying_accumulators_are_added_onto_in_place(file):
    assert file.accumulate(0, 2, maker=12, lives_on=False) == NOTHING
    assert 0 not in file
    assert 2 in file
    assert file.used_bytes == 200


def test_adding_in_place_waits_for_other_readers_of_the_old_value(file):
    file.read(0, reader=20)
    assert file.accumulate(0, 2, maker=12, lives_on=False) == Eviction((), (20,))


def test_an_accumulator_that_lives_on_is_stored_before_it_is_added_onto(file):
    assert file.accumulate(0, 2, maker=12, lives_on=True) == Eviction((50,), (10,))
    assert file.to_tcm(0, reader=30) == Eviction((), (12,))  # it is in TCM once command 12 is complete


def test_a_result_is_stored_to_tcm_once_and_stays(file):
    assert file.to_tcm(0, reader=20) == Eviction((50,), (10,))
    assert file.to_tcm(0, reader=21) == Eviction((), (20,))
    assert 0 in file
    assert file.place(2, 100, 50, maker=12) == Eviction((), (10, 20))  # leaves without a second store


def test_a_command_is_never_behind_itself(file):
    file.to_tcm(0, reader=20)
    assert file.to_tcm(0, reader=20) == NOTHING


def test_what_never_was_in_the_accumulators_is_in_tcm(file):
    assert file.to_tcm(99, reader=20) == NOTHING


def test_passing_blocks_take_the_whole_file_and_keep_it_until_their_command_is_complete(file):
    assert file.use_all(maker=12) == Eviction((50, 50), (10, 11))
    assert file.used_bytes == 0
    assert file.place(3, 100, 50, maker=13) == Eviction((), (12,))


@given(moves=st.lists(st.tuples(st.sampled_from(["place", "read", "drop", "add"]), st.integers(0, 9))))
def test_results_never_take_more_than_there_is(moves):
    file, versions = AccumulatorFile(100), 0
    for command, (move, n) in enumerate(moves):
        version = n % (versions + 1)
        if move == "place":
            file.place(versions, 10 * (n + 1), 8, command)
            versions += 1
        elif move == "read":
            file.read(version, command)
        elif move == "drop":
            file.drop(version)
        elif version in file:
            file.accumulate(version, versions, command, lives_on=n % 2 == 0)
            versions += 1
        assert file.used_bytes <= 100
