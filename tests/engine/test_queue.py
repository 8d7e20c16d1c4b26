"""Queues and credits serve in the order they were asked, and never hold more than they have room for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.engine import Credits, Engine, Queue
from kernbench.errors import CapacityError

TIMES = st.lists(st.integers(0, 20), min_size=1, max_size=15)


class Line:
    """One producer that spends ``make_ps[i]`` on item i, a queue, one consumer that spends ``use_ps[i]``."""

    def __init__(self, make_ps, use_ps, capacity):
        self.engine = Engine()
        self.queue = Queue(self.engine, capacity, "line")
        self.put_ps, self.got, self.fill = [], [], []
        self.engine.process(self.producer(make_ps), "producer")
        self.engine.process(self.consumer(use_ps), "consumer")
        self.engine.run()

    def producer(self, make_ps):
        for i, spent in enumerate(make_ps):
            yield spent
            yield self.queue.put(i)
            self.put_ps.append(self.engine.now_ps)
            self.fill.append(len(self.queue))

    def consumer(self, use_ps):
        for spent in use_ps:
            i = yield self.queue.get()
            self.got.append((self.engine.now_ps, i))
            yield spent


def recurrence(make_ps, use_ps, capacity):
    """When each put and get is over: a put waits for the get ``capacity`` items before, a get for its put."""
    put, got = [], []
    for i, (make, use_before) in enumerate(zip(make_ps, [0, *use_ps], strict=False)):
        offered = (put[-1] if put else 0) + make
        put.append(max(offered, got[i - capacity]) if capacity is not None and i >= capacity else offered)
        free = got[-1] + use_before if got else 0
        got.append(max(free, put[-1]))
    return put, got


@given(TIMES, st.data(), st.sampled_from([1, 2, 3, None]))
def test_items_come_in_order_at_the_times_of_the_recurrence(make_ps, data, capacity):
    use_ps = data.draw(st.lists(st.integers(0, 20), min_size=len(make_ps), max_size=len(make_ps)))
    line = Line(make_ps, use_ps, capacity)
    put_ps, got_ps = recurrence(make_ps, use_ps, capacity)
    assert line.put_ps == put_ps
    assert line.got == list(zip(got_ps, range(len(make_ps)), strict=True))


@given(TIMES, st.integers(1, 3))
def test_a_queue_never_holds_more_than_its_capacity(make_ps, capacity):
    line = Line(make_ps, [50] * len(make_ps), capacity)
    assert max(line.fill) <= capacity
    assert len(line.queue) == 0


def test_back_pressure_reaches_the_producer():
    # Items are made at once and used in 10 ps each. The first goes straight to the consumer, two fill the queue,
    # and each later one waits until the consumer takes the one two places before it.
    assert Line([0] * 5, [10] * 5, capacity=2).put_ps == [0, 0, 0, 10, 20]


def test_waiting_getters_are_served_in_the_order_they_asked():
    engine, got = Engine(), []
    queue = Queue(engine)

    def getter(name):
        got.append((name, (yield queue.get())))

    for name in "abc":
        engine.process(getter(name), name)
    engine.run()
    for item in range(3):
        assert queue.try_put(item)
    engine.run()
    assert got == [("a", 0), ("b", 1), ("c", 2)]


def test_waiting_putters_are_served_in_the_order_they_asked():
    engine = Engine()
    queue = Queue(engine, 1)

    def putter(name):
        yield queue.put(name)

    for name in "abc":
        engine.process(putter(name), name)
    engine.run()
    assert list(queue.items) == ["a"]
    taken = []

    def getter():
        for _ in range(3):
            item = yield queue.get()
            taken.append(item)

    engine.process(getter(), "getter")
    engine.run()
    assert taken == ["a", "b", "c"]


def test_try_put_answers_now_and_leaves_a_full_queue_as_it_is():
    queue = Queue(Engine(), 1)
    assert (queue.try_put("x"), len(queue)) == (True, queue.capacity)
    assert queue.try_put("y") is False
    assert list(queue.items) == ["x"]
    assert not queue.putters


def test_an_unbounded_queue_is_never_full():
    queue = Queue(Engine())
    assert all(queue.try_put(i) for i in range(1000))
    assert len(queue) == 1000


# --- credits ---


class Budget:
    """Takers ``(ask_ps, n, hold_ps)`` of one budget; notes when each was served."""

    def __init__(self, total, takers):
        self.engine = Engine()
        self.credits = Credits(self.engine, total, "tcm")
        self.served, self.held, self.most_held = [], 0, 0
        for name, taker in enumerate(takers):
            self.engine.process(self.taker(name, *taker), f"taker{name}")
        self.engine.run()

    def taker(self, name, ask_ps, n, hold_ps):
        yield ask_ps
        yield self.credits.take(n)
        self.served.append((self.engine.now_ps, name))
        self.held += n
        self.most_held = max(self.most_held, self.held)
        yield hold_ps
        self.held -= n
        self.credits.give(n)


TAKERS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 20)), max_size=12)


@given(TAKERS)
def test_what_is_held_never_exceeds_the_total_and_all_comes_home(takers):
    budget = Budget(8, takers)
    assert budget.most_held <= 8
    assert budget.credits.free == 8
    assert len(budget.served) == len(takers)


@given(TAKERS)
def test_takers_are_served_in_the_order_they_asked(takers):
    asked = sorted(range(len(takers)), key=lambda name: (takers[name][0], name))
    assert [name for _, name in Budget(8, takers).served] == asked


def test_a_small_taker_does_not_overtake_a_large_one():
    # 6 of 8 are held until 100; the second wants 4 and waits, so the third waits behind it though its 1 is free.
    budget = Budget(8, [(0, 6, 100), (10, 4, 5), (20, 1, 5)])
    assert budget.served == [(0, 0), (100, 1), (100, 2)]


def test_asking_for_more_than_the_total_is_refused():
    with pytest.raises(AssertionError, match=r"^tcm: 9 asked of 8$"):
        Credits(Engine(), 8, "tcm").take(9)


def test_giving_back_more_than_was_taken_is_refused():
    with pytest.raises(AssertionError, match=r"^tcm: 9 free of 8$"):
        Credits(Engine(), 8, "tcm").give(1)


@pytest.mark.parametrize("n", [(1 << 62) + 1, 1 << 63, 1 << 70])
def test_a_budget_beyond_what_is_counted_is_refused(n):
    engine = Engine()
    budget = engine.credits(5)
    for refused in (engine.credits, budget.resize, budget.take, engine.queue):
        with pytest.raises(CapacityError, match=r"stay below 2\*\*62"):
            refused(n)
    assert (budget.total, budget.free) == (5, 5)


@pytest.mark.parametrize("n", [(1 << 62) + 1, 1 << 63, 1 << 70])
@pytest.mark.parametrize("ask", ["try_take", "give"])
def test_credits_beyond_what_is_counted_end_a_run(ask, n):
    engine = Engine()
    budget = engine.credits(5)

    def body():
        yield 1
        getattr(budget, ask)(n)

    engine.process(body(), "p")
    with pytest.raises(CapacityError, match=r"stay below 2\*\*62"):
        engine.run()
