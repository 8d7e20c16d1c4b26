"""PE_IPCQ gives a part of a message its slot when there is a credit, and matches a slot that has come with a receive.

Here one PE talks to itself: what it sends through "out" comes back through "in". A link of 64 B/ns and 10 ns lies
between, credits take ``credit_ps``. TCM: 128 B/ns and 6 ns; PE_DMA: 16 ns of set-up.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.components.pe.pe_dma import PeDma
from kernbench.engine import Server
from kernbench.lang import jit, tl
from kernbench.messages.commands import IpcqRecvCmd, IpcqSendCmd
from kernbench.messages.fabric import DoneMsg, PacketKind
from kernbench.messages.ipcq import (
    CreditMsg,
    QueueEnd,
    QueuesMsg,
    QueuesRemoveMsg,
    RankSite,
    RingSpec,
    Wiring,
)
from kernbench.messages.oplog import OpCode
from kernbench.simulation import simulate
from kernbench.topology.ids import PeId
from kernbench.units import Rate, transfer_ps

LINK = Rate.of(64)
WAY_PS = 10_000
SETUP_PS = 16_000
TCM_PS = 6_000
CREDIT_PS = 7_000
POLL_PS = 5_000
INSTALL_PS = 4_000
HOST = 101
MEMORY = 100


class Loop:
    """``pe`` with a queue to itself. ``credits`` are (when they arrive, head), ``written`` the ends of TCM's writes."""

    def __init__(self, pe, kit, *, credit_ps=CREDIT_PS, n_queues=1, **ring):
        self.pe, self.kit, self.credit_ps = pe, kit, credit_ps
        self.ring = RingSpec(
            **{"slots": 2, "slot_bytes": 512, "kind": "tcm", "backpressure": "sleep", "credit_batch": 1}
            | ring
        )
        self.link, self.credits, self.written = Server(LINK), [], []
        self.engine, fabric = pe.engine, pe.fabric
        pe.graph.pes, pe.graph.niu_of = [PeId(0, 0, 0)], lambda _: pe.niu.node.index
        self.post, fabric.post, fabric.credit = fabric.post, self.carry, self.carry_credit
        self.tcm_write, pe.pe_tcm.write = pe.pe_tcm.write, self.write
        names = ["out", "in", "out2", "in2"][: 2 * n_queues]
        ends = {name: QueueEnd(name=name, pe=0, rank=0, ring=self.ring) for name in names}
        for i, end in enumerate(ends.values()):
            end.peer = ends[names[i ^ 1]]
            end.owner, end.pa = MEMORY, i * self.ring.size_bytes
        self.ends = ends
        self.wiring = Wiring([0], self.ring, {0: RankSite(0, 1, (0, 0), ends)})
        self.control(QueuesMsg)

    def control(self, kind):
        """Install or remove, and let it happen."""
        self.pe.pe_ipcq.inbox.put(kind(job=9, wiring=self.wiring, pes=[0], reply_to=HOST, size_bytes=64))
        self.engine.run()

    def carry(self, chunk, src, dst, vc, tail_ps, serial_ps):
        """The fake fabric, and the link that leads back here."""
        if chunk.kind is PacketKind.QUEUE:
            start_ps, end_ps = self.link.stream(tail_ps - serial_ps, tail_ps, chunk.size_bytes)
            chunk.departs_ps = end_ps
            chunk.ready_ps = start_ps + WAY_PS
            self.engine.at(max(start_ps, self.engine.now_ps), 0, chunk.leaving, chunk)
            self.engine.at(end_ps + WAY_PS, 0, self.arrive, chunk)
        else:
            self.post(chunk, src, dst, vc, tail_ps, serial_ps)

    def arrive(self, chunk):
        assert self.pe.niu.receive(chunk), "there is room"

    def carry_credit(self, message, src, dst, size_bytes):
        assert (src, dst, size_bytes) == (self.pe.niu.node.index,) * 2 + (32,)
        self.engine.at(self.engine.now_ps + self.credit_ps, 1, self.arrive_credit, message)

    def arrive_credit(self, message: CreditMsg):
        self.credits.append((self.engine.now_ps, message.head))
        (chunk,) = self.pe.fabric.packet(PacketKind.CREDIT, message, 0)
        self.pe.niu.receive(chunk)

    def write(self, *burst):
        self.written.append(self.tcm_write(*burst))
        return self.written[-1]

    # -- commands -----------------------------------------------------------------------------------------

    def send(self, what, queue="out", **more):
        done = self.kit.value((0,))
        return self.kit.made(IpcqSendCmd, queue=self.ends[queue], operands=(what,), result=done, **more)

    def recv(self, n, queue="in", **more):
        return self.kit.made(IpcqRecvCmd, queue=self.ends[queue], result=self.kit.value((n,)), **more)

    def drop(self, *commands, after=()):
        """A command that says that the results of ``commands`` are dead."""
        command = self.kit.wait(*after)
        command.releases = tuple(c.result.version for c in commands)
        return command

    def spans(self, op, command=None):
        return [
            (r.start_ps, r.end_ps) for r in self.pe.records(op) if command is None or r.command == command.seq
        ]


