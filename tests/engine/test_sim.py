"""Time is exact, the order within an instant is by rank and never by insertion, and misuse is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.engine import Engine, Signal
from kernbench.errors import CapacityError, DeadlockError

DELAYS = st.lists(st.integers(0, 10**13), max_size=20)


def sleeper(engine, name, delays, seen):
    """A process that notes when each of its delays is over."""
    for delay in delays:
        yield delay
        seen.append((engine.now_ps, name))


def order_at_one_instant(tie_seed=None, n=6):
    """Who runs in which order when ``n`` processes meet at 100 ps, the first made arriving last in the calendar."""
    engine, seen = Engine(tie_seed), []
    for name in range(n):
        engine.process(sleeper(engine, name, [50 - name, 50 + name], seen), f"p{name}")
    engine.run()
    return [name for now_ps, name in seen if now_ps == 100]


# --- delays ---


@given(DELAYS)
def test_a_process_resumes_after_the_sum_of_its_delays(delays):
    engine, seen = Engine(), []
    engine.process(sleeper(engine, "p", delays, seen), "p")
    engine.run()
    assert seen == [(sum(delays[: i + 1]), "p") for i in range(len(delays))]
    assert engine.now_ps == sum(delays)


@given(DELAYS, DELAYS)
def test_processes_that_share_nothing_do_not_move_each_other(mine, theirs):
    def times(*all_delays):
        engine, seen = Engine(), []
        for i, delays in enumerate(all_delays):
            engine.process(sleeper(engine, i, delays, seen), f"p{i}")
        engine.run()
        return [now_ps for now_ps, name in seen if name == 0]

    assert times(mine, theirs) == times(mine)


def test_a_delay_gives_back_none():
    engine, given_back = Engine(), []

    def body():
        given_back.append((yield 5))

    engine.process(body(), "p")
    engine.run()
    assert given_back == [None]


def test_an_event_is_counted_once_per_start_and_delay():
    engine = Engine()
    engine.process(sleeper(engine, "p", [1, 2, 3], []), "p")
    engine.run()
    assert engine.events == 4


def test_a_process_that_has_ended_is_forgotten():
    engine = Engine()
    process = engine.process(sleeper(engine, "p", [7], []), "p")
    assert process in engine.processes
    engine.run()
    assert not engine.processes


# --- order within an instant ---


def test_who_was_made_first_goes_first_however_late_it_asked():
    assert order_at_one_instant() == [0, 1, 2, 3, 4, 5]


def test_a_lower_port_goes_before_a_higher_one_and_both_before_processes():
    engine, seen = Engine(), []
    engine.process(sleeper(engine, "process", [100], seen), "p")
    for port in (7, 3):
        engine.at(100, engine.port_rank(port), seen.append, (100, port))
    engine.run()
    assert seen == [(100, 3), (100, 7), (100, "process")]


def test_entries_of_one_receiver_keep_their_sequence():
    engine, seen = Engine(), []
    rank = engine.port_rank(1)
    for i in range(5):
        engine.at(100, rank, seen.append, i)
    engine.run()
    assert seen == [0, 1, 2, 3, 4]


def test_what_a_wake_causes_runs_before_the_next_entry_of_the_instant():
    engine, seen = Engine(), []
    signal = Signal(engine)

    def cause():
        yield 100
        signal.fire()
        seen.append("cause")

    def woken():
        yield signal
        seen.append("woken")

    engine.process(cause(), "first")
    engine.process(sleeper(engine, "second", [100], seen), "second")
    engine.process(woken(), "third")
    engine.run()
    assert seen == ["cause", "woken", (100, "second")]


@given(st.integers(0, 2**32))
def test_a_tie_seed_permutes_and_loses_nobody(tie_seed):
    assert sorted(order_at_one_instant(tie_seed)) == [0, 1, 2, 3, 4, 5]


def test_tie_seeds_give_different_orders_and_each_always_the_same():
    orders = {tuple(order_at_one_instant(seed)) for seed in range(20)}
    assert len(orders) > 10
    assert order_at_one_instant(3) == order_at_one_instant(3)


@given(st.integers(0, 2**32), st.lists(st.integers(0, 50), min_size=1, max_size=10, unique=True))
def test_a_tie_seed_moves_nothing_without_ties(tie_seed, delays):
    def order(seed):
        engine, seen = Engine(seed), []
        for delay in delays:
            engine.process(sleeper(engine, delay, [delay], seen), f"p{delay}")
        engine.run()
        return seen

    assert order(tie_seed) == order(None)


# --- signals ---


def waiter(engine, signal, seen, name="w"):
    value = yield signal
    seen.append((engine.now_ps, name, value))


def test_all_waiters_of_a_signal_resume_at_its_instant_with_its_value_in_order():
    engine, seen = Engine(), []
    signal = Signal(engine)
    for name in "abc":
        engine.process(waiter(engine, signal, seen, name), name)
    engine.at(40, engine.port_rank(0), signal.fire, "v")
    engine.run()
    assert seen == [(40, "a", "v"), (40, "b", "v"), (40, "c", "v")]


def test_a_fired_signal_answers_at_once():
    engine, seen = Engine(), []
    signal = Signal(engine)
    signal.fire(9)
    engine.process(waiter(engine, signal, seen), "w")
    engine.run()
    assert seen == [(0, "w", 9)]
    assert engine.events == 1  # the start of the process: the signal cost none


def test_a_signal_fires_once():
    signal = Signal(Engine())
    signal.fire()
    with pytest.raises(AssertionError, match=r"^signal fired twice$"):
        signal.fire()


# --- running ---


def test_run_until_gives_the_value_and_leaves_what_comes_later():
    engine, seen = Engine(), []
    signal = Signal(engine)
    engine.process(sleeper(engine, "p", [10, 10, 10], seen), "p")
    engine.at(15, engine.port_rank(0), signal.fire, "done")
    assert engine.run_until(signal, lambda: "no map needed") == "done"
    assert (engine.now_ps, seen) == (15, [(10, "p")])
    engine.run()
    assert seen == [(10, "p"), (20, "p"), (30, "p")]


def test_run_until_a_fired_signal_lets_nothing_happen():
    engine = Engine()
    signal = Signal(engine)
    signal.fire("past")
    engine.process(sleeper(engine, "p", [10], []), "p")
    assert engine.run_until(signal, lambda: "") == "past"
    assert (engine.now_ps, engine.events) == (0, 0)


def test_an_empty_calendar_with_parked_waiters_is_a_deadlock_with_a_map():
    engine = Engine()
    never, wanted = Signal(engine), Signal(engine)

    def body():
        yield 30
        yield never
        wanted.fire()

    engine.process(body(), "sip0.cube0.pe0.pe_cpu")

    with pytest.raises(DeadlockError, match=r"^at 30 ps pe_cpu waits$"):
        engine.run_until(wanted, lambda: f"at {engine.now_ps} ps pe_cpu waits")


def test_two_engines_in_one_process_do_not_see_each_other():
    def start(engine):
        seen = []
        signal = Signal(engine)
        engine.process(sleeper(engine, "p", [3, 4, 5], seen), "p")
        engine.process(waiter(engine, signal, seen), "w")
        engine.at(7, engine.port_rank(0), signal.fire, None)
        return seen

    alone = Engine()
    expected = start(alone)
    alone.run()
    first, second = Engine(), Engine()
    seen_first, seen_second = start(first), start(second)
    stop = Signal(first)
    first.at(4, first.port_rank(1), stop.fire, None)
    first.run(until=stop)
    second.run()
    first.run()
    assert seen_first == seen_second == expected
    assert (second.now_ps, second.events) == (alone.now_ps, alone.events)


# --- misuse ---


@pytest.mark.parametrize("wrong", [1.5, 2.0, None, True, np.int64(3), "10"])
def test_what_is_neither_delay_nor_waitable_is_refused_with_the_name_of_the_process(wrong):
    engine = Engine()

    def body():
        yield 1
        yield wrong

    engine.process(body(), "pe3.pe_gemm")
    with pytest.raises(TypeError) as caught:
        engine.run()
    assert str(caught.value) == (
        f"pe3.pe_gemm yielded {wrong!r}, which is neither a delay in whole ps (int) nor something to wait for"
    )


def test_a_negative_delay_is_refused():
    engine = Engine()
    engine.process(sleeper(engine, "p", [-1], []), "pe3.pe_gemm")
    with pytest.raises(AssertionError, match=r"^pe3.pe_gemm yielded a delay of -1 ps$"):
        engine.run()


@pytest.mark.parametrize("ps", [(1 << 62) + 1, 1 << 63, 1 << 70])
def test_a_delay_beyond_what_is_counted_is_refused(ps):
    engine = Engine()
    engine.process(sleeper(engine, "p", [ps], []), "p")
    with pytest.raises(CapacityError, match=r"stay below 2\*\*62"):
        engine.run()


@pytest.mark.parametrize("ps", [(1 << 62) + 1, 1 << 63, 1 << 70])
def test_an_event_beyond_what_is_counted_is_refused(ps):
    engine = Engine()
    with pytest.raises(CapacityError, match=r"stay below 2\*\*62"):
        engine.at(ps, engine.port_rank(0), print, None)


def test_an_event_in_the_past_is_refused():
    engine = Engine()
    engine.process(sleeper(engine, "p", [10], []), "p")
    engine.run()
    with pytest.raises(AssertionError, match=r"^event at 9 ps in the past of 10 ps$"):
        engine.at(9, engine.port_rank(0), print, None)


@pytest.mark.parametrize("before", [[], [5]])
@pytest.mark.parametrize("error", [AttributeError("mine"), StopAsyncIteration("mine"), ValueError("mine")])
def test_an_error_of_a_process_comes_out_unchanged(before, error):
    engine = Engine()

    def body():
        yield from before
        raise error

    engine.process(body(), "p")
    with pytest.raises(type(error)) as caught:
        engine.run()
    assert caught.value is error
