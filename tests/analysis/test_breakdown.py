"""Every picosecond of a kernel and of a device window has exactly one cause."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.analysis.breakdown import device_breakdown, kernel_breakdown, kernel_spans
from kernbench.analysis.causes import DEVICE_CAUSES, by_cause, causes
from kernbench.config.load import load_config
from kernbench.messages.lines import CommandLines
from kernbench.messages.oplog import OpCode, OpRecord
from kernbench.topology.graph import Node, TopologyGraph

KINDS = ("pe_cpu", "pe_scheduler", "pe_dma", "pe_fetch_store", "pe_gemm", "pe_math", "pe_ipcq")
HOST = 2 * len(KINDS)
UNIT_OF = {
    OpCode.DISPATCH: "pe_scheduler",
    OpCode.DMA_READ: "pe_dma",
    OpCode.DMA_WRITE: "pe_dma",
    OpCode.FETCH: "pe_fetch_store",
    OpCode.STORE: "pe_fetch_store",
    OpCode.GEMM: "pe_gemm",
    OpCode.MATH: "pe_math",
    OpCode.SLOT: "pe_ipcq",
    OpCode.IPCQ_COPY: "pe_dma",
    OpCode.RECV: "pe_ipcq",
    OpCode.DRAIN: "pe_dma",
}
HOST_OPS = {
    OpCode.HOST_MAP: "map",
    OpCode.HOST_UNMAP: "unmap",
    OpCode.HOST_WRITE: "host to device",
    OpCode.HOST_READ: "device to host",
    OpCode.HOST_QUEUES: "queues",
}
NO_MARKS = (-1,) * 5


def two_pes():
    """A graph of two PEs' units and the host."""
    nodes = [
        Node(pe * len(KINDS) + i, f"sip0.cube0.pe{pe}.{kind}", kind, None, 0, 0, (0, 0, pe), pe=pe)
        for pe in range(2)
        for i, kind in enumerate(KINDS)
    ]
    return TopologyGraph(
        load_config("tiny").topology, [*nodes, Node(HOST, "host", "host", None, 0, 0)], [], []
    )


GRAPH = two_pes()
NO_LINES = CommandLines(keep=False)


class Launched(NamedTuple):
    sent_ps: int
    done_ps: int
    pes: tuple[int, ...] = (0, 1)


class Log:
    """Builds a table row by row."""

    def __init__(self):
        self.rows = []

    def add(self, op, start_ps, end_ps, cause=-1, *, ready_ps=None, pe=0, marks=NO_MARKS):
        """Append a record; it was ready when its cause ended, unless said otherwise. Gives its number."""
        node = pe * len(KINDS) + KINDS.index(UNIT_OF.get(op, "pe_cpu"))
        if op in HOST_OPS:
            node = HOST
        if ready_ps is None:
            ready_ps = self.rows[cause].end_ps if cause >= 0 else start_ps
        row = OpRecord(node, op, 0, 0, 0, ready_ps, start_ps, end_ps, -1, cause, -1, -1, 0, 0, *marks)
        self.rows.append(row)
        return len(self.rows) - 1

    def kernel(self, sent_ps=0, done_ps=10**18):
        """The breakdown of the slowest PE of the launch in that window."""
        return by_cause(kernel_breakdown(self.table, GRAPH, self.span(sent_ps, done_ps), NO_LINES))

    def span(self, sent_ps=0, done_ps=10**18):
        return self.spans(Launched(sent_ps, done_ps))[0]

    def spans(self, *launches):
        return kernel_spans(self.table, GRAPH, launches)

    def device(self, launches, from_ps, to_ps):
        """Where the time of that window of the device went."""
        return device_breakdown(self.table, self.spans(*launches), from_ps, to_ps)

    @property
    def table(self):
        return np.array(self.rows, dtype=np.int64).reshape(-1, len(OpRecord._fields))


# --- one kernel, by hand ---