@pytest.fixture
def loop(make_pe, make_kit):
    """A maker of loops."""

    def make(*, pe=None, **options):
        return Loop(make_pe() if pe is None else pe, make_kit(), **options)

    return make


def half(n_bytes):
    """fp16 elements."""
    return n_bytes // 2


# -- installing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_queues", [1, 2])
@pytest.mark.parametrize("kind", ["tcm", "hbm"])
def test_installing_takes_its_time_for_each_end_and_a_ring_in_tcm_its_bytes(loop, n_queues, kind):
    queue = loop(n_queues=n_queues, kind=kind)
    pe, n_ends = queue.pe, 2 * n_queues
    assert pe.spans(OpCode.CONTROL) == [(0, n_ends * INSTALL_PS)]
    ((done_ps, message),) = pe.fabric.done
    assert done_ps == n_ends * INSTALL_PS
    assert type(message) is DoneMsg
    assert (message.job, message.n_pes) == (9, 1)
    left = pe.spec.tcm.size_bytes - (n_ends * 1024 if kind == "tcm" else 0)
    assert pe.pe_scheduler.tcm.total == pe.pe_scheduler.tcm.free == left
    queue.control(QueuesRemoveMsg)
    assert pe.spans(OpCode.CONTROL)[1] == (n_ends * INSTALL_PS, 2 * n_ends * INSTALL_PS)
    assert pe.pe_scheduler.tcm.total == pe.pe_scheduler.tcm.free == pe.spec.tcm.size_bytes
    assert pe.pe_ipcq.rings == {}


def test_queues_that_were_used_can_be_removed_and_installed_anew(loop):
    queue = loop(slots=1)
    for _ in range(3):
        load = queue.kit.load((8,))
        got = [queue.recv(8) for _ in range(2)]
        queue.pe.run([load, *[queue.send(load.result) for _ in got], got[0], queue.drop(got[0]), got[1]])
        queue.control(QueuesRemoveMsg)
        queue.control(QueuesMsg)
    assert [head for _, head in queue.credits] == [1, 2] * 3


