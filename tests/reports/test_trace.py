"""A trace parses, keeps every picosecond, and has no two slices of a thread overlap."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernbench.reports.trace
from kernbench.config.load import load_config
from kernbench.errors import UsageError
from kernbench.messages.oplog import OpCode, OpRecord
from kernbench.reports.trace import trace_events, write_trace
from kernbench.topology.graph import Node, TopologyGraph

NODES = [
    Node(0, "host", "host", None, 0, 0),
    Node(1, "sip0.io_cpu", "io_cpu", None, 0, 0, (0,)),
    Node(2, "sip0.cube0.m_cpu", "m_cpu", None, 0, 0, (0, 0)),
    *(
        Node(3 + 4 * pe + i, f"sip0.cube0.pe{pe}.{kind}", kind, None, 0, 0, (0, 0, pe), pe=pe)
        for pe in range(11)
        for i, kind in enumerate(("pe_dma", "pe_mmu", "pe_gemm", "pe_ipcq"))
    ),
]
GRAPH = TopologyGraph(load_config("tiny").topology, NODES, [], [])
HOST, IO_CPU, M_CPU, DMA, MMU, GEMM, IPCQ = range(7)


def row(node, op, start_ps, end_ps, **fields):
    """A record with nothing but what is given."""
    empty = OpRecord(
        node, op, -1, -1, -1, start_ps, start_ps, end_ps, -1, -1, -1, -1, 0, 0, -1, -1, -1, -1, -1
    )
    return empty._replace(**fields)


def table(rows):
    return np.array(rows, dtype=np.int64).reshape(-1, len(OpRecord._fields))


def events(*rows):
    """The events of a trace, with times as exact decimals."""
    return [json.loads(text, parse_float=Decimal) for text in trace_events(table(rows), GRAPH)]


def names(found, what):
    """Names given to processes or threads, by (pid, tid)."""
    return {(e["pid"], e["tid"]): e["args"]["name"] for e in found if e["name"] == what}


def slices(found):
    return [e for e in found if e["ph"] == "X"]


def threads_of(found):
    """The slices of each thread as ``(ts, end)``, by process and thread name."""
    processes, threads = names(found, "process_name"), names(found, "thread_name")
    of = {(processes[pid, 0], thread): [] for (pid, _), thread in threads.items()}
    for e in slices(found):
        of[processes[e["pid"], 0], threads[e["pid"], e["tid"]]].append((e["ts"], e["ts"] + e["dur"]))
    return of


def test_one_slice_says_what_its_record_says():
    record = row(
        GEMM,
        OpCode.GEMM,
        12_000_345,
        12_080_346,
        command=5,
        tile=2,
        program=7,
        cause=0,
        work=65536,
        version=9,
    )
    found = events(row(DMA, OpCode.DMA_READ, 0, 1, size_bytes=4096), record)
    load, gemm = slices(found)
    assert (gemm["name"], gemm["ts"], gemm["dur"]) == ("gemm", Decimal("12.000345"), Decimal("0.080001"))
    assert gemm["args"] == {
        "record": 1,
        "command": 5,
        "tile": 2,
        "program": 7,
        "cause": 0,
        "work": 65536,
        "version": 9,
    }
    assert (load["name"], load["args"]) == ("dma_read", {"record": 0, "bytes": 4096})


def test_sip_cube_and_pe_are_processes_and_units_are_threads():
    found = events(
        row(GEMM, OpCode.GEMM, 0, 1),
        row(HOST, OpCode.HOST_WRITE, 0, 1),
        row(M_CPU, OpCode.CONTROL, 0, 1),
        row(IO_CPU, OpCode.CONTROL, 0, 1),
    )
    assert set(threads_of(found)) == {
        ("host", "host.to_device 0"),
        ("sip0", "io_cpu"),
        ("sip0.cube0", "m_cpu"),
        ("sip0.cube0.pe0", "pe_gemm"),
    }


def test_processes_are_sorted_from_the_outside_in_and_pes_by_number():
    rows = [row(node.index, OpCode.CONTROL, 0, 1) for node in reversed(NODES)]
    found = events(*rows)
    order = {e["pid"]: e["args"]["sort_index"] for e in found if e["name"] == "process_sort_index"}
    processes = {pid: name for (pid, _), name in names(found, "process_name").items()}
    in_order = [processes[pid] for pid in sorted(order, key=order.get)]
    assert in_order == ["host", "sip0", "sip0.cube0", *(f"sip0.cube0.pe{pe}" for pe in range(11))]


def test_descriptors_side_by_side_get_a_lane_each_and_directions_are_apart():
    found = events(
        row(DMA, OpCode.DMA_READ, 0, 10_000_000),
        row(DMA, OpCode.DMA_READ, 5_000_000, 12_000_000),
        row(DMA, OpCode.DMA_READ, 10_000_000, 20_000_000),
        row(DMA, OpCode.DMA_WRITE, 0, 15_000_000),
    )
    assert threads_of(found) == {
        ("sip0.cube0.pe0", "pe_dma.rd 0"): [(0, 10), (10, 20)],
        ("sip0.cube0.pe0", "pe_dma.rd 1"): [(5, 12)],
        ("sip0.cube0.pe0", "pe_dma.wr 0"): [(0, 15)],
    }


def test_maps_under_way_together_get_a_lane_each_apart_from_copies():
    found = events(
        row(HOST, OpCode.HOST_MAP, 0, 4_000_000),
        row(HOST, OpCode.HOST_MAP, 1_000_000, 3_000_000),
        row(HOST, OpCode.HOST_WRITE, 1_000_000, 9_000_000),
        row(HOST, OpCode.HOST_UNMAP, 4_000_000, 6_000_000),
    )
    assert threads_of(found) == {
        ("host", "host.map 0"): [(0, 4), (4, 6)],
        ("host", "host.map 1"): [(1, 3)],
        ("host", "host.to_device 0"): [(1, 9)],
    }
    assert [e["name"] for e in slices(found)] == ["host_map", "host_unmap", "host_map", "host_write"]


def test_what_becomes_of_a_map_is_seen_on_its_way_and_walks_go_on_meanwhile():
    found = events(
        row(IO_CPU, OpCode.CONTROL, 0, 1_000_000),
        row(M_CPU, OpCode.CONTROL, 2_000_000, 3_000_000),
        row(M_CPU, OpCode.TABLE_WRITE, 3_000_000, 5_000_000, size_bytes=4096),
        row(MMU, OpCode.CONTROL, 6_000_000, 7_000_000),
        row(MMU, OpCode.WALK, 5_500_000, 8_000_000, size_bytes=40),
    )
    assert threads_of(found) == {
        ("sip0", "io_cpu"): [(0, 1)],
        ("sip0.cube0", "m_cpu"): [(2, 3), (3, 5)],
        ("sip0.cube0.pe0", "pe_mmu"): [(6, 7)],
        ("sip0.cube0.pe0", "pe_mmu.walk 0"): [(Decimal("5.5"), 8)],
    }
    assert {e["name"]: e["args"].get("bytes") for e in slices(found)} == {
        "control": None,
        "table_write": 4096,
        "walk": 40,
    }


def test_waits_of_several_queues_get_a_lane_each_and_all_slots_pass_one_channel():
    found = events(
        row(HOST, OpCode.HOST_QUEUES, 0, 9_000_000),
        row(IPCQ, OpCode.CONTROL, 0, 1_000_000),
        row(IPCQ, OpCode.SLOT, 2_000_000, 5_000_000),
        row(IPCQ, OpCode.SLOT, 3_000_000, 4_000_000),
        row(IPCQ, OpCode.RECV, 2_000_000, 6_000_000),
        row(DMA, OpCode.IPCQ_COPY, 5_000_000, 6_000_000, size_bytes=512),
        row(DMA, OpCode.DRAIN, 6_000_000, 7_000_000, size_bytes=512),
        row(DMA, OpCode.DMA_READ, 5_000_000, 7_000_000),
    )
    assert threads_of(found) == {
        ("host", "host.queues 0"): [(0, 9)],
        ("sip0.cube0.pe0", "pe_ipcq"): [(0, 1)],
        ("sip0.cube0.pe0", "pe_ipcq.send 0"): [(2, 5)],
        ("sip0.cube0.pe0", "pe_ipcq.send 1"): [(3, 4)],
        ("sip0.cube0.pe0", "pe_ipcq.recv 0"): [(2, 6)],
        ("sip0.cube0.pe0", "pe_dma.comm 0"): [(5, 6), (6, 7)],
        ("sip0.cube0.pe0", "pe_dma.rd 0"): [(5, 7)],
    }


SPANS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**8)), max_size=25)


@given(SPANS)
def test_no_two_slices_of_a_thread_overlap_and_none_is_lost(spans):
    found = events(*(row(DMA, OpCode.DMA_READ, start, start + spent) for start, spent in spans))
    for lane in threads_of(found).values():
        for (_, end), (start, _) in zip(lane, lane[1:], strict=False):
            assert end <= start
    assert sorted(e["args"]["record"] for e in slices(found)) == list(range(len(spans)))


@given(SPANS)
def test_lanes_are_as_few_as_work_at_one_time(spans):
    found = events(*(row(DMA, OpCode.DMA_READ, start, start + 1 + spent) for start, spent in spans))
    at_once = [sum(s <= start < s + 1 + spent for s, spent in spans) for start, _ in spans]
    assert len(threads_of(found)) == max(at_once, default=0)


@given(st.integers(0, 2**62))
def test_times_keep_every_picosecond(ps):
    (found,) = slices(events(row(GEMM, OpCode.GEMM, ps, ps)))
    assert found["ts"] * 10**6 == ps


# --- the file ---


def test_the_file_is_one_json_document_of_events(tmp_path):
    path = tmp_path / "trace.json"
    write_trace(path, table([row(GEMM, OpCode.GEMM, 0, 1), row(DMA, OpCode.DMA_READ, 0, 1)]), GRAPH)
    document = json.loads(path.read_text())
    assert document["displayTimeUnit"] == "ns"
    assert len(slices(document["traceEvents"])) == 2
    assert all({"ph", "name", "pid", "tid", "args"} <= set(event) for event in document["traceEvents"])


def test_an_empty_log_is_an_empty_trace(tmp_path):
    path = tmp_path / "trace.json"
    write_trace(path, table([]), GRAPH)
    assert json.loads(path.read_text())["traceEvents"] == []


def test_an_interrupted_run_leaves_the_old_file_and_no_half_written_one(tmp_path, monkeypatch):
    path = tmp_path / "trace.json"
    path.write_text("old")

    def interrupted(*what):
        yield '{"ph": "M"}'
        raise KeyboardInterrupt

    monkeypatch.setattr(kernbench.reports.trace, "trace_events", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_trace(path, table([]), GRAPH)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error_in_one_line(tmp_path):
    path = tmp_path / "missing" / "trace.json"
    with pytest.raises(UsageError) as caught:
        write_trace(path, table([]), GRAPH)
    assert str(caught.value) == f"{path}: cannot be written: No such file or directory"
