"""A queue takes the time that its links, its depth and its credits say, to the picosecond (ADR-0023)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.lang import jit, tl
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation
from tests.laws.queue_kit import IDEAL, Stream, Way, arrivals, credit_queue, grid, records, run

TWO_BY_TWO = Path(__file__).with_name("two_by_two.yaml")
EQUAL_LINKS = (
    "sip.ucie.bw=64",
    "sip.ucie.eff=1",
    "sip.io_die.noc.link_bw=64",
    "sip.io_die.pcie_ep.bw=64",
    "sip.io_die.pcie_ep.payload_eff=1",
    "system.sip_link.bw=64",
    "system.sip_link.payload_eff=1",
)
"""Every link at 64 B/ns: a byte takes 15.625 ps wherever it is."""


def pair(**rings):
    """Queues that join rank 0's "out" to rank 1's "in", wherever the two PEs are."""
    pes = rings.pop("pes")

    def wiring_of(torch):
        queues = [QueuePair("out", "in", lambda rank, n: 1 if rank == 0 else None)]
        return install_queues(torch, queues, pes=pes, directions=[], **rings)

    return wiring_of


def issue_ns(pe, ns):
    """What PE number ``pe`` of cube 0 takes to issue a command, on its own."""
    return f"overrides.sip0.cube0.pe{pe}.pe_cpu.issue_ns={ns}"


@jit
def stream_kernel(x_ptr, N: tl.constexpr, SIZE: tl.constexpr):
    """Rank 0 sends ``N`` messages of ``SIZE`` bytes as fast as its queue takes them; rank 1 takes them one by one.

    A message's slots are free when the receive behind it is issued.
    """
    if tl.rank() == 0:
        block = tl.load(x_ptr, shape=(SIZE,))
        tl.wait(block)
        for _ in tl.static_range(N):
            tl.send_async("out", block)
    else:
        for _ in tl.static_range(N):
            tl.recv("in", (SIZE,), "uint8")


def streamed(n, size, *, pes=(0, 1), slots, slot_bytes=None, topology="tiny", overrides=(), **rings):
    """Run a stream of ``n`` messages; its simulation, and the arrivals counted from the first SLOT that is asked."""
    wiring_of = pair(pes=pes, slots=slots, slot_bytes=slot_bytes or size, **rings)
    simulation = run(
        stream_kernel,
        wiring_of,
        lambda torch: (torch.zeros(max(size, 64), dtype="uint8"), n, size),
        topology=topology,
        overrides=overrides,
        mode="timing",
    )
    begin_ps = records(simulation, OpCode.SLOT, pes[0])[0].start_ps
    n_slots = simulation.wiring.ring.n_slots(size)
    return simulation, [at - begin_ps for at in arrivals(simulation, pes[1], n_slots)]


# -- the credit queue of section 6 ------------------------------------------------------------------------------------

CASES = {  # message bytes, t_c in ns: at most m b = (bytes + 32) / 64 ns, and up to it
    "a header with 64 bytes": (64, 1),
    "256 bytes, a slow consumer": (256, "4.5"),
    "a chunk, at once": (1024, 0),
    "a chunk": (1024, 3),
    "a chunk and a rest": (1536, 20),
    "a packet": (4096, 64),
    "two packets": (8192, 10),
}


@pytest.mark.parametrize("depth", range(1, 17))
@pytest.mark.parametrize("name", CASES)
def test_the_last_arrival_is_the_closed_form_of_section_6(name, depth):
    size, t_c_ns = CASES[name]
    n = 3 * depth + depth // 2 + 1
    simulation, there = streamed(n, size, slots=depth, overrides=(*IDEAL, issue_ns(1, t_c_ns)))
    way = Way.of(simulation, 0, 1)
    m_b, a, t_c, a_c = way.message_ps(size), way.latency_ps, int(float(t_c_ns) * 1000), way.credit_ps
    # By hand: NIU 3, router 2, link 1, router 2, NIU 3 ns; a credit of 32 B takes 0.5 ns more at 64 B/ns.
    assert (a, a_c) == (11_000, 11_500)
    assert m_b == (size + 32 * -(-size // 4096)) * 1000 // 64
    # ... for every number of messages that was ever sent, not for the last one only
    assert there == [credit_queue(sent, depth, m_b, a, t_c, a_c) for sent in range(1, n + 1)]


WAYS = {
    "across a mesh": ("tiny", (0, 7), grid(4, 2)),
    "one column": ("tiny", (0, 5), grid(1, 6)),
    "across UCIe": (TWO_BY_TWO, (0, 5), EQUAL_LINKS),
    "across SIPs": (TWO_BY_TWO, (2, 13), EQUAL_LINKS),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("depth", [1, 2, 3, 7, 16, 80])
def test_it_holds_on_ways_of_any_length(name, depth):
    topology, pes, overrides = WAYS[name]
    n, size = 2 * depth + 3, 992  # with its header 1024 B: 16 ns
    simulation, there = streamed(
        n, size, pes=pes, slots=depth, topology=topology, overrides=(*IDEAL, *overrides)
    )
    way = Way.of(simulation, *pes)
    assert way.message_ps(size) == 16_000
    expected = [
        credit_queue(sent, depth, 16_000, way.latency_ps, 0, way.credit_ps) for sent in range(1, n + 1)
    ]
    assert there == expected


@pytest.mark.parametrize(("size", "t_c_ns"), [(256, 2), (1024, 3), (1536, 0), (4096, 7)])
def test_the_knee_is_at_the_round_trip_over_the_message(size, t_c_ns):
    """Below ``ceil(R / m b)`` slots a queue moves D messages in R; from there on, one in ``m b``."""
    simulation = Simulation.of("tiny", overrides=IDEAL)
    way = Way.of(simulation, 0, 1)
    m_b = way.message_ps(size)
    round_trip = m_b + way.latency_ps + t_c_ns * 1000 + way.credit_ps
    knee = -(-round_trip // m_b)
    assert knee == {256: 7, 1024: 3, 1536: 2, 4096: 2}[size]
    for depth in range(1, knee + 3):
        n = 3 * depth + 2
        _, there = streamed(n, size, slots=depth, overrides=(*IDEAL, issue_ns(1, t_c_ns)))
        if depth < knee:
            assert {b - a for a, b in zip(there, there[depth:])} == {round_trip}
        else:
            assert {b - a for a, b in zip(there, there[1:])} == {m_b}


def test_a_consumer_slower_than_the_wire_sets_the_pace():
    """``t_c > m b``: beyond the first, a message each ``t_c``, once D is enough to hide the rest of the round trip."""
    size, t_c = 1024, 40_000
    simulation, there = streamed(20, size, slots=4, overrides=(*IDEAL, issue_ns(1, 40)))
    way = Way.of(simulation, 0, 1)
    first = way.message_ps(size) + way.latency_ps
    assert there == [first + i * t_c for i in range(20)]
    _, alone = streamed(20, size, slots=1, overrides=(*IDEAL, issue_ns(1, 40)))
    assert alone == [first + i * (first + t_c + way.credit_ps) for i in range(20)]


@jit
def hold_kernel(x_ptr, N: tl.constexpr, WAITS: tl.constexpr):
    """As the stream, but the receiver works on a message for ``WAITS`` commands before it lets it go."""
    if tl.rank() == 0:
        block = tl.load(x_ptr, shape=(1024,))
        tl.wait(block)
        for _ in tl.static_range(N):
            tl.send_async("out", block)
    else:
        for _ in tl.static_range(N):
            block = tl.recv("in", (1024,), "uint8")
            for _ in tl.static_range(WAITS):
                tl.wait(block)
            del block


@pytest.mark.parametrize("waits", [0, 1, 3])
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_work_between_receive_and_release_is_consumer_time(depth, waits):
    """Each command costs PE_CPU 4 ns here; the slots are free when the one behind the work is issued."""
    n, t_c = 3 * depth + 2, (waits + 1) * 4_000
    simulation = run(
        hold_kernel,
        pair(pes=(0, 1), slots=depth, slot_bytes=1024),
        lambda torch: (torch.zeros(1024, dtype="uint8"), n, waits),
        overrides=(*IDEAL, issue_ns(1, 4)),
    )
    begin_ps = records(simulation, OpCode.SLOT, 0)[0].start_ps
    way = Way.of(simulation, 0, 1)
    m_b = way.message_ps(1024)
    there = [at - begin_ps for at in arrivals(simulation, 1)]
    assert there == [
        credit_queue(sent, depth, m_b, way.latency_ps, t_c, way.credit_ps) for sent in range(1, n + 1)
    ]


# -- one message, by hand ---------------------------------------------------------------------------------------------

SETUP, TCM = 16_000, 6_000  # PE_DMA's set-up; the latency of either port of TCM


def one_send(topology, pes, size, **more):
    """From the grant of its slot to its receive."""
    simulation, (there,) = streamed(1, size, pes=pes, slots=1, topology=topology, **more)
    return simulation, there


@pytest.mark.parametrize("topology", ["tiny", "default"])
def test_a_message_to_the_neighbour_by_hand(topology):
    """TCM reads faster than the link, which starts when the first byte is there: 3 + 2 + 1 + 2 + 3 ns of way."""
    for size, link_ps in ((64, 1_500), (512, 8_500), (1024, 16_500), (4096, 64_500), (5120, 81_000)):
        _, there = one_send(topology, (0, 1), size)  # headers: 32 B for each 4 KiB
        assert there == SETUP + TCM + 11_000 + link_ps + TCM, size


def test_a_message_to_the_far_corner_adds_five_hops_of_the_mesh():
    """On 4 x 4 routers: 3 in x, 3 in y, of which the neighbour's way has one; a link and a router each."""
    near, far = (one_send("default", (0, pe), 1024)[1] for pe in (1, 15))
    assert far - near == 5 * 3_000


