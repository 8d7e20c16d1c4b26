"""Waits end: who polls gives the others a turn, a poll that nothing can change is mapped, and a loop that ends may."""

import inspect
import io
import itertools
import random
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.ccl.wiring import install_queues
from kernbench.errors import DeadlockError
from kernbench.lang import jit, tl
from kernbench.lang.visible import look
from kernbench.simulation import simulate
from kernbench.testing import run

HERE = "test_polls.py"
MODES = ["timed", "data"]
HEAD = "nothing is left to happen at TIME that could change what is polled:"


def line_of(kernel, text):
    """``FILE:line`` of the only line of ``kernel`` that contains ``text``."""
    source, first = inspect.getsourcelines(kernel.fn)
    (at,) = [i for i, s in enumerate(source) if text in s]
    return f"{HERE}:{first + at}"


def zeros(n=4):
    return np.zeros(n, np.int32)


# -- polls that end ---------------------------------------------------------------------------------------------------


@jit
def one_flag(flag_ptr, out_ptr):
    if tl.program_id(0) == 3:
        tl.store(flag_ptr, 1)
    elif tl.program_id(0) == 0:
        while tl.load(flag_ptr) == 0:
            pass
        tl.store(out_ptr, 7)


@jit
def one_flag_by_a_variable(flag_ptr, out_ptr):
    if tl.program_id(0) == 3:
        tl.store(flag_ptr, 1)
    elif tl.program_id(0) == 0:
        while True:
            flag = tl.load(flag_ptr, volatile=True)
            if flag != 0:
                break
        tl.store(out_ptr, 7)


@jit
def a_flag_of_each(flag_ptr, out_ptr):
    """Program 0 polls the flags of all others, one after the other."""
    if tl.program_id(0) > 0:
        tl.store(flag_ptr + tl.program_id(0), 1)
    else:
        n_ready = 0
        while n_ready < 3:
            n_ready = 0
            for i in range(1, 4):
                n_ready += int(tl.load(flag_ptr + i))
        tl.store(out_ptr, 7)


@jit
def a_block_of_flags(flag_ptr, out_ptr):
    """Two flags by one load, ragged, and a reduction."""
    at = tl.arange(0, 4)
    if tl.program_id(0) > 0:
        tl.store(flag_ptr + tl.program_id(0), 1)
    else:
        while tl.sum(tl.load(flag_ptr + at * 3 % 8, mask=at > 0, other=0), axis=0) < 2:
            pass
        tl.store(out_ptr, 7)


@jit
def a_chain(flag_ptr, out_ptr):
    """Each program waits for the one behind it."""
    p = tl.program_id(0)
    if p < 3:
        while tl.load(flag_ptr + p + 1) == 0:
            pass
    tl.store(flag_ptr + p, 1)
    if p == 0:
        tl.store(out_ptr, 7)


@jit
def a_late_flag(flag_ptr, out_ptr):
    """Sixteen products take longer than many polls."""
    if tl.program_id(0) == 1:
        x = tl.zeros((32, 32), tl.float16)
        total = tl.zeros((32, 32), tl.float32)
        for _ in range(16):
            total = tl.dot(x, x, total)
        tl.store(flag_ptr, 1 + tl.sum(total).to(tl.int32))
    elif tl.program_id(0) == 0:
        while tl.load(flag_ptr) == 0:
            pass
        tl.store(out_ptr, 7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kernel",
    [one_flag, one_flag_by_a_variable, a_flag_of_each, a_block_of_flags, a_chain, a_late_flag],
    ids=lambda kernel: kernel.__name__,
)
def test_who_polls_memory_sees_what_the_others_store(kernel, mode):
    assert run(kernel, (4,), [zeros(8), zeros()], mode=mode, races="off").args[1].tolist() == [7, 0, 0, 0]


