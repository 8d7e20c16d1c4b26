"""The host: copies over PCIe without IO_CPU's help; launches, maps and unmaps through IO_CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from kernbench.components.base import COMPONENTS, Request, Site
from kernbench.components.control_cpu import Dispatcher
from kernbench.components.packets import packets, transaction_for
from kernbench.components.stream import CommandStream
from kernbench.config.machine import HostSpec
from kernbench.engine import Server
from kernbench.engine.api import Credits, ProcessBody, Queue, Signal
from kernbench.kinds import Kind
from kernbench.memory.mapping import TensorMapping
from kernbench.messages.fabric import (
    CONTROL,
    READ_REQUEST,
    REQ,
    WRITE_REQUEST,
    Chunk,
    LaunchMsg,
    MmuMapMsg,
    MmuUnmapMsg,
    Piece,
    Transaction,
    Vc,
)
from kernbench.messages.ipcq import QueuesMsg, Wiring
from kernbench.messages.oplog import OpCode
from kernbench.topology.ids import Position, part_name


class _Job:
    """What the host asked all SIPs for, and how many have yet to report; ``done`` fires after ``finish()``."""

    __slots__ = ("done", "finish", "n_left")

    def __init__(self, done: Signal, n_left: int, finish: Callable[[], object] | None) -> None:
        self.done = done
        self.n_left = n_left
        self.finish = finish

    def count(self, now_ps: int) -> None:
        """Note that one more has reported, or that there is none to ask."""
        self.n_left -= 1
        if self.n_left <= 0:
            if self.finish is not None:
                self.finish()
            self.done.fire(now_ps)


@COMPONENTS.register("host_v1")
class Host(Dispatcher):
    """Has one copy engine per SIP, with ``max_inflight`` bytes outstanding each, and one memory they share."""

    kind = Kind("host", HostSpec, role="host").declare()
    sinks = frozenset(Vc)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: HostSpec = site.node.spec
        self.dram = Server(self.params.dram_rate)
        self.windows: dict[Position, Credits] = {}
        self.jobs: dict[int, _Job] = {}

    def copy(self, pieces: Iterable[Piece], *, is_write: bool) -> Signal:
        """Start moving ``pieces``, the SIPs side by side; the signal fires when the last byte is in place."""
        by_sip: dict[Position, list[Piece]] = {}
        for piece in pieces:
            by_sip.setdefault(self.graph.nodes[piece.owner].at[:1], []).append(piece)
        size = sum(piece.size_bytes for group in by_sip.values() for piece in group)
        op = OpCode.HOST_WRITE if is_write else OpCode.HOST_READ
        log = partial(self.note, op, self.engine.now_ps, size_bytes=size)
        copy = _Job(self.engine.signal(), len(by_sip), log)
        if not by_sip:
            copy.count(self.engine.now_ps)
        for sip, group in by_sip.items():
            name = f"host.copy.{part_name(sip)}"
            window = self.windows.setdefault(
                sip, self.engine.credits(self.params.max_inflight_bytes, f"host window to {part_name(sip)}")
            )
            answers: Queue[Chunk] = self.engine.queue(None, f"{name}.answers")
            self.engine.process(self._ask(group, window, answers, is_write=is_write), name)
            self.engine.process(
                self._take(group, copy, window, answers, is_write=is_write), f"{name}.answers"
            )
        return copy.done

    def _ask(
        self, pieces: list[Piece], window: Credits, answers: Queue[Chunk], *, is_write: bool
    ) -> ProcessBody:
        """Send the requests of a copy to or from one SIP, as its window has room."""
        for piece in pieces:
            for part in packets(piece, self.site.noc.packet_bytes):
                if not window.try_take(part.size_bytes):
                    yield window.take(part.size_bytes)
                self._request(transaction_for(self.site, part, answers.put, is_write=is_write))

    def _request(self, transaction: Transaction) -> None:
        now_ps, is_write = self.engine.now_ps, transaction.is_write
        kind = WRITE_REQUEST if is_write else READ_REQUEST
        for chunk in self.fabric.packet(kind, transaction, transaction.size_bytes if is_write else 0):
            tail_ps, serial_ps = now_ps, 0
            if is_write:
                start_ps, end_ps = self.dram.reserve(now_ps, chunk.payload_bytes)
                tail_ps, serial_ps = end_ps + self.params.dram_latency_ps, end_ps - start_ps
            self.fabric.post(chunk, self.address, transaction.memory, REQ, tail_ps, serial_ps)

    def _take(
        self, pieces: list[Piece], copy: _Job, window: Credits, answers: Queue[Chunk], *, is_write: bool
    ) -> ProcessBody:
        """Wait for all answers of one SIP; data are written to host memory as they come."""
        left_bytes, end_ps = sum(piece.size_bytes for piece in pieces), 0
        while left_bytes:
            chunk: Chunk = yield answers.get()
            size_bytes = chunk.body.size_bytes if is_write else chunk.payload_bytes
            window.give(size_bytes)
            left_bytes -= size_bytes
            if not is_write:
                _, served_ps = self.dram.stream(chunk.ready_ps, self.engine.now_ps, size_bytes)
                end_ps = served_ps + self.params.dram_latency_ps
        if end_ps > self.engine.now_ps:
            yield end_ps - self.engine.now_ps
        copy.count(self.engine.now_ps)

    def receive(self, chunk: Chunk) -> bool:
        """Take data, acknowledgements and completions as they come."""
        if chunk.kind is not CONTROL:
            chunk.body.answered(chunk)
            return True
        job = self.jobs[chunk.body.job]
        job.count(self.engine.now_ps)
        if job.done.is_fired:
            del self.jobs[chunk.body.job]
        return True

    def share_of(self, pe: int) -> int:
        """The IO_CPU of the PE's SIP."""
        return self.graph.node_of(self.graph.pes[pe][:1], "io_cpu").index

    def launch(self, job: int, programs: Mapping[int, Sequence[CommandStream]], size_bytes: int) -> Signal:
        """Start ``programs`` (by PE number); the signal fires when all SIPs have reported completion."""
        return self._send(LaunchMsg(job=job, programs=programs, reply_to=-1, size_bytes=size_bytes))

    def map(self, job: int, mapping: TensorMapping) -> Signal:
        """Make the pages of ``mapping`` valid for every PE; the signal fires when all SIPs have reported."""
        return self._map(MmuMapMsg, OpCode.HOST_MAP, job, mapping)

    def unmap(self, job: int, mapping: TensorMapping) -> Signal:
        """Make them invalid again, likewise."""
        return self._map(MmuUnmapMsg, OpCode.HOST_UNMAP, job, mapping)

    def _map(self, kind: type[MmuMapMsg], op: OpCode, job: int, mapping: TensorMapping) -> Signal:
        pes = range(self.graph.n_pes)
        return self._send(
            kind(job=job, mapping=mapping, pes=pes, reply_to=-1, size_bytes=0), op, mapping.shards.va
        )

    def queues(self, job: int, wiring: Wiring, kind: type[QueuesMsg]) -> Signal:
        """Install (or remove, by ``kind``) the queues of ``wiring``; the signal fires when all SIPs have reported."""
        message = kind(job=job, wiring=wiring, pes=sorted(wiring.pes), reply_to=-1, size_bytes=0)
        return self._send(message, OpCode.HOST_QUEUES)

    def _send(self, message: Request, op: OpCode | None = None, va: int = -1) -> Signal:
        """Send each SIP its share; the signal fires when all have reported, which is logged if there is an ``op``."""
        shares = self.split(message)
        log = None
        if op is not None:
            size_bytes = sum(share.size_bytes for share in shares.values())
            log = partial(self.note, op, self.engine.now_ps, va=va, size_bytes=size_bytes)
        job = self.jobs[message.job] = _Job(self.engine.signal(), len(shares), log)
        for node, share in shares.items():
            self.send_control(share, node)
        return job.done
