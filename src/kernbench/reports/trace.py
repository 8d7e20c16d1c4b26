"""A run as a Chrome trace, which opens in ui.perfetto.dev: SIP, cube and PE are processes, units are threads.

Above all stand the launches, by the name of their kernel, each from the first PE's start to the last one's end, and
the rounds of what the program measures.
Slices of one thread may not overlap there, so work that a unit does side by side is spread over lanes: threads
``pe_dma.rd 0``, ``pe_dma.rd 1`` and so on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernbench.analysis.breakdown import Table, column, record_at
from kernbench.analysis.measured import MeasuredLaunch
from kernbench.files import written_whole
from kernbench.messages.oplog import OpCode, OpRecord, op_names
from kernbench.reports.tables import number_ranges
from kernbench.topology.graph import Node, TopologyGraph
from kernbench.units import PS_PER_US

_HOST = "host"
# Work of one unit that goes on side by side by design gets its threads by kind.
_WAY: dict[int, str] = {
    OpCode.DMA_READ: ".rd",
    OpCode.DMA_WRITE: ".wr",
    OpCode.IPCQ_COPY: ".comm",
    OpCode.DRAIN: ".comm",
    OpCode.SLOT: ".send",
    OpCode.RECV: ".recv",
    OpCode.WALK: ".walk",
    OpCode.HOST_WRITE: ".to_device",
    OpCode.HOST_READ: ".from_device",
    OpCode.HOST_MAP: ".map",
    OpCode.HOST_UNMAP: ".map",
    OpCode.HOST_QUEUES: ".queues",
}
# The arguments of a slice: name in the trace, column, and the value that means "none".
_ARGS = (
    ("command", "command", -1),
    ("tile", "tile", -1),
    ("bytes", "size_bytes", 0),
    ("program", "program", -1),
    ("work", "work", 0),
    ("version", "version", -1),
    ("cause", "cause", -1),
)


class HostSlice(NamedTuple):
    """A launch or a round of a measure in a trace: its name, when it ran, and what is known of it."""

    name: str
    start_ps: int
    end_ps: int
    args: Mapping[str, Any]


def launch_slice(launch: MeasuredLaunch) -> HostSlice:
    """The slice of a launch that is complete, with its causes, in ps."""
    args = {
        "grid": launch.grid,
        "pes": number_ranges(launch.pes),
        "sent_ps": launch.sent_ps,
        "done_ps": launch.done_ps,
        "causes_ps": launch.breakdown,
    }
    return HostSlice(launch.kernel, launch.start_ps, launch.end_ps, args)


def write_trace(
    path: Path,
    table: Table,
    graph: TopologyGraph,
    launches: Sequence[HostSlice] = (),
    rounds: Sequence[HostSlice] = (),
) -> None:
    """Write the op log ``table`` ``[records, columns]`` to ``path``, which appears whole or not at all.

    Times are microseconds with six decimals, so exact. Raises UsageError when the file cannot be written.
    """
    with written_whole(path) as part, part.open("w", encoding="utf-8") as out:
        out.write('{"displayTimeUnit": "ns", "traceEvents": [')
        separator = "\n"
        for event in trace_events(table, graph, launches, rounds):
            out.write(separator + event)
            separator = ",\n"
        out.write("\n]}\n")


def trace_events(
    table: Table,
    graph: TopologyGraph,
    launches: Sequence[HostSlice] = (),
    rounds: Sequence[HostSlice] = (),
) -> Iterator[str]:
    """Each event as JSON text: names of processes, then the rounds and launches, then one unit after another."""
    by_node, names = _rows_by_node(table), op_names(graph.spec.pe)
    processes = _processes([graph.nodes[index] for index in by_node], has_host=bool(launches or rounds))
    for order, (name, pid) in enumerate(processes.items()):
        yield _meta("process_name", pid, 0, {"name": name})
        yield _meta("process_sort_index", pid, 0, {"sort_index": order})
    tid = 0
    for kind, slices in (("measures", rounds), ("launches", launches)):
        in_order = sorted(slices, key=lambda one: (one.start_ps, one.end_ps))
        for number, lane in enumerate(_lanes([(one.start_ps, one.end_ps) for one in in_order])):
            tid += 1
            yield from _thread(processes[_HOST], tid, f"{kind} {number}")
            for i in lane:
                one = in_order[i]
                yield _slice(processes[_HOST], tid, one.name, one.start_ps, one.end_ps, one.args)
    for index, rows in by_node.items():
        node = graph.nodes[index]
        pid = processes[_process_of(node)]
        for thread, thread_rows in _threads(table, node, rows).items():
            tid += 1
            yield from _thread(pid, tid, thread)
            for row in thread_rows:
                record = record_at(table, row)
                name, args = names[record.op].lower(), _args(row, record)
                yield _slice(pid, tid, name, record.start_ps, record.end_ps, args)


def _rows_by_node(table: Table) -> dict[int, list[int]]:
    """The rows of each node that has any, in order of time."""
    nodes = column(table, "node")
    order = np.lexsort((column(table, "end_ps"), column(table, "start_ps"), nodes))
    first = np.flatnonzero(np.diff(nodes[order], prepend=-1))
    groups = np.split(order, first[1:]) if len(order) else []
    return {int(nodes[rows[0]]): rows.tolist() for rows in groups}


def _process_of(node: Node) -> str:
    """The SIP, cube or PE a node belongs to; what is outside of all SIPs is the host's."""
    return node.name.rpartition(".")[0] or _HOST


