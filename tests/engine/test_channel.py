"""One wire: idle routes cost their closed form, shared links are shared fairly, buffers are finite."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.engine import Chunk
from kernbench.messages.fabric import PacketKind, Vc
from tests.engine.net_kit import CHUNK, HEADER, Net, chain

RATES = st.sampled_from(["64", "128", "51.2", "57.33", "248.32", "47.104", "3", "1000"])
HOPS = st.lists(st.tuples(RATES, st.integers(0, 20_000)), min_size=1, max_size=6)


def serialisation(size, rate):
    return Fraction(size) * 1000 / Fraction(rate)


@given(HOPS, st.integers(1, CHUNK))
def test_an_idle_route_costs_its_latencies_and_the_serialisations_that_cut_through_leaves(hops, size):
    """sum of latencies + sum of max(0, ser_i - ser_i+1) + ser_last, each arrival rounded up once."""
    net = Net(*chain([r for r, _ in hops], [lat for _, lat in hops]))
    net.send(0, len(hops), size)
    net.run()
    ((arrived, _),) = net.sinks[len(hops)].taken
    sers = [serialisation(size, rate) for rate, _ in hops]
    exact = sum(lat for _, lat in hops) + sers[-1]
    exact += sum(max(Fraction(0), a - b) for a, b in zip(sers, sers[1:]))
    assert exact <= arrived < exact + 1 + len(hops)
    if all(s.denominator == 1 for s in sers):
        assert arrived == exact


@given(st.lists(st.integers(1, CHUNK), min_size=1, max_size=40), RATES, st.integers(0, 10_000))
def test_chunks_back_to_back_never_add_a_picosecond(sizes, rate, latency):
    net = Net(*chain([rate], [latency]))
    for i, size in enumerate(sizes):
        net.send(0, 1, size, i)
    net.run()
    total = [serialisation(sum(sizes[: i + 1]), rate) for i in range(len(sizes))]
    assert net.sinks[1].taken == [(ceil(t) + latency, i) for i, t in enumerate(total)]


@given(st.lists(st.integers(1, CHUNK), min_size=1, max_size=30), HOPS)
def test_a_stream_arrives_in_order_and_at_most_a_picosecond_a_hop_after_the_exact_recursion(sizes, hops):
    net = Net(*chain([r for r, _ in hops], [lat for _, lat in hops]))
    for i, size in enumerate(sizes):
        net.send(0, len(hops), size, i)
    net.run()
    taken = net.sinks[len(hops)].taken
    assert [tag for _, tag in taken] == list(range(len(sizes)))
    free = [Fraction(0)] * len(hops)
    for (arrived, _), size in zip(taken, sizes):
        ready = Fraction(0)
        for i, (rate, latency) in enumerate(hops):
            ser = serialisation(size, rate)
            start = max(ready, free[i])
            free[i] = start + ser
            tail = start + ser + latency
            out = serialisation(size, hops[i + 1][0]) if i + 1 < len(hops) else 0
            ready = tail - min(ser, out)
        assert tail <= arrived <= ceil(tail) + 2 * len(hops)


def shared_hop(rate_in="128", rate_out="57.33", n_inputs=2, buffer=8 * (CHUNK + HEADER)):
    """Inputs 0..n-1 feed node n, whose one output goes to node n+1."""
    hub, end = n_inputs, n_inputs + 1
    edges = [(i, hub, rate_in, 1000, buffer) for i in range(n_inputs)] + [(hub, end, rate_out, 1000, buffer)]
    return edges, {(i, end): (i, hub, end) for i in range(n_inputs)}


@pytest.mark.parametrize("small", [32, 1056])
def test_small_and_large_packets_get_the_same_number_of_grants_on_a_slow_shared_hop(small):
    """The plain busy-until rule gave requests 1 grant in 15 here; round robin among backlogged inputs gives 1 in 2."""
    net = Net(*shared_hop())
    for _ in range(200):
        net.send(0, 3, 1056, "large")
        net.send(1, 3, small, "small", vc=Vc.REQ, kind=PacketKind.READ_REQUEST)
    net.run()
    both_backlogged = [tag for _, tag in net.sinks[3].taken][10:200]
    n_large, n_small = both_backlogged.count("large"), both_backlogged.count("small")
    assert abs(n_large - n_small) <= 2


@given(st.integers(2, 5), st.integers(0, 1000))
def test_backlogged_inputs_share_a_link_equally(n_inputs, seed):
    net = Net(*shared_hop(n_inputs=n_inputs), tie_seed=seed)
    for i in range(n_inputs):
        for _ in range(50):
            net.send(i, n_inputs + 1, 1056, i)
    net.run()
    taken = [tag for _, tag in net.sinks[n_inputs + 1].taken]
    window = taken[n_inputs : n_inputs * 40]
    for i in range(n_inputs):
        assert abs(window.count(i) - len(window) / n_inputs) <= 2


def test_the_shared_link_is_never_idle_while_an_input_is_backlogged():
    net = Net(*shared_hop(rate_in="64", rate_out="64"))
    for i in (0, 1):
        for _ in range(100):
            net.send(i, 3, 1024, i)
    net.run()
    first_head = 1000  # both inputs cut through after their latency
    assert net.engine.now_ps == first_head + 200 * 16_000 + 1000


def test_a_fast_port_that_feeds_four_slow_links_runs_at_its_own_rate():
    """A 256 GB/s port drained at 64 GB/s when its queue waited for each output's serialisation."""
    edges = [(0, 1, "256", 0, 64 * CHUNK)] + [(1, 2 + i, "64", 0, 64 * CHUNK) for i in range(4)]
    net = Net(edges, {(0, 2 + i): (0, 1, 2 + i) for i in range(4)})
    for i in range(400):
        net.send(0, 2 + i % 4, 1024, i)
    net.run()
    # each output gets a chunk every 4 * 4 ns: it is just fast enough, so only the last one's tail is added
    assert net.engine.now_ps == 400 * 4000 + (16_000 - 4000)


