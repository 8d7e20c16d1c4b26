"""The search for reference cycles is rare within a run, and as its owner set it afterwards."""

from __future__ import annotations

import gc

import pytest

from kernbench.engine import Engine
from kernbench.garbage import NEW_OBJECTS, rarely_collected


@pytest.fixture
def before():
    """The thresholds of whoever calls KernBench, which are not Python's own."""
    own = gc.get_threshold()
    gc.set_threshold(500, 7, 3)
    yield (500, 7, 3)
    gc.set_threshold(*own)


def test_it_is_rare_within_and_as_before_afterwards(before):
    with rarely_collected():
        assert gc.get_threshold() == (NEW_OBJECTS, 7, 3)
    assert gc.get_threshold() == before


def test_it_is_as_before_after_an_error(before):
    with pytest.raises(ValueError, match="of the kernel"), rarely_collected():
        raise ValueError("of the kernel")
    assert gc.get_threshold() == before


def test_a_run_of_the_engine_is_within(before):
    engine, seen = Engine(), []

    def process():
        seen.append(gc.get_threshold())
        yield 1

    engine.process(process(), "process")
    engine.run()
    assert seen == [(NEW_OBJECTS, 7, 3)]
    assert gc.get_threshold() == before


def test_cycles_are_still_found_within():
    class Node:
        """Holds itself."""

        found = 0

        def __init__(self) -> None:
            self.own = self

        def __del__(self) -> None:
            Node.found += 1

    with rarely_collected():
        for _ in range(2 * NEW_OBJECTS):
            Node()
    assert Node.found > 0
