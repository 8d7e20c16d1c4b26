"""The closed form of an idle route: each figure by hand, and laws that hold for any route."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.theory.idle_path import Arrival, IdleRoute, LinkStage, stages
from kernbench.units import Rate

SLOW, FAST = Rate.of(64), Rate.of("248.32")
CHUNK = 1056  # 1024 B and a header of 32 B

RATES = st.fractions(min_value=Fraction(1, 2), max_value=512, max_denominator=25)
STAGES = st.builds(LinkStage, st.builds(Rate.of, RATES), st.integers(0, 50_000))
ROUTE = st.lists(STAGES, min_size=1, max_size=8)
SIZES = st.lists(st.integers(1, 2048), min_size=1, max_size=8)


def chunk_ps(route, size_bytes):
    """Time from a chunk's offer, as a whole, to its last byte at the far end of an idle ``route``, exactly.

    Sum of the latencies, plus the serialisation on the last link, plus ``max(0, ser_i - ser_(i+1))`` at each step
    to a faster link, which has to wait so that it does not run dry.
    """
    serial = [stage.serial_ps(size_bytes) for stage in route]
    waits = (max(Fraction(0), here - there) for here, there in pairwise(serial))
    return sum(stage.latency_ps for stage in route) + sum(waits) + serial[-1]


def stream_ps(route, sizes_bytes, offers=None):
    """When each chunk of a stream arrives; without ``offers`` all are at the source, as a whole, at time 0."""
    idle = IdleRoute(route)
    offered = offers or [Arrival(0, 0)] * len(sizes_bytes)
    return tuple(idle.cross(size, offer) for size, offer in zip(sizes_bytes, offered, strict=True))


def test_one_link_takes_serialisation_and_latency():
    # 1056 B / 64 B/ns = 16.5 ns, and 3 ns
    assert chunk_ps([LinkStage(SLOW, 3_000)], CHUNK) == 19_500
    assert stream_ps([LinkStage(SLOW, 3_000)], [CHUNK]) == (Arrival(3_000, 19_500),)


def test_a_chunk_cuts_through_links_of_one_rate():
    assert chunk_ps([LinkStage(SLOW, 3_000)] * 4, CHUNK) == 4 * 3_000 + 16_500


def test_a_fast_link_behind_a_slow_one_waits_so_that_it_does_not_run_dry():
    # 64 -> 248.32 -> 64: 16500 + (16500 - 4252.577) + 0 wait at the last step down; 16500 on the last link
    route = [LinkStage(SLOW, 0), LinkStage(FAST, 11_000), LinkStage(SLOW, 2_000)]
    fast_ps = Fraction(CHUNK * 1000 * 100, 24832)
    assert chunk_ps(route, CHUNK) == 13_000 + (16_500 - fast_ps) + 16_500
    # On whole picoseconds: ready for the fast link at 16500 - floor(4252.57) = 12248, starts there; the
    # slow one behind is not faster, so its head start is at 12248 + 11000; tail 16500 and 2000 later.
    assert stream_ps(route, [CHUNK])[0].tail_ps == 12_248 + 11_000 + 16_500 + 2_000


def test_a_stream_on_one_link_has_no_gaps():
    # 57.33 B/ns: 1056 B take 18419.67 ps; three take 55259.0..., rounded up once
    tails = [arrival.tail_ps for arrival in stream_ps([LinkStage(Rate.of("57.33"), 0)], [CHUNK] * 3)]
    assert tails == [18_420, 36_840, 55_260]
    assert tails[2] == -(-3 * CHUNK * 1000 * 100 // 5733)


def test_a_stream_is_paced_by_its_slowest_link():
    route = [LinkStage(FAST, 0), LinkStage(SLOW, 1_000), LinkStage(FAST, 0)]
    tails = [arrival.tail_ps for arrival in stream_ps(route, [1024] * 5)]
    assert {after - before for before, after in zip(tails, tails[1:], strict=False)} == {16_000}


def test_a_chunk_that_streams_in_starts_before_its_tail_is_there():
    # there from 0 to 20 ns; a link that takes 16.5 ns may start at 3.5 ns
    assert stream_ps([LinkStage(SLOW, 0)], [CHUNK], [Arrival(0, 20_000)]) == (Arrival(3_500, 20_000),)
    assert stream_ps([LinkStage(SLOW, 0)], [CHUNK], [Arrival(20_000, 20_000)]) == (Arrival(20_000, 36_500),)


def test_stages_charge_a_router_to_the_link_that_leaves_it(graph_of, routes_of):
    graph = graph_of("default")
    route = routes_of("default").route(graph.niu_of(0), graph.node("sip0.cube0.hbm1").index)
    # NIU 3; router 2 + wire 1; router 2 to the memory
    assert [stage.latency_ps for stage in stages(graph, route)] == [3_000, 3_000, 2_000]


@given(route=ROUTE, size=st.integers(1, 2048))
def test_one_chunk_of_a_stream_is_the_closed_form_up_to_rounding(route, size):
    exact = chunk_ps(route, size)
    (arrival,) = stream_ps(route, [size])
    assert exact <= arrival.tail_ps < exact + 2 * len(route)


@given(
    latencies=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    rates=st.lists(st.sampled_from([1, 2, 4, 5, 8, 10, 20, 25, 40, 50]), min_size=6, max_size=6),
    n_chunks=st.integers(1, 6),
)
def test_whole_picoseconds_need_no_rounding_and_scale(latencies, rates, n_chunks):
    route = [LinkStage(Rate.of(rate), latency) for rate, latency in zip(rates, latencies, strict=False)]
    twice = [LinkStage(stage.rate.scaled(Fraction(1, 2)), 2 * stage.latency_ps) for stage in route]
    sizes = [200] * n_chunks
    once = stream_ps(route, sizes)
    assert once[0].tail_ps == chunk_ps(route, 200)
    assert stream_ps(twice, sizes) == tuple(Arrival(2 * a.head_ps, 2 * a.tail_ps) for a in once)


@given(route=ROUTE, sizes=SIZES)
def test_nothing_is_faster_than_its_bottleneck(route, sizes):
    slowest = min(stage.rate.fraction for stage in route)
    assert stream_ps(route, sizes)[-1].tail_ps >= sum(sizes) * 1000 / slowest


@given(route=ROUTE, sizes=SIZES)
def test_chunks_arrive_in_order_and_later_ones_change_nothing(route, sizes):
    arrivals = stream_ps(route, sizes)
    assert list(arrivals) == sorted(arrivals)
    assert stream_ps(route, sizes[:1]) == arrivals[:1]


@given(route=ROUTE, sizes=SIZES, more=st.integers(1, 50_000))
def test_more_latency_at_the_end_shifts_every_arrival(route, sizes, more):
    last = route[-1]
    longer = [*route[:-1], LinkStage(last.rate, last.latency_ps + more)]
    assert [a.tail_ps for a in stream_ps(longer, sizes)] == [
        a.tail_ps + more for a in stream_ps(route, sizes)
    ]


@pytest.mark.parametrize("count", [1, 4])
def test_a_kilobyte_chunk_over_the_golden_route(count):
    """PE to its local memory on default: NIU link 64 B/ns, 3 ns; router link 64 B/ns, 2 ns."""
    route = [LinkStage(SLOW, 3_000), LinkStage(SLOW, 2_000)]
    sizes = [CHUNK] + [1024] * (count - 1)
    assert stream_ps(route, sizes)[-1].tail_ps == 5_000 + sum(sizes) * 1000 // 64
