"""The facade answers as PyTorch over gloo does: the same numbers on every rank, the same refusals in the same words."""

import pytest


def test_the_facade_answers_as_torch_does(case, gloo, facade, same):
    for rank, (theirs, ours) in enumerate(zip(gloo, facade)):
        if not same(ours[case], theirs[case]):
            pytest.fail(f"rank {rank}\n  facade: {ours[case]}\n  torch:  {theirs[case]}", pytrace=False)


def test_the_facade_keeps_every_nan_of_a_maximum_and_gloo_those_that_a_comparison_meets_first(gloo, facade):
    for theirs, ours in zip(gloo, facade):
        assert ours["different: NaNs"] == [8] * len(facade)
        assert all(0 < n < 8 for n in theirs["different: NaNs"])