def test_a_flow_that_meets_no_other_is_not_slowed():
    edges = [(0, 1, "64", 1000, 8 * CHUNK), (2, 1, "64", 1000, 8 * CHUNK)]
    edges += [(1, 3, "64", 1000, 8 * CHUNK), (1, 4, "64", 1000, 8 * CHUNK)]
    routes = {(0, 3): (0, 1, 3), (2, 4): (2, 1, 4)}
    alone = Net(edges, routes)
    both = Net(edges, routes)
    for net, flows in ((alone, [(0, 3)]), (both, [(0, 3), (2, 4)])):
        for src, dst in flows:
            for i in range(50):
                net.send(src, dst, 1024, i)
        net.run()
    assert alone.sinks[3].taken == both.sinks[3].taken


def test_a_full_buffer_holds_the_sender_back_until_its_credit_returns():
    """One slot: the next chunk starts when the slot left behind has been released and told."""
    net = Net(*chain(["64", "1"], [1000, 1000], buffer=1024))
    for i in range(3):
        net.send(0, 2, 1024, i)
    net.run()
    # hop 2 takes 1024 ns a chunk; its slot is free at the end of that, known 1 ns later; the next chunk then needs
    # 1 ns of latency to its head
    ends = [1000 + 1_024_000 + 1000]
    for _ in range(2):
        ends.append(ends[-1] - 1000 + 1000 + 1000 + 1_024_000 + 1000)
    assert [t for t, _ in net.sinks[2].taken] == ends


@pytest.mark.parametrize(("n_chunks", "share"), [(2, Fraction(2 * 16, 16 + 20)), (4, 1)])
def test_a_buffer_shorter_than_the_round_trip_limits_the_rate(n_chunks, share):
    """Little's law: n slots of 16 ns each per round trip of serialisation + 2 x 10 ns latency."""
    net = Net(*chain(["64", "64"], [10_000, 10_000], buffer=n_chunks * 1024))
    n = 200
    for i in range(n):
        net.send(0, 2, 1024, i)
    net.run()
    times = [t for t, _ in net.sinks[2].taken]
    steady = Fraction(16_000 * 100, times[150] - times[50])
    assert steady == share


