"""Where the time went: every picosecond of a kernel, and of a device window, has exactly one cause.

The kernel's breakdown walks back from the end of the PE that ended last along what each record waited for: a record's
own time goes to what its unit did, the time between its cause's end and its start to what it waited for. Messages and
credits of queues lead it from one PE to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kernbench.analysis.causes import DEVICE_CAUSES, Part
from kernbench.analysis.launch_span import LaunchSpan
from kernbench.kinds import KINDS, Op
from kernbench.messages.lines import GATHER, SCATTER, CommandLines, Origin
from kernbench.messages.oplog import OpCode, OpRecord, op_rows
from kernbench.topology.graph import TopologyGraph

Table = npt.NDArray[np.int64]  # [records, columns of OpRecord]

_HOST_OPS: dict[int, str] = {
    OpCode.HOST_MAP: "map",
    OpCode.HOST_UNMAP: "unmap",
    OpCode.HOST_QUEUES: "queues",
    OpCode.HOST_WRITE: "host to device",
    OpCode.HOST_READ: "device to host",
}
# Whom a command's time is spent for; what moves data has PE_DMA's channels, any other op is PE_MATH's.
_UNITS: dict[str, str] = {
    "load": "pe_dma.rd",
    GATHER: "pe_dma.rd",
    "store": "pe_dma.wr",
    SCATTER: "pe_dma.wr",
    "dot": "pe_gemm",
    "send": "pe_ipcq",
    "recv": "pe_ipcq",
    "wait": "pe_cpu",
}
_CHANNELS: dict[int, str] = {OpCode.DMA_READ: "pe_dma.rd", OpCode.DMA_WRITE: "pe_dma.wr"}


class OpRow(NamedTuple):
    """A row of the op log, and its time."""

    row: int
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSpan:
    """One launch on the device: from the first PE's START record to the last PE's END record.

    ``pe`` is the PE that ended last, with the record ``end_row``; ``begins`` are the START records, by PE. ``sent_ps``
    and ``done_ps`` are as the host saw it.
    """

    pe: int
    end_row: int
    sent_ps: int
    start_ps: int
    end_ps: int
    done_ps: int
    begins: Mapping[int, OpRow] = field(hash=False)

    @property
    def time_ps(self) -> int:
        """The kernel time of the launch."""
        return self.end_ps - self.start_ps

    @property
    def skew_ps(self) -> int:
        """How much later than the first PE the last one to end began."""
        return self.begins[self.pe].start_ps - self.start_ps


def kernel_spans(table: Table, graph: TopologyGraph, launches: Iterable[LaunchSpan]) -> list[KernelSpan]:
    """The span of each of ``launches``, by the PE that ended last (of equal ones the lowest)."""
    starts, ends = _Marks(table, graph, OpCode.START), _Marks(table, graph, OpCode.END)
    return [_kernel_span(launch, starts.within(launch), ends.within(launch)) for launch in launches]


def _kernel_span(launch: LaunchSpan, starts: Mapping[int, OpRow], ends: Mapping[int, OpRow]) -> KernelSpan:
    if not starts or starts.keys() != ends.keys():
        raise AssertionError("a PE started and did not end, or the other way round, or no PE started")
    last = min(ends, key=lambda pe: (-ends[pe].end_ps, pe))
    return KernelSpan(
        pe=last,
        end_row=ends[last].row,
        sent_ps=launch.sent_ps,
        start_ps=min(start.start_ps for start in starts.values()),
        end_ps=ends[last].end_ps,
        done_ps=launch.done_ps,
        begins=starts,
    )


class _Marks:
    """All records of one op, found once for all launches."""

    def __init__(self, table: Table, graph: TopologyGraph, op: OpCode) -> None:
        self.op = op
        rows = np.flatnonzero(column(table, "op") == op)
        self._rows = rows
        self._starts, self._ends = column(table, "start_ps")[rows], column(table, "end_ps")[rows]
        self._pes = [graph.nodes[node].pe for node in column(table, "node")[rows].tolist()]

    def within(self, launch: LaunchSpan) -> dict[int, OpRow]:
        """The record of each PE of ``launch``, by PE."""
        found = np.flatnonzero((self._starts >= launch.sent_ps) & (self._ends <= launch.done_ps))
        mine = [i for i in found.tolist() if self._pes[i] in launch.pes]
        by_pe = {
            self._pes[i]: OpRow(int(self._rows[i]), int(self._starts[i]), int(self._ends[i])) for i in mine
        }
        if len(by_pe) != len(mine):
            raise AssertionError(f"a PE has two {self.op.name} records in one launch")
        return by_pe


def column(table: Table, name: str) -> Table:
    """One column of the op log, ``[records]``."""
    return table[:, OpRecord._fields.index(name)]


def record_at(table: Table, row: int) -> OpRecord:
    """One row of the op log."""
    return OpRecord(*table[row].tolist())


def kernel_breakdown(
    table: Table, graph: TopologyGraph, span: KernelSpan, lines: CommandLines
) -> dict[Part, int]:
    """Picoseconds by cause, unit and line, which sum to ``span.time_ps`` exactly; ``lines`` of the log's commands."""
    parts: dict[Part, int] = {}
    ops = op_rows(graph.spec.pe)
    left_ps, row = span.end_ps, span.end_row
    walked: set[int] = set()
    while row >= 0 and left_ps > span.start_ps:
        if row in walked:
            raise AssertionError(f"record {row} is among its own causes")
        walked.add(row)
        record = record_at(table, row)
        cause = record_at(table, record.cause) if record.cause >= 0 else None
        if cause is not None and cause.end_ps > record.end_ps:
            raise AssertionError(f"record {row} names {record.cause} as its cause, which ended after it")
        unit = graph.nodes[record.node]
        origin = lines.origin(unit.pe, record)
        payer, op = _unit_of(record, unit.kind, origin), ops[record.op]
        row, floor_ps, is_awaited = -1, span.begins[unit.pe].start_ps, op.waits == "always"
        if cause is not None:
            pe = graph.nodes[cause.node].pe
            is_awaited |= pe != unit.pe and op.waits == "for other PEs"
            if pe in span.begins and cause.end_ps >= span.begins[pe].end_ps:  # not of a launch before
                row, floor_ps = record.cause, max(cause.end_ps, span.start_ps)
        for begin_ps, name in reversed(_segments(record, op, unit.kind, floor_ps, is_awaited=is_awaited)):
            begin_ps = max(begin_ps, floor_ps)
            if begin_ps < left_ps:
                part = Part(name, payer, origin)
                parts[part] = parts.get(part, 0) + left_ps - begin_ps
                left_ps = begin_ps
    if left_ps > span.start_ps:
        parts[Part("launch skew", "pe_cpu", None)] = left_ps - span.start_ps
    if sum(parts.values()) != span.time_ps:
        raise AssertionError(f"the causes sum to {sum(parts.values())} ps of {span.time_ps} ps")
    return parts