@settings(max_examples=15)
@given(st.permutations(range(4)), st.integers(1, 3))
def test_programs_that_hand_a_token_on_end_in_either_mode_whoever_is_first(order, n_laps):
    """Program order[i] waits for the token i, i + 4, ..., and passes it on; each lap goes once round."""
    place = {p: i for i, p in enumerate(order)}

    @jit
    def kernel(token_ptr, out_ptr):
        p = int(tl.program_id(0))
        for lap in range(n_laps):
            turn = lap * 4 + place[p]
            while tl.load(token_ptr) != turn:
                pass
            tl.store(out_ptr + turn, p)
            tl.store(token_ptr, turn + 1)

    for mode in MODES:
        written = run(kernel, (4,), [zeros(1), zeros(4 * n_laps)], mode=mode, races="off").args[1]
        assert written.tolist() == list(order) * n_laps


# -- polls in vain ----------------------------------------------------------------------------------------------------


def hopeless(flag_ptr):
    while tl.load(flag_ptr) == 0:  # polls
        pass


def hopeless_by_a_variable(flag_ptr):
    while True:
        flag = tl.load(flag_ptr)
        if flag == 1:  # polls
            break


def hopeless_in_a_helper(flag_ptr):
    def wait(pointer):
        while not tl.load(pointer):  # polls
            pass

    for i in range(3):
        wait(flag_ptr + i)


def hopeless_over_several(flag_ptr):
    found = False
    while not found:
        for i in range(3):
            if tl.load(flag_ptr + i) > 0:  # polls
                found = True


def hopeless_of_a_value(flag_ptr):
    """Not even a load is made anew."""
    flag = tl.load(flag_ptr)
    while flag == 0:  # polls
        pass


def hopeless_with_a_toggle(flag_ptr):
    """Its variables change, and come back."""
    i, seen = 0, [0, 0, 0]
    while True:
        i = (i + 1) % 3
        seen[i] = int(tl.load(flag_ptr + i))  # polls
        if any(seen):
            break


def hopeless_by_recursion_that_returns(flag_ptr):
    def is_set(pointer, depth):
        return bool(tl.load(pointer)) if depth == 0 else is_set(pointer, depth - 1)  # polls

    while not is_set(flag_ptr, 5):
        pass


def hopeless_behind_dice(flag_ptr):
    """Chance that is not asked again."""
    dice = random.Random(5)
    dice.random()
    for i in [1, 2, 3]:
        while not all(bool(tl.load(flag_ptr + i + k)) for k in range(2)):  # polls
            pass


HOPELESS = [
    hopeless_behind_dice,
    hopeless,
    hopeless_by_a_variable,
    hopeless_in_a_helper,
    hopeless_over_several,
    hopeless_of_a_value,
    hopeless_with_a_toggle,
    hopeless_by_recursion_that_returns,
]


def polled(mode, body, make=lambda torch: {}, n_programs=1):
    """What stops a launch of programs of which ``body`` polls, with its times left away, and their number of polls."""
    torch = simulate("tiny", mode=mode).torch
    with pytest.raises(DeadlockError) as raised:
        finish(torch, jit(body), (n_programs,), (torch.zeros(8, dtype="int32"),), **make(torch))
    text = re.sub(r"at \d[\d.]* [a-z]?s\b", "at TIME", str(raised.value))
    return re.sub(r"\b\d{3} times", "N times", text)


def finish(torch, *launch, **how):
    torch.launch(*launch, **how)
    torch.synchronize()


def as_in(mode, *lines):
    """The lines of a map as a mode writes them."""
    head = HEAD if mode == "timed" else HEAD.replace(" at TIME", "")
    unit = ".pe_cpu" if mode == "timed" else ""
    return "\n  ".join([head, *(line.replace("  program", f"{unit}  program") for line in lines)])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("body", HOPELESS, ids=lambda body: body.__name__)
def test_a_poll_that_nothing_can_change_is_a_deadlock_at_its_line(body, mode):
    at = line_of(jit(body), "# polls")
    line = f"sip0.cube0.pe0  program (0, 0, 0) polls at {at}: N times, and nothing changed"
    assert polled(mode, body) == as_in(mode, line)