def test_a_refused_chunk_waits_in_the_wire_and_goes_on_when_told():
    net = Net(*chain(["64"], [1000], buffer=2048), places={1: 1})
    for i in range(4):
        net.send(0, 1, 1024, i)
    net.run()
    assert net.sinks[1].taken == [(17_000, 0)]
    net.sinks[1].n_places = 3
    net.engine.at(100_000, 0, lambda _: net.fabric.resume(1), None)
    net.run()
    # two were held in the buffer; the fourth needs the credit of the second's slot: 1 ns back, 16 + 1 ns forth
    assert net.sinks[1].taken[1:] == [(100_000, 1), (100_000, 2), (118_000, 3)]


def test_a_blocked_channel_lets_the_others_pass():
    net = Net(*chain(["64"], [1000], buffer=1024), places={1: 0})
    for i in range(3):
        net.send(0, 1, 1024, i, vc=Vc.REQ)
    net.run()
    assert net.sinks[1].taken == []
    assert net.fabric.stuck() == ["n0 -> n1  REQ: 1 inputs wait for a slot"]
    before = net.engine.now_ps
    net.sinks[1].n_places = 10
    net.send(0, 1, 1024, "resp", vc=Vc.RESP, at=before)
    net.run()
    assert net.sinks[1].taken == [(before + 17_000, "resp")]


@given(st.integers(0, 50))
def test_permuted_ties_deliver_the_same_chunks(seed):
    plain, permuted = Net(*shared_hop()), Net(*shared_hop(), tie_seed=seed)
    for net in (plain, permuted):
        for i in range(20):
            net.send(0, 3, 1024, i)
            net.send(1, 3, 1024, -i)
        net.run()
    assert sorted(t for t, _ in plain.sinks[3].taken) == sorted(t for t, _ in permuted.sinks[3].taken)
    assert sorted(tag for _, tag in plain.sinks[3].taken) == sorted(tag for _, tag in permuted.sinks[3].taken)


@given(HOPS, st.lists(st.integers(1, CHUNK), min_size=1, max_size=20))
def test_bytes_are_conserved_on_every_link(hops, sizes):
    net = Net(*chain([r for r, _ in hops], [lat for _, lat in hops], buffer=2048))
    for size in sizes:
        net.send(0, len(hops), size)
    net.run()
    assert len(net.sinks[len(hops)].taken) == len(sizes)
    for link in net.fabric.links.values():
        assert link.size_bytes == sum(sizes)
        assert link.busy_ps == ceil(serialisation(sum(sizes), link.edge.rate.fraction))


@given(HOPS.filter(lambda hops: all(r in {"64", "128", "1000"} for r, _ in hops)))
def test_doubling_latencies_and_halving_rates_doubles_every_time(hops):
    size = 1024
    slow = [(str(Fraction(r) / 2), 2 * lat) for r, lat in hops]
    times = []
    for variant in (hops, slow):
        net = Net(*chain([r for r, _ in variant], [lat for _, lat in variant], buffer=4096))
        for i in range(12):
            net.send(0, len(hops), size, i)
        net.run()
        times.append([t for t, _ in net.sinks[len(hops)].taken])
    assert times[1] == [2 * t for t in times[0]]


def test_a_packet_is_cut_into_chunks_and_only_the_first_carries_the_header():
    net = Net(*chain(["64"], [0]))
    chunks = net.fabric.packet(PacketKind.READ_RESPONSE, None, 2500)
    assert [(c.payload_bytes, c.size_bytes, c.flits, c.is_last) for c in chunks] == [
        (1024, 1056, 33, False),
        (1024, 1024, 32, False),
        (452, 452, 15, True),
    ]
    (empty,) = net.fabric.packet(PacketKind.READ_REQUEST, None, 0)
    assert (empty.payload_bytes, empty.size_bytes, empty.is_last) == (0, 32, True)


def test_serialisation_of_a_source_lets_the_first_link_cut_through():
    """A chunk that streams in over 8 ns where the link needs 16 leaves at its head; over 32 ns, to end together."""
    for serial, expected in ((8000, 100_000 - 8000 + 16_000), (32_000, 100_000), (0, 116_000)):
        net = Net(*chain(["64"], [0]))
        chunk = Chunk(PacketKind.WRITE_REQUEST, None, 1024, 1024, 32, True)
        net.fabric.post(chunk, 0, 1, Vc.REQ, 100_000, serial)
        net.run()
        assert net.sinks[1].taken[0][0] == expected