def _unit_of(record: OpRecord, kind: str, origin: Origin | None) -> str:
    """Whom the time of a record of a unit of ``kind`` is spent for (see :class:`Part`)."""
    if record.op in _CHANNELS:
        return _CHANNELS[record.op]
    if record.op == OpCode.READBACK or record.op >= len(OpCode) or origin is None:
        return kind
    unit = _UNITS.get(origin.op, "pe_math")
    # What a load, a store or a send finds in the accumulators, it stores to TCM first: a result of PE_GEMM.
    return "pe_gemm" if record.op == OpCode.STORE and unit != "pe_math" else unit


def _segments(
    record: OpRecord, op: Op, kind: str, floor_ps: int, *, is_awaited: bool
) -> list[tuple[int, str]]:
    """``(begin, cause)`` of each part of a record's time in order, from its cause's end ``floor_ps`` on.

    Of a record that ``is_awaited``, waiting is its work.
    """
    if op.cause is None:
        KINDS[kind].refuse(KINDS[kind].mistakes_in_causes())
        raise AssertionError(f"{kind} logs {op.name}, which no kernel waits for")
    own = op.cause.name
    if record.cause < 0:
        waiting = [(floor_ps, "not traced")]
    elif is_awaited:
        waiting = [(floor_ps, own)]
    else:
        waiting = [(floor_ps, "hand-over"), (record.ready_ps, f"{kind} busy")]
    segments = [*waiting, (record.start_ps, own)]
    if op.marks and record.mark1_ps >= 0:
        marks = (record.mark1_ps, record.mark2_ps, record.mark3_ps, record.mark4_ps, record.mark5_ps)
        # A descriptor's requests may leave while the one before it still holds the channel.
        segments += [
            (max(mark_ps, record.start_ps), cause.name)
            for mark_ps, cause in zip(marks, op.marks, strict=True)
        ]
    return segments


def device_breakdown(
    table: Table, launches: Iterable[KernelSpan], from_ps: int, to_ps: int
) -> dict[str, int]:
    """Picoseconds by cause (see :data:`DEVICE_CAUSES`) of the window, which sum to ``to_ps - from_ps`` exactly.

    Where two overlap, the one that began first has the time until its end.
    """
    parts = dict.fromkeys(DEVICE_CAUSES, 0)
    at_ps = from_ps
    for begin_ps, end_ps, name in sorted(_device_segments(table, launches)):
        begin_ps, end_ps = max(begin_ps, at_ps), min(end_ps, to_ps)
        if begin_ps < end_ps:
            parts["idle"] += begin_ps - at_ps
            parts[name] += end_ps - begin_ps
            at_ps = end_ps
    parts["idle"] += to_ps - at_ps
    if sum(parts.values()) != to_ps - from_ps:
        raise AssertionError(f"the causes sum to {sum(parts.values())} ps of {to_ps - from_ps} ps")
    return {name: ps for name, ps in parts.items() if ps}


def _device_segments(table: Table, launches: Iterable[KernelSpan]) -> list[tuple[int, int, str]]:
    segments = []
    for op, name in _HOST_OPS.items():
        for row in np.flatnonzero(column(table, "op") == op):
            record = record_at(table, int(row))
            segments.append((record.start_ps, record.end_ps, name))
    for launch in launches:
        segments += [
            (launch.sent_ps, launch.start_ps, "launch"),
            (launch.start_ps, launch.end_ps, "kernel"),
            (launch.end_ps, launch.done_ps, "completion"),
        ]
    return segments
