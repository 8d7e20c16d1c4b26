"""A server keeps its free time exactly: cutting work into pieces never adds a picosecond."""

from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from kernbench.engine import Server
from kernbench.units import Rate, transfer_ps

RATES = st.builds(lambda num, den: Rate.of(Fraction(num, den)), st.integers(1, 4096), st.integers(1, 100))
SIZES = st.lists(st.integers(0, 1 << 20), min_size=1, max_size=30)
JOBS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 1 << 16)), min_size=1, max_size=30)


def test_64_bytes_at_51_2_gb_per_s_take_1250_ps():
    assert Server(Rate.of("51.2")).reserve(0, 64) == (0, 1250)


def test_only_the_answer_is_rounded_up():
    # A byte at 3 GB/s takes 333 1/3 ps: three of them end at 1000 ps, not at 3 * 334.
    server = Server(Rate.of(3))
    assert [server.reserve(0, 1) for _ in range(3)] == [(0, 334), (334, 667), (667, 1000)]


@given(RATES, SIZES)
def test_pieces_end_when_the_whole_would(rate, sizes):
    server = Server(rate)
    for size in sizes:
        _, end_ps = server.reserve(0, size)
    assert end_ps == transfer_ps(sum(sizes), rate)
    assert server.busy_ps == transfer_ps(sum(sizes), rate)
    assert server.size_bytes == sum(sizes)


@given(RATES, JOBS)
def test_first_come_first_served_exactly(rate, jobs):
    """Against exact fractions: a job starts when it is ready and the one before is over, whichever is later."""
    server, free = Server(rate), Fraction(0)
    for ready_ps, size in jobs:
        start = max(Fraction(ready_ps), free)
        free = start + Fraction(size * 1000) / rate.fraction
        assert server.reserve(ready_ps, size) == (ceil(start), ceil(free))
        assert server.free_ps == ceil(free)


@given(RATES, JOBS)
def test_busy_time_is_the_time_of_the_bytes_however_they_came(rate, jobs):
    server = Server(rate)
    for ready_ps, size in jobs:
        server.reserve(ready_ps, size)
    assert server.busy_ps == transfer_ps(sum(size for _, size in jobs), rate)


@given(JOBS, st.integers(1, 1000), st.integers(2, 10))
def test_a_faster_server_is_never_later(jobs, bytes_per_ns, factor):
    slow, fast = Server(Rate.of(bytes_per_ns)), Server(Rate.of(bytes_per_ns * factor))
    for ready_ps, size in jobs:
        assert fast.reserve(ready_ps, size)[1] <= slow.reserve(ready_ps, size)[1]


def test_a_rate_of_many_digits_counts_for_days():
    """Its free time alone, in the parts in which the rate is whole, would have 80 bits."""
    rate = Rate.of("57.3333333331")
    server, day_ps = Server(rate), 86_400 * 10**12
    for day in range(5):
        start_ps, end_ps = server.reserve(day * day_ps, 1 << 20)
        assert start_ps == day * day_ps
        assert end_ps == start_ps + transfer_ps(1 << 20, rate)
    assert server.busy_ps == transfer_ps(5 << 20, rate)


@given(st.integers(1, 10**18), st.integers(0, 17))
def test_the_rate_that_is_counted_with_is_off_by_a_billionth_at_most(digits, places):
    rate = Rate.of(Fraction(digits, 10**places))
    exact = Fraction(1000) / rate.fraction
    if exact < 1 << 20:  # a byte in less than a microsecond
        assert abs(rate.ps_per_byte - exact) * 10**9 <= max(exact, 1)
    assert max(rate.ps_per_byte.as_integer_ratio()) <= max(1 << 41, ceil(exact))


# --- bytes that stream in ---


def test_a_slow_server_starts_with_the_first_byte_of_a_fast_stream():
    # 1000 bytes come in 100 ns (from 50 to 150) and take 1000 ns at 1 GB/s.
    assert Server(Rate.of(1)).stream(50_000, 150_000, 1000) == (50_000, 1_050_000)


def test_a_fast_server_ends_with_the_last_byte_of_a_slow_stream():
    # The same bytes take 10 ns at 100 GB/s: it starts 10 ns before the last one is there.
    assert Server(Rate.of(100)).stream(50_000, 150_000, 1000) == (140_000, 150_000)


@given(RATES, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 1 << 16))
def test_a_stream_is_served_no_sooner_than_it_comes_and_no_later_than_it_must(rate, head_ps, spread_ps, size):
    tail_ps = head_ps + spread_ps
    start_ps, end_ps = Server(rate).stream(head_ps, tail_ps, size)
    assert start_ps >= head_ps
    assert end_ps in (max(tail_ps, head_ps + transfer_ps(size, rate)), tail_ps + 1)