def test_one_load_and_one_dot_by_hand():
    log = Log()
    start = log.add(OpCode.START, 1000, 1020)
    issue = log.add(OpCode.ISSUE, 1020, 1024, start)
    dispatch = log.add(OpCode.DISPATCH, 1024, 1026, issue)
    load = log.add(OpCode.DMA_READ, 1026, 1200, dispatch, marks=(1042, 1042, 1050, 1060, 1113))
    fetch = log.add(OpCode.FETCH, 1210, 1230, load)  # 10 ps between the two, for an operand, say
    gemm = log.add(
        OpCode.GEMM, 1237, 1301, fetch, ready_ps=1232
    )  # 2 ps on its way, 5 until the array was free
    log.add(OpCode.END, 1301, 1303, gemm)
    assert log.kernel() == {
        "kernel start": 20,
        "command issue": 4,
        "dispatch": 2,
        "dma setup and window": 1042 - 1026,
        "request on the fabric": 1050 - 1042,
        "hbm queue": 1060 - 1050,
        "hbm": 1113 - 1060,
        "data on the fabric": 1200 - 1113,
        "fetch": 20,
        "gemm": 64,
        "pe_fetch_store busy": 10,
        "pe_gemm busy": 5,
        "hand-over": 2,
        "kernel end": 2,
    }


def test_the_data_of_a_store_travel_on_the_way_to_the_memory():
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    store = log.add(OpCode.DMA_WRITE, 20, 200, start, marks=(36, 36, 100, 110, 160))
    log.add(OpCode.END, 200, 200, store)
    assert log.kernel() == {
        "kernel start": 20,
        "dma setup and window": 16,
        "request on the fabric": 40,  # the acknowledgement
        "hbm queue": 10,
        "hbm": 50,
        "data on the fabric": 64,
    }


def test_a_load_that_walks_for_its_page_by_hand():
    # 16 of set-up and 1 of look-up; then two reads of HBM, 90 each, before its own request can leave
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    load = log.add(OpCode.DMA_READ, 20, 375, start, marks=(37, 217, 225, 235, 288))
    log.add(OpCode.END, 375, 375, load)
    assert log.kernel() == {
        "kernel start": 20,
        "dma setup and window": 17,
        "page walk": 180,
        "request on the fabric": 225 - 217,
        "hbm queue": 235 - 225,
        "hbm": 288 - 235,
        "data on the fabric": 375 - 288,
    }


def test_of_a_walk_that_the_load_before_hides_only_the_rest_is_its_own():
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    first = log.add(OpCode.DMA_READ, 20, 200, start)
    second = log.add(OpCode.DMA_READ, 200, 300, first, ready_ps=24, marks=(50, 230, 240, 250, 280))
    log.add(OpCode.END, 300, 300, second)
    assert log.kernel() == {
        "kernel start": 20,
        "dma setup and window": 180,
        "page walk": 30,
        "request on the fabric": 10,
        "hbm queue": 10,
        "hbm": 30,
        "data on the fabric": 20,
    }


def test_a_descriptor_without_bytes_is_all_set_up():
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    load = log.add(OpCode.DMA_READ, 20, 36, start)
    log.add(OpCode.END, 36, 36, load)
    assert log.kernel() == {"kernel start": 20, "dma setup and window": 16}


def test_of_what_overlaps_its_cause_only_the_rest_is_its_own():
    # PE_CPU waits from 20 on for a value that is there at 120, and reads it back in 20.
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    math = log.add(OpCode.MATH, 20, 120, start)
    readback = log.add(OpCode.READBACK, 20, 140, math, ready_ps=20)
    log.add(OpCode.END, 140, 140, readback)
    assert log.kernel() == {"kernel start": 20, "math": 100, "readback": 20}


def test_what_a_blocked_unit_waited_is_named_by_the_unit():
    # The array ended a tile at 100 but could not hand it on until 130; the next one had been ready since 50.
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    first = log.add(OpCode.GEMM, 20, 100, start)
    second = log.add(OpCode.GEMM, 130, 200, first, ready_ps=50)
    log.add(OpCode.END, 200, 200, second)
    assert log.kernel() == {"kernel start": 20, "gemm": 150, "pe_gemm busy": 30}