@pytest.mark.parametrize("mode", MODES)
def test_programs_that_poll_for_each_other_are_all_named(mode):
    def body(flag_ptr):
        p = tl.program_id(0)
        while tl.load(flag_ptr + p) == 0:  # polls
            pass
        tl.store(flag_ptr + (p + 1) % 4, 1)

    at = line_of(jit(body), "# polls")
    assert polled(mode, body, n_programs=4) == as_in(
        mode,
        *(
            f"sip0.cube0.pe{p}  program ({p}, 0, 0) polls at {at}: N times, and nothing changed"
            for p in range(4)
        ),
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_program_behind_the_one_that_polls_never_begins(mode):
    def body(flag_ptr):
        if tl.program_id(0) == 0:
            while tl.load(flag_ptr) == 0:  # polls
                pass
        else:
            tl.store(flag_ptr, 1)

    at = line_of(jit(body), "# polls")
    text = polled(mode, body, lambda torch: {"place": [2, 2, 2]}, n_programs=3)
    assert text == as_in(
        mode,
        f"sip0.cube0.pe2  program (0, 0, 0) polls at {at}: N times, and nothing changed; 2 programs behind it",
    )


@pytest.mark.parametrize("mode", MODES)
def test_who_polls_for_a_program_that_waits_for_its_message_waits_for_ever(mode):
    def body(flag_ptr):
        if tl.rank() == 0:
            while tl.load(flag_ptr) == 0:  # polls
                pass
            tl.send("E", 1)
        else:
            tl.store(flag_ptr, tl.recv("W", (), "int32"))  # receives

    polls, receives = line_of(jit(body), "# polls"), line_of(jit(body), "# receives")
    text = polled(
        mode, body, lambda torch: {"queues": install_queues(torch, pes=[0, 1], slots=2)}, n_programs=2
    )
    waits = (
        f"tl.recv(\"W\") at {receives} waits for a message from sip0.cube0.pe0's queue 'E': 0 of 2 slots filled, "
        "2 of 2 credits held"
    )
    poll = f"sip0.cube0.pe0  program (0, 0, 0) polls at {polls}: N times, and nothing changed"
    if mode == "data":
        assert text == as_in(mode, poll, f"sip0.cube0.pe1  {waits}")
    else:
        assert text == as_in(
            mode,
            poll,
            f"sip0.cube0.pe1.pe_cpu  waits for recv at {receives}; 1 command not complete",
            f"sip0.cube0.pe1.pe_scheduler  {receives}: recv, 1 of 1 tiles left",
            f"sip0.cube0.pe1.pe_ipcq  {waits}; last progress at TIME",
        )


def test_polls_are_counted_as_long_as_nothing_changes():
    """A program that stores now and then is none that only polls, nor is one that sees it store."""

    @jit
    def kernel(flag_ptr, out_ptr):
        if tl.program_id(0) == 0:
            while tl.load(flag_ptr) < 9:
                pass
            tl.store(out_ptr, 7)
        else:
            for i in range(9):
                for _ in range(150):
                    int(tl.load(out_ptr + 1))
                tl.store(flag_ptr, i + 1)

    assert run(kernel, (2,), [zeros(), zeros()], mode="data", races="off").args[1].tolist() == [7, 0, 0, 0]


# -- loops that end by themselves -------------------------------------------------------------------------------------

N = 600  # more polls than a vain one takes to be found


def counts(flag_ptr, out_ptr):
    n = 0
    while tl.load(flag_ptr) == 0 and n < N:
        n += 1


def counts_by_a_for(flag_ptr, out_ptr):
    for _ in range(N):
        if tl.load(flag_ptr) != 0:
            break


def counts_by_nothing_to_be_seen(flag_ptr, out_ptr):
    for _ in itertools.repeat(None, N):
        if tl.load(flag_ptr) != 0:
            break


def counts_by_a_comprehension(flag_ptr, out_ptr):
    sum(bool(tl.load(flag_ptr) != 0) for _ in [0] * N)


def counts_by_an_iterator(flag_ptr, out_ptr):
    left = iter([0] * N)
    while next(left, 1) == 0 and tl.load(flag_ptr) == 0:
        pass


def counts_in_a_list(flag_ptr, out_ptr):
    seen = []
    while tl.load(flag_ptr) == 0 and len(seen) < N:
        seen.append(0)


def counts_in_an_object(flag_ptr, out_ptr):
    state = SimpleNamespace(n=[0])
    while tl.load(flag_ptr) == 0 and state.n[0] < N:
        state.n[0] += 1


def counts_in_a_closure(flag_ptr, out_ptr):
    n = 0

    def is_set():
        nonlocal n
        n += 1
        return bool(tl.load(flag_ptr)) or n > N

    while not is_set():
        pass


n_global = 0


def counts_in_a_global(flag_ptr, out_ptr):
    global n_global
    n_global = 0
    while tl.load(flag_ptr) == 0 and n_global < N:
        n_global += 1


class Counter:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0

    def goes_on(self):
        self.n += 1
        return self.n < N


def counts_in_a_slot(flag_ptr, out_ptr):
    counter = Counter()
    while tl.load(flag_ptr) == 0 and counter.goes_on():
        pass


def counts_in_a_global_of_a_helper(flag_ptr, out_ptr):
    while tl.load(flag_ptr) == 0 and goes_on():
        pass


def goes_on():
    global n_global
    n_global += 1
    return n_global % N != 0


def counts_by_a_generator(flag_ptr, out_ptr):
    left = (0 for _ in [0] * N)
    while tl.load(flag_ptr) == 0 and next(left, 1) == 0:
        pass


def counts_by_itertools(flag_ptr, out_ptr):
    n = itertools.count()
    while tl.load(flag_ptr) == 0 and next(n) < N:
        pass


def counts_by_a_while_in_a_for(flag_ptr, out_ptr):
    for _ in itertools.repeat(None, N):
        while tl.load(flag_ptr) == 0:
            break


def counts_within_c(flag_ptr, out_ptr):
    flag = tl.load(flag_ptr)
    while any([flag] * N):
        pass


def counts_in_a_buffer(flag_ptr, out_ptr):
    left = io.BytesIO(bytes(N))
    while tl.load(flag_ptr) == 0 and left.read(1):
        pass


def looks_at_a_clock(flag_ptr, out_ptr):
    until_s = time.perf_counter() + 0.1
    while tl.load(flag_ptr) == 0 and time.perf_counter() < until_s:
        pass


def throws_dice(flag_ptr, out_ptr):
    dice = random.Random(5)
    while tl.load(flag_ptr) == 0 and dice.randrange(N):
        pass


def counts_on_the_device(flag_ptr, out_ptr):
    """The counter is a block that nobody looks at but the PE."""
    n = tl.load(flag_ptr)
    while n < N:
        n = n + 1


@pytest.mark.parametrize(
    "body",
    [
        counts,
        counts_by_a_for,
        counts_by_nothing_to_be_seen,
        counts_by_a_comprehension,
        counts_by_an_iterator,
        counts_in_a_list,
        counts_in_an_object,
        counts_in_a_closure,
        counts_in_a_global,
        counts_in_a_slot,
        counts_in_a_global_of_a_helper,
        counts_by_a_generator,
        counts_by_itertools,
        counts_by_a_while_in_a_for,
        counts_within_c,
        counts_in_a_buffer,
        looks_at_a_clock,
        throws_dice,
        counts_on_the_device,
    ],
    ids=lambda body: body.__name__,
)
def test_a_loop_that_ends_by_itself_is_none(body):
    def kernel(flag_ptr, out_ptr):
        body(flag_ptr, out_ptr)
        tl.store(out_ptr, 7)

    assert run(kernel, (1,), [zeros(), zeros()], mode="data").args[1].tolist() == [7, 0, 0, 0]


def test_a_loop_that_ends_by_itself_is_none_in_simulated_time_either():
    def kernel(flag_ptr, out_ptr):
        counts(flag_ptr, out_ptr)
        tl.store(out_ptr, 7)

    assert run(kernel, (1,), [zeros(), zeros()]).args[1].tolist() == [7, 0, 0, 0]


def test_a_loop_until_a_simulated_time_ends():
    def kernel(flag_ptr, out_ptr):
        until_ps = tl.clock() + 50_000_000
        while tl.load(flag_ptr) == 0 and tl.clock() < until_ps:
            pass
        tl.store(out_ptr, 7)

    assert run(kernel, (1,), [zeros(), zeros()]).args[1].tolist() == [7, 0, 0, 0]


@pytest.mark.parametrize("mode", ["timed", "timing", "data"])
def test_a_loop_until_a_simulated_time_ends_whatever_it_does_meanwhile(mode):
    def kernel(flag_ptr, seen):
        first_ps = tl.clock()
        while tl.clock() < first_ps + 3_000_000:
            pass
        until_ps = tl.clock() + 3_000_000
        while tl.clock() < until_ps:
            tl.store(flag_ptr, 1)
        seen.append((first_ps, tl.clock()))

    finish(
        (torch := simulate("tiny", mode=mode).torch), jit(kernel), (1,), (torch.zeros(1), seen := Shared())
    )
    ((first_ps, last_ps),) = seen.things
    assert last_ps - first_ps >= 6_000_000


class Shared:
    """A list that a launch does not copy."""

    def __init__(self):
        self.things = []

    def append(self, thing):
        self.things.append(thing)


def test_a_clock_that_is_read_again_at_the_same_instant_has_moved_by_a_readback():
    def kernel(x_ptr, seen):
        seen.append([tl.clock() for _ in range(3)])
        int(tl.load(x_ptr))
        seen.append([tl.clock(), tl.clock()])

    simulation = simulate("tiny")
    finish(simulation.torch, jit(kernel), (1,), (simulation.torch.zeros(1), seen := Shared()))
    readback_ps = simulation.config.topology.pe.cpu.readback_ps
    for times in seen.things:
        assert times == [times[0] + i * readback_ps for i in range(len(times))]
    report = simulation.report()
    assert sum(report.breakdown.values()) == report.kernel_time_ps


def test_a_program_that_reads_the_clock_in_mode_data_now_and_then_sees_no_time():
    def kernel(x_ptr, seen):
        for _ in range(1000):
            seen.append(tl.clock())

    torch = simulate("tiny", mode="data").torch
    finish(torch, jit(kernel), (1,), (torch.zeros(1), seen := Shared()))
    assert set(seen.things) == {0}


def test_looking_at_a_program_changes_nothing(monkeypatch):
    """What it holds in TCM dies when it did: two of its blocks fit there, three do not."""

    @jit
    def kernel(flag_ptr, x_ptr):
        if tl.program_id(0) == 0:
            n = 0
            while True:
                block = tl.load(x_ptr + tl.arange(0, 4096))
                if tl.load(flag_ptr) == 1:
                    break
                n += 1
            tl.store(x_ptr, n + block)
        else:
            for _ in range(200):
                int(tl.load(flag_ptr + 1))
            tl.store(flag_ptr, 1)

    def log(first_look):
        monkeypatch.setattr("kernbench.machine.polls.FIRST_LOOK", first_look)
        simulation = simulate("tiny", overrides=["pe.tcm.size=45 KiB"], races="off")
        torch = simulation.torch
        finish(torch, kernel, (2,), (torch.zeros(2, dtype="int32"), torch.zeros(4096, dtype="int32")))
        return simulation.machine.log.sha256()

    looked = []
    monkeypatch.setattr("kernbench.machine.polls.look", lambda values: looked.append(values) or look(values))
    assert log(2) == log(1 << 30)
    assert len(looked) > 20
