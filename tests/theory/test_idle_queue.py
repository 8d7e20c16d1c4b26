"""The closed form of a queue: its parts by hand on ``tiny``, where all rates divide evenly, and laws of its shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.theory.idle_queue import IdleQueue, idle_queue
from kernbench.topology.routes import Routes


@pytest.fixture
def queue(graph_of):
    """``queue(size, *overrides)``: from PE 0 to PE 1 of ``tiny``, which are neighbours."""

    def make(size_bytes, *overrides, pes=(0, 1)):
        graph = graph_of("tiny", *overrides)
        return idle_queue(graph, Routes(graph), *pes, size_bytes)

    return make


def test_a_small_message_is_limited_by_the_set_up_of_its_descriptor(queue):
    # 16 ns; the links take (256 + 32) B / 64 B/ns = 4.5 ns, TCM 256 B / 128 B/ns = 2 ns, a receive 4 + 2 ns
    small = queue(256)
    assert small.interval_ps == 16_000
    assert small.limit == "the set-up of a slot by PE_DMA"


def test_a_large_message_is_limited_by_the_first_link_headers_included(queue):
    # 10000 B are packets of 4096, 4096 and 1808 B with a header of 32 B each: 10096 B / 64 B/ns
    large = queue(10_000)
    assert large.interval_ps == 157_750
    assert large.limit == "the link sip0.cube0.pe0.niu -> sip0.cube0.r0_0"


def test_a_slot_goes_round_by_way_of_every_unit(queue):
    # data: 256 B take 2 ns at TCM's port and are out 6 ns later, at 8 ns; they may start on the link, which takes
    # 288 B / 64 B/ns = 4.5 ns, as they come: at 8 - min(2, 4.5) = 6 ns. The route's latencies are 3 ns (NIU -> r0_0),
    # 3 ns (-> r1_0) and 5 ns (-> NIU), and TCM takes what comes in with 6 ns: 6 + 4.5 + 11 + 6 = 27.5 ns.
    # credit: 32 B / 64 B/ns = 0.5 ns and the 11 ns of the way back
    assert queue(256).trip == {"set-up": 16_000, "data": 27_500, "next receive": 4_000, "credit": 11_500}
    assert queue(256).round_trip_ps == 59_000


def test_the_knee_is_the_round_trip_over_the_interval_rounded_up(queue):
    assert queue(256).knee == 4  # 59 ns / 16 ns = 3.7
    assert queue(4096).knee == 2  # 119 ns / 64.5 ns = 1.8


def test_below_the_knee_slots_limit_and_from_the_knee_on_units_do(queue):
    small = queue(256)
    assert [small.lap_ps(depth) for depth in (1, 3, 4, 8)] == [59_000, 59_000, 64_000, 128_000]
    assert small.messages_per_us(3) == pytest.approx(3000 / 59)
    assert small.messages_per_us(4) == small.messages_per_us(16) == 62.5


@pytest.mark.parametrize(
    ("override", "limit"),
    [
        ("pe.cpu.issue_ns=100", "the issue and the dispatch of a receive"),
        ("pe.scheduler.dispatch_ns=100", "the issue and the dispatch of a receive"),
        ("pe.dma.setup_ns=100", "the set-up of a slot by PE_DMA"),
        ("pe.tcm.read_bw=1", "the read port of the sender's TCM"),
        ("pe.tcm.write_bw=1", "the write port of the receiver's TCM"),
        ("overrides.sip0.cube0.r0_0->sip0.cube0.r1_0.bw=1", "the link sip0.cube0.r0_0 -> sip0.cube0.r1_0"),
    ],
)
def test_the_slowest_unit_is_named(queue, override, limit):
    assert queue(256, override).limit == limit


def test_a_message_of_nothing_is_a_header(queue):
    assert queue(0).intervals["the link sip0.cube0.pe0.niu -> sip0.cube0.r0_0"] == 500  # 32 B / 64 B/ns


# -- the shape of the curve ---------------------------------------------------------------------------------------

LIMITS = st.builds(
    lambda interval, trip: IdleQueue(intervals={"a unit": interval}, trip={"all": trip}, n_rounded=4),
    st.fractions(min_value=1, max_value=100_000, max_denominator=97),
    st.integers(1, 10**7),
)


@given(limits=LIMITS)
def test_the_knee_is_the_first_depth_of_full_throughput(limits):
    full = 1_000_000 / limits.interval_ps

    def throughput(depth):
        return depth * 1_000_000 / limits.lap_ps(depth)

    assert throughput(limits.knee) == throughput(limits.knee + 1) == full
    assert limits.knee == 1 or throughput(limits.knee - 1) < full


@given(limits=LIMITS, depth=st.integers(1, 100), n_laps=st.integers(1, 8), off_ps=st.integers(-40, 40))
def test_an_error_is_more_than_rounding_explains(limits, depth, n_laps, off_ps):
    by_slots = limits.lap_ps(depth) == limits.round_trip_ps
    difference = round(n_laps * limits.lap_ps(depth)) + off_ps - n_laps * limits.lap_ps(depth)
    error = limits.error_ps(depth, n_laps, round(n_laps * limits.lap_ps(depth)) + off_ps)
    if abs(difference) < 4 * (n_laps if by_slots else 1):
        assert error == 0
    else:
        assert abs(error) >= abs(difference) > abs(error) - 1


def test_rounding_explains_nothing_where_every_time_is_whole(queue):
    assert queue(10_000).n_rounded == 0
    # a chunk of 1024 or 1056 B takes no whole number of ps at 57.33 B/ns; the NIU has a link in and one out
    assert queue(10_000, "pe.dma.bw=57.33").n_rounded == 2 * 2
    assert queue(256).error_ps(1, 4, 4 * 59_000 + 1) == 1