# -- one message ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", [32, 512])
def test_a_message_is_given_a_slot_sent_and_matched(loop, size_bytes):
    queue = loop()
    load = queue.kit.load((half(size_bytes),))
    send, recv = queue.send(load.result), queue.recv(half(size_bytes))
    queue.pe.run([load, send, recv])
    slot, copy, match = (queue.pe.records(op)[0] for op in (OpCode.SLOT, OpCode.IPCQ_COPY, OpCode.RECV))
    assert [r.op for r in queue.pe.log if r.op in (OpCode.SLOT, OpCode.IPCQ_COPY, OpCode.RECV)] == [
        OpCode.SLOT,
        OpCode.IPCQ_COPY,
        OpCode.RECV,
    ]
    assert slot.start_ps == slot.end_ps, "with a credit, a slot costs nothing"
    assert copy.start_ps == slot.end_ps
    # The link takes the bytes as TCM reads them, twice as fast; the header of 32 bytes goes first.
    serial_ps = transfer_ps(size_bytes + 32, LINK)
    tcm_ps = TCM_PS + transfer_ps(size_bytes, Rate.of(128))
    left_ps = copy.start_ps + SETUP_PS + max(tcm_ps, TCM_PS + serial_ps)
    assert copy.end_ps == left_ps, "it is sent when its last byte has left"
    assert match.end_ps == left_ps + WAY_PS + TCM_PS
    assert (copy.size_bytes, slot.size_bytes, match.size_bytes) == (size_bytes, 0, 0)
    records = list(queue.pe.log)
    assert records[copy.cause] == slot
    assert records[match.cause] == copy
    assert records[slot.cause].op == OpCode.DMA_READ


def test_a_receive_that_comes_late_is_matched_at_once_and_owes_nothing_to_the_message(loop):
    queue = loop()
    load, pause = queue.kit.load((8,)), queue.kit.load((1 << 14,), va=1 << 18)
    late = queue.recv(8)
    queue.pe.run([load, queue.send(load.result), pause, queue.kit.wait(pause.result.version), late])
    (match,) = queue.pe.records(OpCode.RECV)
    assert match.start_ps == match.end_ps
    assert list(queue.pe.log)[match.cause].op == OpCode.DISPATCH


def test_the_core_goes_on_when_a_send_has_left_and_when_a_receive_is_here(loop):
    queue = loop()
    load = queue.kit.load((256,))
    send, recv = queue.send(load.result), queue.recv(256)
    send.awaits, recv.awaits = (send.result.version,), (recv.result.version,)
    queue.pe.run([load, send, recv])
    (_, copied_ps), (_, matched_ps) = queue.spans(OpCode.IPCQ_COPY) + queue.spans(OpCode.RECV)
    ends = [end_ps for _, end_ps in queue.spans(OpCode.READBACK)]
    assert ends[0] == copied_ps
    assert ends[1] >= matched_ps
    issued = [r.end_ps for r in queue.pe.records(OpCode.ISSUE)]
    assert issued[2] == copied_ps + 4_000