def test_of_a_descriptor_that_overlaps_the_one_before_only_the_rest_is_its_own():
    # Its requests left while the channel still retired the first load, and its data came right behind.
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    first = log.add(OpCode.DMA_READ, 20, 200, start, marks=(36, 36, 40, 50, 103))
    second = log.add(OpCode.DMA_READ, 200, 270, first, ready_ps=24, marks=(150, 150, 160, 170, 223))
    log.add(OpCode.END, 270, 270, second)
    assert log.kernel() == {
        "kernel start": 20,
        "dma setup and window": 16,
        "request on the fabric": 4,
        "hbm queue": 10,
        "hbm": 53 + 23,
        "data on the fabric": 97 + 47,
    }


def test_a_channel_that_cannot_hand_on_is_busy_whatever_its_next_descriptor_did_before():
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    first = log.add(OpCode.DMA_READ, 20, 200, start)
    second = log.add(OpCode.DMA_READ, 240, 250, first, ready_ps=24, marks=(150, 150, 160, 170, 223))
    log.add(OpCode.END, 250, 250, second)
    assert log.kernel() == {
        "kernel start": 20,
        "dma setup and window": 180,
        "data on the fabric": 10,
        "pe_dma busy": 40,
    }


def test_waiting_is_the_work_of_a_readback_and_of_the_end():
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    readback = log.add(OpCode.READBACK, 30, 50, start, ready_ps=20)
    log.add(OpCode.END, 70, 70, readback, ready_ps=50)
    assert log.kernel() == {"kernel start": 20, "readback": 30, "kernel end": 20}


def test_nothing_before_the_start_of_the_pe_counts():
    # What the load waited for ended in the launch before.
    log = Log()
    before = log.add(OpCode.DMA_WRITE, 0, 90, marks=(10, 10, 20, 30, 40))
    log.add(OpCode.START, 100, 120)
    load = log.add(OpCode.DMA_READ, 150, 200, before, ready_ps=150, marks=(160, 160, 170, 180, 190))
    log.add(OpCode.END, 200, 200, load)
    assert log.kernel(sent_ps=95) == {
        "dma setup and window": 10,
        "request on the fabric": 10,
        "hbm queue": 10,
        "hbm": 10,
        "data on the fabric": 10,
        "hand-over": 50,
    }


def test_a_record_without_a_cause_leaves_the_rest_untraced():
    log = Log()
    log.add(OpCode.START, 0, 20)
    gemm = log.add(OpCode.GEMM, 70, 100)
    log.add(OpCode.END, 100, 100, gemm)
    assert log.kernel() == {"gemm": 30, "not traced": 70}


def test_a_cause_of_the_same_instant_may_stand_behind_its_effect():
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    log.add(OpCode.END, 100, 100, cause=2, ready_ps=100)
    log.add(OpCode.GEMM, 30, 100, start)
    assert log.kernel() == {"kernel start": 20, "pe_gemm busy": 10, "gemm": 70}


def test_a_cause_that_ended_later_is_a_bug():
    log = Log()
    log.add(OpCode.START, 0, 20)
    log.add(OpCode.GEMM, 20, 40, cause=2, ready_ps=20)
    gemm = log.add(OpCode.GEMM, 40, 50, cause=0)
    log.add(OpCode.END, 60, 60, cause=gemm - 1)
    with pytest.raises(AssertionError, match=r"^record 1 names 2 as its cause, which ended after it$"):
        log.kernel()


def test_a_record_among_its_own_causes_is_a_bug():
    log = Log()
    log.add(OpCode.START, 0, 20)
    log.add(OpCode.RECV, 60, 60, cause=2, ready_ps=50)
    recv = log.add(OpCode.RECV, 60, 60, cause=1, ready_ps=50)
    log.add(OpCode.END, 60, 60, cause=recv)
    with pytest.raises(AssertionError, match=r"^record 2 is among its own causes$"):
        log.kernel()