def test_a_message_across_ucie_by_hand():
    """From the eastern edge of cube 0 to the western edge of cube 1: NIU 3, router 2, UCIe 11, router 2, NIU 3 ns.

    1024 B take 16 ns in the mesh and 4.124 at UCIe's 248.32 B/ns, which starts when it will not run dry: 16 - 4.123 ns
    after the first byte. The mesh behind it, slower again, starts with it.
    """
    simulation, there = one_send("default", (3, 16), 992)
    way_ps = 3_000 + 2_000 + 11_000 + 2_000 + 3_000
    assert Way.of(simulation, 3, 16).latency_ps == way_ps
    assert there == SETUP + TCM + way_ps + (16_000 - 4_123) + 16_000 + TCM


@pytest.mark.parametrize(("topology", "pes"), [(TWO_BY_TWO, (0, 8)), ("default", (0, 64))])
def test_a_message_across_sips_by_hand(topology, pes):
    """From one corner router up to the IO die, over the switch, and down to the same corner of the other SIP.

    NIU 3, router 2, UCIe 11, IO NoC 3, to the switch 300, from it 300, IO NoC 3, UCIe 11, router and NIU 2 + 3 ns.
    1024 B take 16 ns in the mesh, 4.124 over UCIe, 8 in the IO NoC, 17.862 at the switch (57.33 B/ns). A faster link
    starts when it will not run dry: behind the mesh 16 - 4.123 ns after the first byte, behind the switch so that it
    ends with it, and behind the IO NoC 8 - 4.123 ns later; the mesh adds its 16 ns at the end.
    """
    simulation, there = one_send(topology, pes, 992)
    way_ps = 3_000 + 2_000 + 11_000 + 3_000 + 300_000 + 300_000 + 3_000 + 11_000 + 2_000 + 3_000
    assert Way.of(simulation, *pes).latency_ps == way_ps == 638_000
    at_switch = 16_000 - 4_123 + 17_862  # the last byte has left it
    assert there == SETUP + TCM + way_ps + at_switch - 4_123 + 16_000 + TCM
    assert [there] == Stream(simulation, *pes, depth=1, t_c=0).arrivals([992], 1)


