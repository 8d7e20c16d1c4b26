"""What is seen of a program tells two instants apart if its variables or its place do, and else does not."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from kernbench import lang as tl
from kernbench.lang import visible
from kernbench.lang.visible import look, may_end_by_itself


class Ask:
    """Where Python wants to know whether it is true, the program is looked at; it is ``n`` times."""

    seen: ClassVar = []

    def __init__(self, n):
        self.n = n

    def __bool__(self):
        Ask.seen.append(look(None))
        return len(Ask.seen) < self.n


ASK = Ask(4)


@pytest.fixture
def seen(device):
    """What was seen of a function that is run as a program."""

    def run(program):
        Ask.seen = []
        device.run(lambda: program())
        return Ask.seen

    return run


CHANGES = {
    "a number": (lambda: [0], lambda x: x.__setitem__(0, x[0] + 1)),
    "the length of a list": (list, lambda x: x.append(None)),
    "a set": (set, lambda x: x.add(len(x))),
    "a deque": (lambda: deque([1, 2, 3]), lambda x: x.rotate(1)),
    "a value of a dict": (lambda: {1: 2}, lambda x: x.__setitem__(1, x[1] + 1)),
    "a key of a dict": (dict, lambda x: x.__setitem__(len(x), 0)),
    "a list in a list": (lambda: [[0]], lambda x: x[0].__setitem__(0, x[0][0] + 1)),
    "an attribute": (lambda: SimpleNamespace(n=0), lambda x: setattr(x, "n", x.n + 1)),
    "a list of an attribute": (lambda: SimpleNamespace(n=[]), lambda x: x.n.append(0)),
    "what an iterator has left": (lambda: iter([0] * 9), next),
    "an array": (lambda: np.zeros(3), lambda x: x.__iadd__(1)),
}


@pytest.mark.parametrize(("make", "change"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(make, change, seen):
    def program():
        thing = make()
        while ASK:
            change(thing)

    found = seen(program)
    assert len(found) == len(set(found)) == 4


@pytest.mark.parametrize("make", [make for make, _ in CHANGES.values()], ids=CHANGES)
def test_where_nothing_changes_nothing_is_seen(make, seen):
    def program():
        thing = make()  # noqa: F841
        while ASK:
            pass

    _, *in_the_loop = seen(program)
    assert len(set(in_the_loop)) == 1


def test_a_place_is_seen_in_every_function(seen):
    def inner():
        return bool(ASK)

    def program():
        inner()
        inner()

    first, second = seen(program)
    assert first.places[:2] == second.places[:2]
    assert first.places[2] != second.places[2]


def test_a_variable_of_a_function_around_it_is_seen(seen):
    def program():
        n = 0

        def ask():
            nonlocal n
            n += 1
            return bool(ASK)

        while ask():
            pass

    assert len(set(seen(program))) == 4


n_asked = 0


def test_a_global_is_seen(seen):
    def program():
        global n_asked
        while ASK:
            n_asked += 1

    assert len(set(seen(program))) == 4


def test_a_variable_that_is_seen_lives_no_longer(seen):
    class Thing:
        pass

    def program():
        thing = Thing()
        there = weakref.ref(thing)
        bool(ASK)
        del thing
        gone.append(there() is None)

    gone = []
    assert len(seen(program)) == 1
    assert gone == [True]


def test_what_is_too_deep_or_too_large_is_the_same_as_long_as_it_is_there(seen):
    def program():
        deep, large = [[[[[0]]]]], [0] * (visible.MOST_ITEMS + 1)
        while ASK:
            deep[0][0][0][0][0] += 1
            large[3] += 1

    _, *in_the_loop = seen(program)
    assert len(set(in_the_loop)) == 1


def by_while():
    while ASK:
        pass


def by_while_in_for():
    for _ in [0] * 4:
        while ASK:
            pass


def by_for():
    for _ in [0] * 9:
        if not ASK:
            break


def by_for_in_while():
    while True:
        for _ in (0,):
            if not ASK:
                return


def by_repeat():
    for _ in itertools.repeat(None, 9):
        if not ASK:
            break


def by_map():
    all(map(bool, [ASK] * 9))


@pytest.mark.parametrize(
    ("program", "may_end"),
    [
        (by_while, False),
        (by_while_in_for, False),
        (by_for, True),
        (by_for_in_while, True),
        (by_repeat, True),
        (by_map, True),
    ],
)
def test_an_iterator_that_cannot_be_seen_may_end_a_for(program, may_end, seen):
    """All look the same at each question; a ``for`` in a ``while`` cannot be told from one that goes on."""
    _, second, third, *_ = seen(program)
    assert second == third
    assert may_end_by_itself([second]) is may_end


def test_the_iterator_of_a_generator_is_seen(seen):
    def program():
        all(bool(ASK) for _ in [0] * 9)

    assert len(set(seen(program))) == 4


def test_a_for_that_begins_anew_has_no_iterator_that_counts(seen):
    def program():
        while True:
            for i in range(3):
                if not ASK and i == 0:
                    return

    found = seen(program)
    assert found[0] == found[3] != found[1]
    assert not may_end_by_itself(found[:3])


def test_a_block_is_its_value_and_a_pointer_its_addresses(device):
    def kernel(x_ptr):
        block = tl.load(x_ptr)
        others = [x_ptr, tl.arange(0, 4), block]
        found.append(look(Held(1.0)).variables)
        found.append(look(Held(1.0)).variables)
        found.append(look(Held(2.0)).variables)
        found.append(look(None).variables)
        others[0] = x_ptr + 1
        found.append(look(Held(1.0)).variables)
        others[0], others[1] = x_ptr, tl.arange(1, 5)
        found.append(look(Held(1.0)).variables)
        others[1] = tl.arange(0, 4)
        found.append(look(Held(1.0)).variables)

    found = Hidden()
    device.run(kernel, device.tensor(np.ones(4, np.float32)))
    first, again, other_value, no_value, pointer, index, back = found.things
    assert first == again == back
    assert len({first, other_value, no_value, pointer, index}) == 5


class Hidden:
    """A list that does not look different when it grows."""

    __slots__ = ("things",)

    def __init__(self):
        self.things = []

    def append(self, thing):
        self.things.append(thing)


class Held:
    """Every version holds the same."""

    def __init__(self, value):
        self.array = np.array([value])

    def get(self, version):
        return self.array