# --- queues: the way back crosses to other PEs ---


def test_a_message_leads_to_what_its_sender_did():
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    log.add(OpCode.START, 10, 30, pe=1)
    math = log.add(OpCode.MATH, 20, 120, start)
    copy = log.add(OpCode.IPCQ_COPY, 125, 150, math)
    log.add(OpCode.END, 150, 150, copy)
    recv = log.add(OpCode.RECV, 36, 190, copy, ready_ps=36, pe=1)
    log.add(OpCode.END, 192, 192, recv, pe=1)
    assert log.kernel() == {
        "kernel start": 20,
        "math": 100,
        "send": 25,
        "message on the fabric": 40,
        "pe_dma busy": 5,
        "kernel end": 2,
    }


def test_a_credit_leads_to_what_freed_the_slot():
    log = Log()
    log.add(OpCode.START, 0, 20)
    start = log.add(OpCode.START, 5, 25, pe=1)
    math = log.add(OpCode.MATH, 25, 160, start, pe=1)  # reads the block, which then dies
    log.add(OpCode.END, 160, 160, math, pe=1)
    slot = log.add(OpCode.SLOT, 30, 200, math, ready_ps=26)
    copy = log.add(OpCode.IPCQ_COPY, 200, 216, slot)
    log.add(OpCode.END, 216, 216, copy)
    assert log.kernel() == {
        "launch skew": 5,  # of the other PE
        "kernel start": 20,
        "math": 135,
        "credit return": 40,
        "send": 16,
    }


def test_a_part_of_a_message_that_has_its_slot_at_once_waited_for_nobody():
    log = Log()
    start = log.add(OpCode.START, 0, 20)
    first = log.add(OpCode.SLOT, 22, 22, start, ready_ps=22)
    second = log.add(OpCode.SLOT, 30, 30, first, ready_ps=21)  # the first one waited for PE_DMA until 30
    copy = log.add(OpCode.IPCQ_COPY, 30, 46, second)
    drain = log.add(OpCode.DRAIN, 46, 60, copy)
    log.add(OpCode.END, 60, 60, drain)
    assert log.kernel() == {
        "kernel start": 20,
        "send": 16,
        "slot to tcm": 14,
        "pe_ipcq busy": 8,
        "hand-over": 2,
    }


@pytest.mark.parametrize(("sender_ps", "skew_ps"), [(0, 0), (300, 200)])
def test_what_starts_late_is_skew_only_where_the_way_back_ends(sender_ps, skew_ps):
    # PE 1 begins at 100, ends last, and waited for PE 0 from its first command on.
    log = Log()
    start = log.add(OpCode.START, sender_ps, sender_ps + 20)
    log.add(OpCode.START, 100, 120, pe=1)
    copy = log.add(OpCode.IPCQ_COPY, sender_ps + 20, sender_ps + 90, start)
    log.add(OpCode.END, sender_ps + 90, sender_ps + 90, copy)
    recv = log.add(OpCode.RECV, 121, 500, copy, pe=1)
    log.add(OpCode.END, 500, 500, recv, pe=1)
    parts = {
        "launch skew": skew_ps,
        "kernel start": 20,
        "send": 70,
        "message on the fabric": 500 - sender_ps - 90,
    }
    assert log.kernel() == {name: ps for name, ps in parts.items() if ps}


def test_a_credit_for_what_a_launch_before_received_is_waited_for_from_the_start_on():
    log = Log()
    before = log.add(OpCode.RECV, 0, 90, pe=1)
    log.add(OpCode.START, 100, 120)
    log.add(OpCode.START, 110, 130, pe=1)
    log.add(OpCode.END, 140, 140, pe=1)
    slot = log.add(OpCode.SLOT, 130, 150, before)
    log.add(OpCode.END, 150, 150, slot)
    assert log.kernel(sent_ps=95) == {"credit return": 50}


# --- any kernel ---