@pytest.mark.parametrize("size", [8, 1024, 2500, 9000])
@pytest.mark.parametrize(
    ("topology", "pes"),
    [("default", (5, 127)), ("default", (70, 20)), ("default", (40, 9)), (TWO_BY_TWO, (14, 3))],
)
def test_a_message_anywhere_is_the_recursion_of_its_chunks(topology, pes, size):
    simulation, there = one_send(topology, pes, size)
    assert [there] == Stream(simulation, *pes, depth=1, t_c=0).arrivals([size], 1)


@pytest.mark.parametrize("topology", ["tiny", "default"])
def test_a_kernel_sees_issue_dispatch_and_the_message(topology):
    """From the instant that the sender issues to the end of the receive: 4 + 2 ns before the slot is asked for."""
    simulation, there = one_send(topology, (0, 1), 512)
    issued = next(
        r
        for r in records(simulation, OpCode.ISSUE, 0)
        if r.command == records(simulation, OpCode.IPCQ_COPY, 0)[0].command
    )
    begin_ps = records(simulation, OpCode.SLOT, 0)[0].start_ps
    assert begin_ps - issued.start_ps == 4_000 + 2_000
    assert there == SETUP + TCM + 11_000 + 8_500 + TCM


def test_a_send_is_over_when_its_last_byte_has_left():
    """IPCQ_COPY ends, and ``tl.send`` returns, one way before the receive: latency, TCM there."""
    simulation, there = one_send("tiny", (0, 1), 1024)
    (copy,) = records(simulation, OpCode.IPCQ_COPY, 0)
    (slot,) = records(simulation, OpCode.SLOT, 0)
    assert copy.end_ps - slot.end_ps == SETUP + TCM + 16_500
    assert there - (copy.end_ps - slot.end_ps) == 11_000 + TCM


# -- credits ----------------------------------------------------------------------------------------------------------


def test_a_credit_takes_the_latency_of_its_way_and_the_bottlenecks_rate():
    """From the release of a slot to the next SLOT of a queue of one: 11 ns + 32 B at 64 B/ns, and its size counts."""
    for credit_bytes, credit_ps in ((32, 11_500), (64, 12_000), (640, 21_000)):
        simulation, _ = streamed(
            6, 1024, slots=1, overrides=(*IDEAL, issue_ns(1, 5), f"pe.ipcq.credit_size={credit_bytes}")
        )
        slots = [record.end_ps for record in records(simulation, OpCode.SLOT, 0)]
        received = arrivals(simulation, 1)
        assert [slot - there for slot, there in zip(slots[1:], received)] == [5_000 + credit_ps] * 5


