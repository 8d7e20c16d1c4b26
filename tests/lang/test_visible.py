"""What is seen of a program tells two instants apart if its variables or its place do, and else does not."""

from __future__ import annotations

import functools
import io
import itertools
import random
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from kernbench import lang as tl
from kernbench.lang import picture
from kernbench.lang.source import line_of, user_line
from kernbench.lang.visible import look, place


class Ask:
    """Where Python wants to know whether it is true, the program is looked at; it is ``n`` times."""

    __module__ = "kernbench.a_test"  # none of the program
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


class Slots:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0

    def step(self):
        self.n += 1


def counting():
    """A generator, whose iterator cannot be seen, but the variable of which can."""
    for i in range(9):  # noqa: UP028
        yield i


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
    "a slot": (Slots, Slots.step),
    "a number deep within": (
        lambda: [[[[[[0]]]]]],
        lambda x: x[0][0][0][0][0].__setitem__(0, x[0][0][0][0][0][0] + 1),
    ),
    "one of many": (lambda: [0] * 1500, lambda x: x.__setitem__(777, x[777] + 1)),
    "a generator": (counting, next),
    "what an iterator of C has left": (lambda: itertools.count(3), next),
    "random numbers": (lambda: random.Random(0), random.Random.random),
    "random numbers of numpy": (lambda: np.random.RandomState(0), lambda x: x.rand()),
    "a buffer": (lambda: io.BytesIO(b"12345"), lambda x: x.read(1)),
    "an attribute of a function": (lambda: lambda: 0, lambda x: x.__dict__.update({str(len(x.__dict__)): 0})),
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


def zeros():
    for _ in [0] * 9:
        yield 0


def begun(generator):
    next(generator)
    return generator


HIDDEN = {
    "a generator that hides how far it is": lambda: begun(zeros()),
    "a lock": threading.Lock,
    "a clock": lambda: time.perf_counter,
    "a weak reference": lambda: weakref.ref(Slots),
    "what a cache holds": lambda: functools.lru_cache(lambda: 0),
    "chance": random.SystemRandom,
    "a module": lambda: time,
    "too much": lambda: [0] * (picture.MOST_PARTS + 1),
}


@pytest.mark.parametrize("make", HIDDEN.values(), ids=HIDDEN)
def test_where_something_is_hidden_nothing_is_seen_at_all(make, seen):
    thing = make()

    def program():
        held = [thing]  # noqa: F841
        while ASK:
            pass

    assert seen(program) == [None] * 4


def uses_a_clock():
    return time.time() > 0


def imports_a_clock():
    from time import time

    return time() > 0


class Deadline:
    @property
    def is_over(self):
        return time.monotonic() > 0


@pytest.mark.parametrize(
    "function", [uses_a_clock, imports_a_clock, Deadline()], ids=lambda f: type(f).__name__
)
def test_a_function_that_the_program_names_is_looked_into(function, seen):
    def program():
        while ASK:
            held.append(function)
            held.clear()

    held = []
    assert seen(program) == [None] * 4


def test_what_a_function_that_is_named_counts_is_seen(seen):
    def program():
        while ASK:
            count()

    def count():
        global n_asked
        n_asked += 1

    assert len(set(seen(program))) == 4


def by_while():
    while ASK:
        pass


def by_while_in_for():
    for _ in range(4):
        while ASK:
            pass


def by_for_in_while():
    while True:
        for _ in range(1):
            if not ASK:
                return


def by_for_over_a_list():
    parts = [3, 1, 2]
    while True:
        for _ in parts:
            if not ASK:
                return


def by_for_with_a_number():
    while True:
        for _, _part in enumerate([0, 0]):
            if not ASK:
                return


def by_list():
    while all([bool(ASK) for _ in range(2)]):  # noqa: C419
        pass


def by_generator():
    while all(bool(ASK) for _ in range(2)):
        pass


def by_function():
    ask = lambda: bool(ASK)  # noqa: E731
    while ask():
        pass


def by_repeat():
    for _ in itertools.repeat(None, 9):
        if not ASK:
            break


def by_while_in_repeat():
    for _ in itertools.repeat(None, 9):
        while ASK:
            break


def by_what_is_twice():
    parts = [3, 1, 3]
    for _ in parts:
        if not ASK:
            break


def by_what_is_set_anew():
    for i in range(9):
        i = i * 0
        if not ASK:
            break


def by_what_is_set_anew_inside():
    def reset():
        nonlocal i
        i *= 0

    for i in range(9):  # noqa: B007
        reset()
        if not ASK:
            break


def by_map():
    all(map(bool, [ASK] * 9))


def by_all():
    while all([ASK] * 9):
        pass


def by_all_of_what_a_generator_gives():
    while all(ASK for _ in range(9)):
        pass


def by_sort():
    [0, 0, 0, 0].sort(key=lambda _: bool(ASK))


SHOWING = [
    by_while,
    by_while_in_for,
    by_for_in_while,
    by_for_over_a_list,
    by_for_with_a_number,
    by_list,
    by_generator,
    by_function,
]
HIDING = [
    by_repeat,
    by_while_in_repeat,
    by_what_is_twice,
    by_what_is_set_anew,
    by_what_is_set_anew_inside,
    by_map,
    by_all,
    by_all_of_what_a_generator_gives,
    by_sort,
]


@pytest.mark.parametrize("program", SHOWING, ids=lambda program: program.__name__)
def test_a_loop_whose_variables_say_how_far_it_is_is_seen(program, seen):
    assert None not in seen(program)


@pytest.mark.parametrize("program", HIDING, ids=lambda program: program.__name__)
def test_a_loop_that_hides_how_far_it_is_is_not_seen(program, seen):
    """Its iterator, or the C code that goes through something, may come to its end."""
    assert set(seen(program)) == {None}


def test_the_iterator_of_a_generator_is_seen(seen):
    def program():
        all(bool(ASK) for _ in [0] * 9)

    assert len(set(seen(program))) == 4


def test_a_for_that_begins_anew_is_seen_to(seen):
    def program():
        while True:
            for i in range(3):
                if not ASK and i == 0:
                    return

    found = seen(program)
    assert found[0] == found[3] != found[1]


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


class Hidden(SimpleNamespace):
    """A list that does not look different when it grows."""

    __module__ = "kernbench.a_test"

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


def test_a_place_is_no_line_that_python_wrote():
    """The ``__init__`` of a dataclass has no file: what is named is the line of the user's that called it."""
    seen = []

    def note():
        frame = sys._getframe(1)
        seen.append((frame.f_code.co_filename, str(place(frame)), str(user_line(frame))))

    @dataclass
    class Block:
        start: None = field(default_factory=note)

    def program():
        Block()

    program()
    at = f"test_visible.py:{program.__code__.co_firstlineno + 1}"
    assert seen == [("<string>", at, at)]


def test_an_error_in_what_python_wrote_is_at_the_line_that_called_it():
    @dataclass
    class Block:
        length: int = field(default_factory=functools.partial(int, "no number"))

    def program():
        Block()

    with pytest.raises(ValueError, match="no number") as raised:
        program()
    assert str(line_of(raised.tb)) == f"test_visible.py:{program.__code__.co_firstlineno + 1}"