NEVER_A_CAUSE = {OpCode.CONTROL, OpCode.WALK, OpCode.TABLE_WRITE, *HOST_OPS}
OWN = [op for op in OpCode if op not in (OpCode.START, OpCode.END) and op not in NEVER_A_CAUSE]
WORK = st.tuples(
    st.sampled_from(OWN),
    st.integers(0, 1),  # its PE
    st.integers(0, 100),  # how far back its cause lies
    st.integers(-50, 50),  # ready, from the cause's end
    st.integers(0, 50),  # start, from ready
    st.lists(st.integers(0, 50), min_size=6, max_size=6),  # the parts of its own time
)


def chain(works, first_ps, other_ps):
    """A log of two PEs in which each record's cause is some earlier one that did not end later."""
    log = Log()
    for pe, start_ps in enumerate((first_ps, other_ps)):
        log.add(OpCode.START, start_ps, start_ps + 20, pe=pe)
    for op, pe, back, ready, wait, parts in works:
        cause = max(0, len(log.rows) - 1 - back)
        ready_ps = max(0, log.rows[cause].end_ps + ready)
        times = [ready_ps + wait]
        for part in parts:
            times.append(times[-1] + part)
        times[6] = max(times[6], log.rows[cause].end_ps)
        marks = times[1:6] if op in (OpCode.DMA_READ, OpCode.DMA_WRITE) else NO_MARKS
        log.add(op, times[0], times[6], cause, ready_ps=ready_ps, pe=pe, marks=marks)
    cause = len(log.rows) - 1
    end_ps = max(row.end_ps for row in log.rows)
    for pe in range(2):
        log.add(OpCode.END, end_ps, end_ps + 5, cause, pe=pe)
    return log


@given(st.lists(WORK, max_size=30), st.integers(0, 1000), st.integers(0, 1000))
def test_the_causes_sum_to_the_kernel_time_whatever_the_records_say(works, first_ps, other_ps):
    log = chain(works, first_ps, other_ps)
    span, parts = log.span(), log.kernel()
    assert sum(parts.values()) == span.time_ps
    assert all(ps > 0 for ps in parts.values())
    assert list(parts) == [name for name in causes() if name in parts]


# --- which PE ---


def pe_of(log, pe, start_ps, end_ps):
    start = log.add(OpCode.START, start_ps, start_ps + 1, pe=pe)
    gemm = log.add(OpCode.GEMM, start_ps + 1, end_ps - 1, start, pe=pe)
    log.add(OpCode.END, end_ps - 1, end_ps, gemm, pe=pe)


def test_a_launch_lasts_from_the_first_start_to_the_last_end_and_the_skew_is_named():
    log = Log()
    pe_of(log, 0, 100, 200)
    pe_of(log, 1, 150, 210)
    span = log.span()
    assert (span.pe, span.start_ps, span.end_ps, span.time_ps, span.skew_ps) == (1, 100, 210, 110, 50)
    assert log.kernel() == {"launch skew": 50, "kernel start": 1, "gemm": 58, "kernel end": 1}


def test_of_pes_that_end_together_the_first_is_taken():
    log = Log()
    pe_of(log, 1, 100, 210)
    pe_of(log, 0, 110, 210)
    assert log.span().pe == 0


def test_each_launch_has_its_own_records():
    log = Log()
    pe_of(log, 0, 100, 200)
    pe_of(log, 0, 400, 450)
    assert log.span(50, 250).time_ps == 100
    assert log.span(300, 500).time_ps == 50
    assert log.kernel(300, 500) == {"kernel start": 1, "gemm": 48, "kernel end": 1}


def test_a_pe_that_never_ended_is_a_bug():
    log = Log()
    log.add(OpCode.START, 0, 1)
    with pytest.raises(AssertionError, match=r"^a PE started and did not end"):
        log.span()


# --- the device ---