@pytest.mark.parametrize("depth", [1, 2, 4, 6])
def test_a_poll_waits_for_the_next_look(depth):
    """``poll``: from when it asked, every 7 ns; never earlier than ``sleep``, by less than 7 ns, and exactly so."""
    size, n = 256, 4 * depth + 1
    rings = {"slots": depth, "overrides": (*IDEAL, issue_ns(1, 3), "pe.ipcq.poll_ns=7")}
    simulation, polled = streamed(n, size, backpressure="poll", **rings)
    assert polled == Stream(simulation, 0, 1, depth, 3_000, poll_ps=7_000).arrivals([size] * n, 1)
    _, slept = streamed(n, size, backpressure="sleep", **rings)
    assert slept == Stream(simulation, 0, 1, depth, 3_000).arrivals([size] * n, 1)
    assert slept <= polled
    assert polled != slept


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(
        st.sampled_from([8, 64, 72, 500, 1000, 1024, 1500, 5000]), st.integers(1, 3), st.integers(1, 24)
    ),
    spare=st.integers(0, 4),
    batch=st.integers(1, 4),
    t_c_ns=st.sampled_from([0, 1, 4, 9, 50]),
    is_polled=st.booleans(),
    place=st.sampled_from(
        [
            ("tiny", (0, 1)),
            ("tiny", (3, 0)),
            (TWO_BY_TWO, (0, 5)),
            (TWO_BY_TWO, (6, 1)),
            (TWO_BY_TWO, (2, 13)),
        ]
    ),
)
def test_every_stream_is_the_max_plus_recursion(sizes, spare, batch, t_c_ns, is_polled, place):
    """With the presets' costs: set-up, TCM, unequal links; slots per message, batches, polling; to the picosecond."""
    slot_bytes, n_slots, n = sizes
    size = slot_bytes * n_slots
    depth = n_slots + batch - 1 + spare
    topology, (src, dst) = place
    dst_pe = Simulation.of(topology).graph.pes[dst]
    simulation, there = streamed(
        n,
        size,
        pes=(src, dst),
        slots=depth,
        slot_bytes=slot_bytes,
        topology=topology,
        credit_batch=batch,
        backpressure="poll" if is_polled else "sleep",
        overrides=(
            "pe.tcm.size=1 MiB",
            "pe.scheduler.tile_queue=512",
            f"overrides.{dst_pe}.pe_cpu.issue_ns={t_c_ns}",
        ),
    )
    stream = Stream(simulation, src, dst, depth, t_c_ns * 1000, batch, 5_000 if is_polled else 0)
    assert there == stream.arrivals([slot_bytes] * (n * n_slots), n_slots)


# -- the same again ---------------------------------------------------------------------------------------------------


@jit
def ring_sum_kernel(x_ptr, y_ptr, N: tl.constexpr):
    """Every rank ends with the sum of all: each block goes once around, added to on the way."""
    me, n = tl.rank(), tl.num_ranks()
    mine = tl.load(x_ptr + me * N, shape=(N,))
    total = mine
    passing = mine
    for _ in tl.static_range(n - 1):
        tl.send_async("next", passing)
        passing = tl.recv("prev", (N,), "int32")
        total = total + passing
    tl.store(y_ptr + me * N, total)


def ring_sum(mode="timed", tie_seed=None, slots=2):
    """The sum around a ring of 8 PEs: its simulation and the values."""
    rows = np.arange(8 * 64, dtype=np.int32).reshape(8, 64) ** 2
    simulation = run(
        ring_sum_kernel,
        lambda torch: install_queues(
            torch,
            [QueuePair("next", "prev", lambda rank, n: (rank + 1) % n)],
            directions=[],
            slots=slots,
            slot_bytes=128,
        ),
        lambda torch: (torch.tensor(rows), torch.zeros(8, 64, dtype="int32"), 64),
        overrides=grid(4, 2),
        mode=mode,
        tie_seed=tie_seed,
    )
    assert (simulation.tensors[1].numpy() == rows.sum(axis=0)).all()
    return simulation


def test_the_same_run_gives_the_same_op_log():
    first, again = (ring_sum(slots=6).machine.log for _ in range(2))
    assert len(first) == len(again) > 200
    assert first.sha256() == again.sha256()


def test_a_permuted_order_of_ties_changes_no_value():
    for seed in range(8):
        ring_sum(tie_seed=seed, slots=6)
    ring_sum(mode="data", slots=6)