@pytest.mark.parametrize("slot_bytes", [1024, 3000, 4096, 10_000])
@pytest.mark.parametrize("n_slots", [1, 3])
def test_a_slot_is_matched_when_its_last_byte_is_written_not_a_picosecond_earlier(loop, slot_bytes, n_slots):
    """Chunks are of 1024 bytes; a receive waits from the beginning. So each match is at the end of a write."""
    queue = loop(slot_bytes=slot_bytes, slots=3)
    load = queue.kit.load((half(n_slots * slot_bytes),))
    recv = queue.recv(half(n_slots * slot_bytes))
    queue.pe.run([recv, load, queue.send(load.result)])
    n_chunks = [-(-min(slot_bytes - i, 4096) // 1024) for i in range(0, slot_bytes, 4096)]
    written = queue.written[-n_slots * sum(n_chunks) :]
    last = [max(written[: (i + 1) * sum(n_chunks)]) for i in range(n_slots)]
    assert [end for _, end in queue.spans(OpCode.RECV)] == last
    landed = [call for call in queue.written if call <= last[0]]
    assert len(landed) >= sum(n_chunks)


def test_a_message_of_several_slots_takes_a_credit_for_each_as_they_come(loop):
    """Three slots through a ring of one: the copy of a slot into TCM frees it for the next."""
    queue = loop(slots=1)
    load = queue.kit.load((half(3 * 512),))
    queue.pe.run([load, queue.send(load.result), queue.recv(half(3 * 512))])
    assert len(queue.credits) == 3
    slots = [end for _, end in queue.spans(OpCode.SLOT)]
    assert slots[1:] == [at_ps for at_ps, _ in queue.credits[:2]]
    commits = [r.commit_ps for r in queue.pe.records(OpCode.IPCQ_COPY)]
    assert commits == [-1, -1, slots[2] + SETUP_PS], "its bytes are what they are when the last part leaves"
    assert [head for _, head in queue.credits] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["tcm", "hbm"])
def test_a_drained_slot_is_free_when_it_is_copied_though_the_value_lives(loop, kind):
    queue = loop(kind=kind, slots=1 if kind == "tcm" else 3)
    load = queue.kit.load((half(3 * 512),))
    recv = queue.recv(half(3 * 512))
    store = queue.kit.store(recv.result, va=1 << 16)
    queue.pe.run([load, queue.send(load.result), recv, store])
    drained = [end for _, end in queue.spans(OpCode.DRAIN)]
    assert [at_ps - CREDIT_PS for at_ps, _ in queue.credits] == drained
    assert drained[-1] <= queue.spans(OpCode.DMA_WRITE)[0][0]
    matched = [end for _, end in queue.spans(OpCode.RECV)]
    assert all(copied_ps > matched_ps for matched_ps, copied_ps in zip(matched, drained, strict=True))
    assert queue.pe.pe_ipcq._held == {}


def test_slots_of_a_ring_in_memory_are_matched_in_order_when_they_are_acknowledged(loop):
    """Also an empty one behind one that is still being written."""
    queue = loop(kind="hbm", slots=4)
    load, none = queue.kit.load((256,)), queue.kit.load((0,))
    sends = [queue.send(what.result) for what in (load, none, load, none)]
    receives = [queue.recv(n) for n in (256, 0, 256, 0)]
    queue.pe.run([load, none, *receives, *sends])
    ends = {r.command: r.end_ps for r in queue.pe.records(OpCode.RECV)}
    first, empty, second, last = (ends[recv.seq] for recv in receives)
    copies = [end for _, end in queue.spans(OpCode.IPCQ_COPY)]
    # There by the link and on by the fabric, and back by it: three ways from the last byte.
    assert first == copies[0] + 3 * WAY_PS
    assert empty == first
    assert second == copies[2] + 3 * WAY_PS
    assert last >= second


# -- waiting for credits ----------------------------------------------------------------------------------


def two_sends(queue):
    """One slot; the second message waits for the credit of the first, which is dropped at once."""
    load = queue.kit.load((8,))
    first, second = queue.recv(8), queue.recv(8)
    sends = [queue.send(load.result) for _ in range(2)]
    queue.pe.run([load, *sends, first, queue.drop(first), second])
    (asked_ps, slot_ps) = queue.spans(OpCode.SLOT)[1]
    return asked_ps, slot_ps


def test_a_sleeping_sender_has_its_slot_when_the_credit_comes(loop):
    queue = loop(slots=1)
    _, slot_ps = two_sends(queue)
    assert slot_ps == queue.credits[0][0]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(credit_ps=st.integers(0, 40_000))
def test_a_polling_sender_has_its_slot_at_the_first_look_from_then_on(loop, credit_ps):
    """It looks every 5 ns from when it asked; a credit that comes at a look is seen by it."""
    queue = loop(slots=1, backpressure="poll", credit_ps=credit_ps)
    asked_ps, slot_ps = two_sends(queue)
    credit_ps = queue.credits[0][0]
    assert credit_ps > asked_ps
    assert (slot_ps - asked_ps) % POLL_PS == 0
    assert slot_ps - POLL_PS < credit_ps <= slot_ps


def test_both_sides_of_a_look(loop):
    """The credit is moved so that it comes at a look, and a picosecond later."""
    asked_ps, slot_ps = two_sends(queue := loop(slots=1, backpressure="poll"))
    slack_ps = slot_ps - queue.credits[0][0]
    at_look = two_sends(loop(slots=1, backpressure="poll", credit_ps=CREDIT_PS + slack_ps))
    after = two_sends(loop(slots=1, backpressure="poll", credit_ps=CREDIT_PS + slack_ps + 1))
    assert at_look == (asked_ps, slot_ps)
    assert after == (asked_ps, slot_ps + POLL_PS)


@pytest.mark.parametrize("how", ["poll", "sleep"])
def test_a_long_wait_costs_no_more_events_than_a_short_one(loop, how):
    """A wait of a millisecond is 200000 looks."""
    events = []
    for credit_ps in (100_000, 1_000_000_000):
        queue = loop(slots=1, backpressure=how, credit_ps=credit_ps)
        two_sends(queue)
        events.append(queue.engine.events)
    assert events[0] == events[1]


def test_polling_costs_one_event_more_than_sleeping(loop):
    """The look after the credit."""
    events = {}
    for how in ("poll", "sleep"):
        queue = loop(slots=1, backpressure=how)
        two_sends(queue)
        events[how] = queue.engine.events
    assert events["sleep"] <= events["poll"] <= events["sleep"] + 2


def test_the_cause_of_a_slot_that_was_waited_for_is_what_freed_it(loop):
    queue = loop(slots=1)
    two_sends(queue)
    records = list(queue.pe.log)
    waited = queue.pe.records(OpCode.SLOT)[1]
    freed = records[waited.cause]
    assert freed.end_ps + CREDIT_PS == waited.end_ps


def test_a_sender_without_credit_holds_up_neither_other_queues_nor_receives(loop):
    queue = loop(slots=1, n_queues=2)
    load = queue.kit.load((8,))
    stuck = [queue.send(load.result) for _ in range(2)]
    other = queue.send(load.result, "out2")
    there = queue.recv(8, "in2")
    first, second = queue.recv(8), queue.recv(8)
    queue.pe.run(
        [load, *stuck, other, there, first, queue.drop(first, after=(there.result.version,)), second]
    )
    ends = {r.command: r.end_ps for r in queue.pe.records(OpCode.SLOT)}
    assert ends[other.seq] < ends[stuck[1].seq]
    assert queue.credits[0][0] <= ends[stuck[1].seq]


# -- freeing ----------------------------------------------------------------------------------------------


def test_slots_are_free_when_the_last_reader_of_a_dead_value_is_done_and_not_before(loop):
    """The store reads the slot; the value is said to be dead long before it is complete."""
    queue = loop()
    load = queue.kit.load((256,))
    recv = queue.recv(256)
    store = queue.kit.store(recv.result, va=1 << 16)
    queue.pe.run([load, queue.send(load.result), recv, store, queue.drop(recv)])
    (_, stored_ps), (_, matched_ps) = queue.spans(OpCode.DMA_WRITE) + queue.spans(OpCode.RECV)
    assert stored_ps > matched_ps
    assert queue.credits == [(stored_ps + CREDIT_PS, 1)]


def test_a_value_that_lives_holds_its_slots_until_the_end_of_its_program(loop):
    queue = loop()
    load, long = queue.kit.load((8,)), queue.kit.load((1 << 16,), va=1 << 18)
    recv = queue.recv(8)
    queue.pe.run([load, queue.send(load.result), recv, long, queue.kit.wait(long.result.version)])
    ((credit_ps, head),) = queue.credits
    assert head == 1
    assert credit_ps - CREDIT_PS >= queue.spans(OpCode.DMA_READ)[-1][1]


def test_values_that_die_out_of_order_give_their_credits_in_order(loop):
    queue = loop(slots=3)
    load = queue.kit.load((8,))
    got = [queue.recv(8) for _ in range(3)]
    pause = queue.kit.load((1 << 14,), va=1 << 18)
    last = queue.kit.wait(pause.result.version)
    queue.pe.run(
        [
            load,
            *[queue.send(load.result) for _ in got],
            *got,
            queue.drop(got[1], after=(got[2].result.version,)),
            pause,
            last,
            queue.drop(got[0]),
        ]
    )
    times = [at_ps - CREDIT_PS for at_ps, _ in queue.credits]
    assert [head for _, head in queue.credits] == [1, 2, 3]
    paused_ps = queue.spans(OpCode.DMA_READ, pause)[-1][1]
    assert times[0] == times[1] >= paused_ps, "the second was dead before, and waited for the first"


@pytest.mark.parametrize(("batch", "heads"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (4, [4, 5]), (5, [5])])
def test_credits_travel_by_the_batch_and_the_rest_at_the_end_of_the_program(loop, batch, heads):
    queue = loop(slots=6, credit_batch=batch)
    load = queue.kit.load((8,))
    got = [queue.recv(8) for _ in range(5)]
    frees = [queue.drop(one, after=(one.result.version,)) for one in got]
    queue.pe.run(
        [
            load,
            *[queue.send(load.result) for _ in got],
            *[x for pair in zip(got, frees, strict=True) for x in pair],
        ]
    )
    assert [head for _, head in queue.credits] == heads


def test_a_program_gives_its_credits_back_though_the_next_one_has_begun(loop):
    """It holds a message, and waits for one that needs the credit."""
    queue = loop(slots=2, credit_batch=2)
    load = queue.kit.load((8,))
    sends = [queue.send(load.result) for _ in range(2)]
    first = queue.recv(8)
    slow = queue.kit.store(first.result, va=1 << 16)
    again, held = queue.kit.load((8,)), queue.recv(8)
    third, last = queue.send(again.result), queue.recv(8)
    last.awaits = (last.result.version,)
    queue.pe.run([load, *sends, first, slow], [again, held, third, last])
    assert len(queue.spans(OpCode.RECV)) == 3
    assert queue.credits[0] == (queue.spans(OpCode.DMA_WRITE)[0][1] + CREDIT_PS, 1)


@pytest.mark.parametrize("first", [0, 2**32 - 2, 2**64 - 2])
def test_counters_may_start_anywhere(loop, first):
    queue = loop(slots=3, first=first)
    load = queue.kit.load((8,))
    got = [queue.recv(8) for _ in range(7)]
    frees = [queue.drop(one, after=(one.result.version,)) for one in got]
    queue.pe.run(
        [
            load,
            *[queue.send(load.result) for _ in got],
            *[x for pair in zip(got, frees, strict=True) for x in pair],
        ]
    )
    assert [head for _, head in queue.credits] == [first + i for i in range(1, 8)]


# -- release ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", [64, 1 << 16])
def test_a_send_waits_for_earlier_loads_and_stores_and_for_no_later_ones(loop, size_bytes):
    """``known`` exists from the beginning of the second program; the accesses are none of its operands."""
    queue = loop()
    known = queue.kit.load((8,))
    store = queue.kit.store(known.result, va=1 << 20)
    load = queue.kit.load((half(size_bytes),), va=1 << 21)
    send = queue.send(known.result)
    later = queue.kit.load((1 << 15,), va=1 << 22)
    queue.pe.run([known, queue.kit.wait(known.result.version), store, load, send, later, queue.recv(8)])
    accesses = [queue.spans(OpCode.DMA_WRITE, store)[-1][1], queue.spans(OpCode.DMA_READ, load)[-1][1]]
    (slot,) = queue.pe.records(OpCode.SLOT)
    assert slot.ready_ps == slot.start_ps == max(accesses)
    assert queue.spans(OpCode.DMA_READ, later)[-1][1] > queue.spans(OpCode.IPCQ_COPY)[0][1]


def test_a_send_does_not_wait_for_arithmetic_that_makes_none_of_its_bytes(loop):
    queue = loop()
    x, y = queue.kit.load((8,)), queue.kit.load((128, 128), va=4096)
    slow = queue.kit.dot(y.result, y.result)
    queue.pe.run([x, y, queue.kit.wait(y.result.version), slow, queue.send(x.result), queue.recv(8)])
    assert queue.spans(OpCode.IPCQ_COPY)[0][1] < queue.spans(OpCode.GEMM)[-1][1]


def test_a_send_waits_for_what_makes_its_bytes(loop):
    queue = loop(slot_bytes=4096)
    x = queue.kit.load((32, 32))
    product = queue.kit.dot(x.result, x.result)
    sent = queue.send(product.result)
    into = queue.kit.value((32, 32), product.result.dtype)
    recv = queue.kit.made(IpcqRecvCmd, queue=queue.ends["in"], result=into)
    queue.pe.run([x, product, sent, recv])
    ((slot_ps, _),) = queue.spans(OpCode.SLOT)
    assert slot_ps >= queue.spans(OpCode.GEMM)[-1][1]
    assert slot_ps >= queue.spans(OpCode.STORE)[-1][1], "what is in the accumulators is stored on its way"


# -- what it says -----------------------------------------------------------------------------------------


def test_what_waits_and_what_is_left_is_told(loop):
    queue = loop(slots=1)
    load = queue.kit.load((8,))
    queue.pe.run([load, *[queue.send(load.result) for _ in range(3)]])
    moved_ps = queue.spans(OpCode.SLOT)[0][1]
    (waiter,) = queue.pe.pe_ipcq.waiters(queue.pe.pe_ipcq.rings)
    assert waiter.text(queue.pe.graph.pes) == (
        "tl.send(\"out\") at kernel.py:7 waits for a credit from sip0.cube0.pe0's queue 'in': 1 of 1 slots filled, 0 "
        f"of 1 credits held; last progress at {moved_ps / 1000:.4g} ns"
    )
    (left,) = queue.pe.pe_ipcq.left_over()
    assert (left.end.name, len(left.unreceived), left.n_kept) == ("in", 1, 0)


# -- on a whole machine -----------------------------------------------------------------------------------


@jit
def chain_kernel(x_ptr, n: tl.constexpr, n_messages: tl.constexpr):
    """Each rank passes on what it receives."""
    for _ in range(n_messages):
        x = tl.load(x_ptr, shape=(n,)) if tl.rank() == 0 else tl.recv("in", (n,), "fp32")
        if tl.rank() + 1 < tl.num_ranks():
            tl.send("out", x)


class Watched:
    """A PE_IPCQ as the comm channel sees it; ``whole`` are PE and time of each slot that arrives there."""

    def __init__(self, unit, whole):
        self.unit, self.rank, self.whole = unit, unit.rank, whole

    def arrive(self, parcel):
        assert parcel.left_bytes == 0
        self.whole.append((self.unit.pe, self.unit.engine.now_ps))
        self.unit.arrive(parcel)


@pytest.mark.parametrize("kind", ["tcm", "sram", "hbm"])
@pytest.mark.parametrize("how", ["poll", "sleep"])
def test_a_match_that_was_waited_for_is_when_the_slot_is_whole_on_a_machine_too(kind, how):
    """Slots of 3000 bytes, of three chunks each, through three PEs; ``whole`` are PE and time of each."""
    whole = []
    simulation = simulate("tiny")
    torch, machine = simulation.torch, simulation.machine
    chain = QueuePair("out", "in", lambda rank, n: rank + 1 if rank + 1 < n else None)
    rings = {"slots": 4, "slot_bytes": 3000, "buffer_kind": kind, "backpressure": how}
    wiring = install_queues(torch, [chain], pes=[0, 1, 3], directions=(), **rings)
    for unit in machine.assembly.components.values():
        if isinstance(unit, PeDma):
            unit.comm.pe_ipcq = Watched(unit.pe_ipcq, whole)
    x = torch.ones(1500)
    torch.launch(chain_kernel, (3,), (x,), {"n": 1500, "n_messages": 4}, queues=wiring)
    torch.synchronize()
    nodes = machine.graph.nodes
    for pe in (1, 3):
        matches = [r for r in machine.log if r.op == OpCode.RECV and nodes[r.node].pe == pe]
        times = [landed_ps for at, landed_ps in whole if at == pe]
        assert len(matches) == len(times) == 8
        waited = [i for i, r in enumerate(matches) if r.end_ps > r.start_ps]
        assert waited
        assert [matches[i].end_ps for i in waited] == [times[i] for i in waited]
        assert all(r.end_ps >= landed_ps for r, landed_ps in zip(matches, times, strict=True))
    torch.close()