def test_a_copy_a_launch_and_a_copy_back_by_hand():
    log = Log()
    log.add(OpCode.HOST_WRITE, 0, 1000)
    pe_of(log, 0, 1600, 5000)
    pe_of(log, 1, 1650, 5010)
    log.add(OpCode.HOST_READ, 5700, 6000)
    assert log.device([Launched(1000, 5600)], 0, 6000) == {
        "host to device": 1000,
        "launch": 600,
        "kernel": 3410,
        "completion": 590,
        "device to host": 300,
        "idle": 100,
    }


def test_the_kernels_share_of_the_device_is_its_kernel_time():
    log = Log()
    pe_of(log, 0, 300, 900)
    parts = log.device([Launched(100, 1000)], 0, 1000)
    assert parts["kernel"] == log.span().time_ps == 600


def test_a_window_of_one_iteration_sees_only_its_own():
    log = Log()
    for at_ps in (0, 1000):
        log.add(OpCode.HOST_WRITE, at_ps, at_ps + 400)
        log.add(OpCode.HOST_READ, at_ps + 400, at_ps + 1000)
    assert log.device([], 1000, 2000) == {
        "host to device": 400,
        "device to host": 600,
    }


def test_a_map_a_copy_a_launch_and_an_unmap_by_hand():
    log = Log()
    log.add(OpCode.HOST_MAP, 0, 1000)
    log.add(OpCode.HOST_WRITE, 1100, 1500)
    pe_of(log, 0, 2100, 3000)
    log.add(OpCode.HOST_UNMAP, 3600, 4400)
    assert log.device([Launched(1500, 3600)], 0, 4400) == {
        "map": 1000,
        "unmap": 800,
        "host to device": 400,
        "launch": 600,
        "kernel": 900,
        "completion": 600,
        "idle": 100,
    }


@pytest.mark.parametrize(
    ("map_end_ps", "map_ps", "copy_ps"), [(300, 300, 700), (1000, 0, 1000), (1400, 400, 1000)]
)
def test_of_a_map_and_a_copy_that_begin_together_the_one_that_outlasts_the_other_has_the_rest(
    map_end_ps, map_ps, copy_ps
):
    log = Log()
    log.add(OpCode.HOST_WRITE, 0, 1000)
    log.add(OpCode.HOST_MAP, 0, map_end_ps)
    parts = log.device([], 0, 1400)
    assert (parts.get("map", 0), parts["host to device"]) == (map_ps, copy_ps)
    assert parts.get("idle", 0) == 1400 - map_ps - copy_ps


def test_maps_that_are_under_way_together_take_the_time_of_the_longest():
    log = Log()
    for start_ps, end_ps in ((0, 100), (0, 400), (0, 250), (50, 300)):
        log.add(OpCode.HOST_MAP, start_ps, end_ps)
    assert log.device([], 0, 500) == {"map": 400, "idle": 100}


def test_of_a_launch_that_a_map_was_under_way_before_only_the_rest_is_its_own():
    log = Log()
    log.add(OpCode.HOST_MAP, 0, 700)  # of a tensor that this launch does not use
    pe_of(log, 0, 600, 900)
    assert log.device([Launched(100, 1000)], 0, 1000) == {
        "map": 700,
        "kernel": 200,
        "completion": 100,
    }


HOST_WORK = st.lists(
    st.tuples(st.sampled_from(list(HOST_OPS)), st.integers(0, 100), st.integers(0, 100)), max_size=10
)


@given(HOST_WORK, st.integers(0, 100), st.integers(0, 150))
def test_the_causes_sum_to_the_window_however_maps_and_copies_overlap(works, from_ps, length_ps):
    log = Log()
    busy_ps = set()
    for op, start_ps, spent_ps in works:
        log.add(op, start_ps, start_ps + spent_ps)
        busy_ps.update(range(start_ps, start_ps + spent_ps))
    parts = log.device([], from_ps, from_ps + length_ps)
    assert sum(parts.values()) == length_ps
    assert parts.get("idle", 0) == length_ps - len(busy_ps & set(range(from_ps, from_ps + length_ps)))
    assert set(parts) <= {HOST_OPS[op] for op, _, _ in works} | {"idle"} <= set(DEVICE_CAUSES)
