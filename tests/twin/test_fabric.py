"""Random traffic on random graphs: every delivery at the same time on both engines, with the same counts and maps."""

import pytest

from tests.twin.random_traffic import traffic

PARTS = 6


@pytest.mark.parametrize("part", range(PARTS))
def test_all_that_is_seen_of_random_traffic_is_the_same(twins, some, part):
    answers = twins.agreed(traffic, [(seed,) for seed in some(range(part, 3000, PARTS))])
    assert all(len(answer["notes"]) > 50 for answer in answers)


def test_now_and_then_it_gets_stuck_is_refused_and_reads_a_memory():
    """Or the law above would say little."""
    answers = [traffic(seed) for seed in range(100)]
    assert 3 < sum(bool(answer["map"]) for answer in answers) < 50
    assert sum(any(note[-1] is False for note in answer["notes"]) for answer in answers) > 20
    assert sum(any(moved for moved, _ in answer["memories"]) for answer in answers) > 40
