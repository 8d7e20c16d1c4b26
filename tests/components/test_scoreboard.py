"""The scoreboard knows who waits for whom, and when the bytes of a value are free."""

from __future__ import annotations

import random

import pytest

from kernbench.components.scoreboard import Flight, Scoreboard
from kernbench.engine import Engine, Signal
from kernbench.messages.tokens import PipelineContext, PipelinePlan


@pytest.fixture
def board():
    return Scoreboard()


@pytest.fixture
def admit(board):
    def enter(command, after=(), behind=()) -> Flight:
        plan = PipelinePlan(
            command, (), after=tuple(x.result.version for x in after), behind=tuple(x.seq for x in behind)
        )
        flight = Flight(plan, PipelineContext(command, 1, 0), Signal(Engine()))
        board.admit(flight)
        return flight

    return enter


def test_a_command_waits_for_the_makers_of_what_it_needs(kit, board, admit):
    x, y = kit.load((8,)), kit.load((8,), va=64)
    first, second = admit(x), admit(y)
    reader = admit(kit.math(x.result, y.result), after=(x, y))
    assert board.blocker(reader) is first
    board.complete(first)
    assert board.blocker(reader) is second
    board.complete(second)
    assert board.blocker(reader) is None


def test_a_command_waits_for_those_its_plan_is_behind(kit, board, admit):
    x, y = kit.load((8,)), kit.math(kit.known((8,)))
    first = admit(x)
    second = admit(y, behind=(x,))
    assert board.blocker(second) is first
    board.complete(first)
    assert board.blocker(second) is None


def test_two_loads_of_the_same_bytes_do_not_wait(kit, board, admit):
    admit(kit.load((8,)))
    assert board.blocker(admit(kit.load((8,)))) is None


def test_a_later_command_never_blocks_an_earlier_one(kit, board, admit):
    load = admit(kit.load((8,)))
    admit(kit.store(kit.known((8,))))
    assert board.blocker(load) is None


def test_a_value_is_free_when_it_is_released_made_and_unread(kit, board, admit):
    x = kit.load((8,))
    maker = admit(x)
    reader = admit(kit.store(x.result, va=64))
    assert board.live_bytes == 16
    assert board.release([x.result.version]) == 0
    assert board.live_bytes == 0
    assert board.complete(maker) == 0
    assert board.complete(reader) == 16


def test_a_value_that_lives_on_is_not_free(kit, board, admit):
    flight = admit(kit.load((8,)))
    assert board.complete(flight) == 0
    assert board.alive() == [flight.command.result.version]


def test_a_value_released_last_is_free_at_once(kit, board, admit):
    x = kit.load((8,))
    board.complete(admit(x))
    assert board.release([x.result.version]) == 16
    assert board.alive() == []


def test_inherited_bytes_are_freed_once_with_the_heir(kit, board, admit):
    x = kit.load((8, 8))
    acc = kit.dot(x.result, x.result)
    heir = kit.dot(x.result, x.result, acc.result, inherit=True)
    flights = [admit(command) for command in (x, acc, heir)]
    assert board.live_bytes == 128 + 256
    assert [board.complete(flight) for flight in flights] == [0, 0, 0]
    assert board.release([acc.result.version]) == 0  # it went with the heir already
    assert board.release([heir.result.version, x.result.version]) == 128 + 256


@pytest.mark.parametrize("seed", range(5))
def test_the_oldest_earlier_access_that_shares_bytes_with_one_that_writes_is_waited_for(
    kit, board, admit, seed
):
    rng = random.Random(seed)
    earlier = []
    for _ in range(60):
        low, n, writes = rng.randrange(400), rng.choice((1, 8, 8, 64)), rng.random() < 0.4
        make = kit.store(kit.known((n,)), va=low) if writes else kit.load((n,), va=low)
        flight, high = admit(make), low + make.operands[0].size_bytes
        conflicts = (f for f, a, b, w in earlier if a < high and low < b and (w or writes))
        assert board.blocker(flight) is next(conflicts, None)
        earlier.append((flight, low, high, writes))
        if len(earlier) > 12:
            board.complete(earlier.pop(rng.randrange(12))[0])
