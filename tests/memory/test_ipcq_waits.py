"""What is said of queues that go wrong, word for word."""

import pytest

from kernbench.ccl.wiring import QueuePair, wire
from kernbench.config.load import load_config
from kernbench.dtypes import float16, float32
from kernbench.errors import DTypeError, QueueError, ShapeError
from kernbench.memory.ipcq_waits import LeftOver, Waiter, called, cycle_line, left_over, mismatch
from kernbench.messages.commands import IpcqRecvCmd, IpcqSendCmd, Operand, Space
from kernbench.messages.ipcq import Metadata, RingSpec
from kernbench.messages.source_line import SourceLine
from kernbench.topology.ids import PeId

N_RANKS = 6
PES = [PeId(0, 0, pe) for pe in range(N_RANKS)]
RING = RingSpec(slots=4, slot_bytes=512, kind="tcm", backpressure="sleep", credit_batch=1)


@pytest.fixture(scope="module")
def ends():
    """``ends[pe][name]`` of a ring of six."""
    pair = QueuePair("next", "prev", lambda rank, n: (rank + 1) % n)
    wiring = wire(load_config("default").topology, PES, RING, [pair], directions=())
    return [wiring.sites[pe].ends for pe in range(N_RANKS)]


def operand(shape=(8,), dtype=float32):
    return Operand(shape=shape, dtype=dtype, space=Space.TCM, version=0)


def send(end, line=7):
    return IpcqSendCmd(queue=end, operands=(operand(),)).numbered(0, 0, SourceLine("ring.py", line))


def recv(end, line=8, **of):
    return IpcqRecvCmd(queue=end, result=operand(**of)).numbered(0, 0, SourceLine("ring.py", line))


def test_a_command_is_called_as_the_kernel_wrote_it(ends):
    assert called(send(ends[0]["next"])) == 'tl.send("next") at ring.py:7'
    assert called(recv(ends[0]["prev"])) == 'tl.recv("prev") at ring.py:8'


def test_a_sender_waits_for_a_credit(ends):
    waiter = Waiter(ends[0]["next"], send(ends[0]["next"]), credits=0, filled=1, progress="18.342 us")
    assert waiter.text(PES) == (
        "tl.send(\"next\") at ring.py:7 waits for a credit from sip0.cube0.pe1's queue 'prev': 1 of 4 slots filled, "
        "0 of 4 credits held; last progress at 18.342 us"
    )


def test_a_receiver_waits_for_a_message_and_without_time_there_is_no_progress(ends):
    waiter = Waiter(ends[0]["prev"], recv(ends[0]["prev"]), credits=4, filled=0)
    assert waiter.text(PES) == (
        "tl.recv(\"prev\") at ring.py:8 waits for a message from sip0.cube0.pe5's queue 'next': 0 of 4 slots filled, "
        "4 of 4 credits held"
    )


def waiting(ends, *names):
    """PE i waits at each of the i-th ``names``, separated by spaces."""
    for pe, some in enumerate(names):
        for name in some.split():
            yield Waiter(ends[pe][name], recv(ends[pe][name]), 0, 0)


@pytest.mark.parametrize(
    ("names", "turns"),
    [
        (("next", "prev"), (0, 1)),
        (("prev",) * 6, (0, 5, 4, 3, 2, 1)),
        (("next",) * 6, (0, 1, 2, 3, 4, 5)),
        (("next", "next", "next", "prev"), (2, 3)),
        (("", "prev next", "prev"), (1, 2)),
    ],
)
def test_a_cycle_goes_from_each_pe_to_the_one_it_waits_for(ends, names, turns):
    """Wherever it begins."""
    rotations = [(*turns[i:], *turns[:i], turns[i]) for i in range(len(turns))]
    lines = ["cycle: " + " -> ".join(f"sip0.cube0.pe{pe}" for pe in rotation) for rotation in rotations]
    assert cycle_line(waiting(ends, *names), PES) in lines


@pytest.mark.parametrize("names", [("next", "next", "next"), ("prev",), ("prev", "", "next prev"), ()])
def test_who_waits_for_one_that_does_not_wait_is_in_no_cycle(ends, names):
    assert cycle_line(waiting(ends, *names), PES) == ""


def message(line=7, shape=(8,), dtype=float32):
    return Metadata(shape, dtype, SourceLine("ring.py", line))


def test_what_was_asked_for_is_no_mismatch(ends):
    end = ends[1]["prev"]
    assert mismatch(recv(end, shape=(2, 4)), message(shape=(2, 4)), end, PES) is None


@pytest.mark.parametrize(
    ("sent", "kind", "text"),
    [
        (
            {"shape": (4, 2)},
            ShapeError,
            'ring.py:8: tl.recv("prev") on sip0.cube0.pe1 asks for [8] fp32, and sip0.cube0.pe0 sent [4, 2] fp32 at '
            "ring.py:7; receive the shape and dtype that are sent, in the order they are sent",
        ),
        (
            {"dtype": float16},
            DTypeError,
            'ring.py:8: tl.recv("prev") on sip0.cube0.pe1 asks for [8] fp32, and sip0.cube0.pe0 sent [8] fp16 at '
            "ring.py:7; receive the shape and dtype that are sent, in the order they are sent",
        ),
        (
            {"shape": (), "dtype": float16},
            ShapeError,
            'ring.py:8: tl.recv("prev") on sip0.cube0.pe1 asks for [8] fp32, and sip0.cube0.pe0 sent [] fp16 at '
            "ring.py:7; receive the shape and dtype that are sent, in the order they are sent",
        ),
    ],
)
def test_a_mismatch_names_both_lines_and_what_differs(ends, sent, kind, text):
    end = ends[1]["prev"]
    error = mismatch(recv(end), message(**sent), end, PES)
    assert type(error) is kind
    assert str(error) == text


def test_what_is_left_over_is_named_with_each_line_once(ends):
    found = [LeftOver(ends[1]["prev"], [message(7), message(9), message(7)], 0)]
    error = left_over(found, PES)
    assert type(error) is QueueError
    assert str(error) == (
        "the launch ended with 3 messages that nobody received: sip0.cube0.pe1's queue 'prev' holds 3 from "
        "sip0.cube0.pe0 (sent at ring.py:7, ring.py:9); receive each message that is sent"
    )


def test_slots_that_were_not_given_back_are_named_too(ends):
    found = [LeftOver(ends[1]["prev"], [message()], 2)]
    assert str(left_over(found, PES)) == (
        "the launch ended with 1 message that nobody received: sip0.cube0.pe1's queue 'prev' holds 1 from "
        "sip0.cube0.pe0 (sent at ring.py:7); sip0.cube0.pe1's queue 'prev' owes sip0.cube0.pe0 2 credits; receive each "
        "message that is sent"
    )


def test_four_queues_are_named_and_the_others_counted(ends):
    found = [LeftOver(ends[pe]["prev"], [message(pe)], 0) for pe in range(N_RANKS)]
    assert str(left_over(found, PES)) == (
        "the launch ended with 6 messages that nobody received: "
        "sip0.cube0.pe0's queue 'prev' holds 1 from sip0.cube0.pe5 (sent at ring.py:0); "
        "sip0.cube0.pe1's queue 'prev' holds 1 from sip0.cube0.pe0 (sent at ring.py:1); "
        "sip0.cube0.pe2's queue 'prev' holds 1 from sip0.cube0.pe1 (sent at ring.py:2); "
        "sip0.cube0.pe3's queue 'prev' holds 1 from sip0.cube0.pe2 (sent at ring.py:3); "
        "2 more queues; receive each message that is sent"
    )