def _processes(nodes: list[Node], *, has_host: bool) -> dict[str, int]:
    """Process ids by name: the host, then each SIP before its cubes, each cube before its PEs."""
    places = {_process_of(node): node.at for node in nodes}
    if has_host:
        places.setdefault(_HOST, ())
    names = sorted(places, key=lambda name: places[name])
    return {name: pid for pid, name in enumerate(names, start=1)}


def _threads(table: Table, node: Node, rows: list[int]) -> dict[str, list[int]]:
    """The rows of one node, in order of time, by thread; no two of a thread overlap."""
    by_way: dict[str, list[int]] = {}
    for row, op in zip(rows, column(table, "op")[rows].tolist(), strict=True):
        by_way.setdefault(_WAY.get(op, ""), []).append(row)
    unit = node.name.rpartition(".")[2]
    threads = {}
    for way, members in sorted(by_way.items()):
        starts, ends = (column(table, name)[members].tolist() for name in ("start_ps", "end_ps"))
        lanes = _lanes(list(zip(starts, ends, strict=True)))
        for number, lane in enumerate(lanes):
            thread = f"{unit}{way} {number}" if way or len(lanes) > 1 else unit
            threads[thread] = [members[i] for i in lane]
    return threads


def _lanes(times: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The numbers of ``times``, ``(start, end)`` in order of start, over as few lanes as do without overlap."""
    lanes: list[list[int]] = []
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    for i, (start_ps, end_ps) in enumerate(times):
        while busy and busy[0][0] <= start_ps:
            heappush(free, heappop(busy)[1])
        if not free:
            heappush(free, len(lanes))
            lanes.append([])
        lane = heappop(free)
        lanes[lane].append(i)
        heappush(busy, (end_ps, lane))
    return lanes


def _args(row: int, record: OpRecord) -> dict[str, int]:
    args = {"record": row}
    for name, field, none in _ARGS:
        value = getattr(record, field)
        if value != none:
            args[name] = value
    return args


def _thread(pid: int, tid: int, name: str) -> Iterator[str]:
    yield _meta("thread_name", pid, tid, {"name": name})
    yield _meta("thread_sort_index", pid, tid, {"sort_index": tid})


def _slice(pid: int, tid: int, name: str, start_ps: int, end_ps: int, args: Mapping[str, Any]) -> str:
    ts, dur = _us(start_ps), _us(end_ps - start_ps)
    return (
        f'{{"ph": "X", "name": {json.dumps(name)}, "pid": {pid}, "tid": {tid}, "ts": {ts}, "dur": {dur}, '
        f'"args": {json.dumps(args)}}}'
    )


def _us(ps: int) -> str:
    """Microseconds as exact decimal text.

    >>> _us(12_000_345)
    '12.000345'
    """
    return f"{ps // PS_PER_US}.{ps % PS_PER_US:06d}"


def _meta(what: str, pid: int, tid: int, args: dict[str, Any]) -> str:
    return json.dumps({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args})
