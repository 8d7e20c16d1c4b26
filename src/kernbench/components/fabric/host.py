"""The host: copies over PCIe without IO_CPU's help; launches, maps and unmaps through IO_CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from kernbench.components.base import COMPONENTS, Component, Request, Site
from kernbench.components.control_cpu import map_bytes, queue_bytes
from kernbench.components.packets import packets, transaction_for
from kernbench.components.stream import CommandStream
from kernbench.config.machine import HostSpec
from kernbench.engine import Server
from kernbench.engine.api import Credits, Engine, ProcessBody, Queue, Signal
from kernbench.kinds import Kind
from kernbench.memory.mapping import TensorMapping
from kernbench.messages.fabric import (
    Chunk,
    DoneMsg,
    LaunchMsg,
    MmuMapMsg,
    MmuUnmapMsg,
    PacketKind,
    Piece,
    Transaction,
    Vc,
)
from kernbench.messages.ipcq import QueuesMsg, Wiring
from kernbench.messages.oplog import OpCode
from kernbench.topology.ids import Position, part_name
from kernbench.topology.levels import parts_of


class HostCopy:
    """One copy between host memory and the device; ``done`` fires when every byte is where it belongs.

    ``n_left`` SIPs have bytes that are not.
    """

    __slots__ = ("done", "is_write", "n_left", "size_bytes", "start_ps")

    def __init__(self, *, is_write: bool, size_bytes: int, n_left: int, engine: Engine) -> None:
        self.is_write = is_write
        self.size_bytes = size_bytes
        self.n_left = n_left
        self.start_ps = engine.now_ps
        self.done = engine.signal()


class _Job:
    """What the host asked all SIPs for, and how many have yet to report."""

    __slots__ = ("done", "finish", "n_left")

    def __init__(self, done: Signal, n_left: int, finish: Callable[[], object] | None) -> None:
        self.done = done
        self.n_left = n_left
        self.finish = finish


@COMPONENTS.register("host_v1")
class Host(Component):
    """Has one copy engine per SIP, with ``max_inflight`` bytes outstanding each, and one memory they share."""

    kind = Kind("host", HostSpec, role="host").declare()
    sinks = frozenset(Vc)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: HostSpec = site.node.spec
        self.dram = Server(self.params.dram_rate)
        self.windows: dict[Position, Credits] = {}
        self.jobs: dict[int, _Job] = {}

    def copy(self, pieces: Iterable[Piece], *, is_write: bool) -> HostCopy:
        """Start moving ``pieces``, the SIPs side by side; ``.done`` fires when the last byte is in place."""
        by_sip: dict[Position, list[Piece]] = {}
        for piece in pieces:
            by_sip.setdefault(self.graph.nodes[piece.owner].at[:1], []).append(piece)
        size = sum(piece.size_bytes for group in by_sip.values() for piece in group)
        copy = HostCopy(is_write=is_write, size_bytes=size, n_left=len(by_sip), engine=self.engine)
        if size == 0:
            copy.done.fire(self.engine.now_ps)
            return copy
        for sip, group in by_sip.items():
            name = f"host.copy.{part_name(sip)}"
            window = self.windows.setdefault(
                sip, self.engine.credits(self.params.max_inflight_bytes, f"host window to {part_name(sip)}")
            )
            answers: Queue[Chunk] = self.engine.queue(None, f"{name}.answers")
            self.engine.process(self._ask(group, copy, window, answers), name)
            self.engine.process(self._take(group, copy, window, answers), f"{name}.answers")
        return copy

    def _ask(
        self, pieces: list[Piece], copy: HostCopy, window: Credits, answers: Queue[Chunk]
    ) -> ProcessBody:
        """Send the requests of a copy to or from one SIP, as its window has room."""
        for piece in pieces:
            for part in packets(piece, self.site.noc.packet_bytes):
                yield window.take(part.size_bytes)
                self._request(transaction_for(self.site, part, answers, is_write=copy.is_write))

    def _request(self, transaction: Transaction) -> None:
        now_ps, is_write = self.engine.now_ps, transaction.is_write
        kind = PacketKind.WRITE_REQUEST if is_write else PacketKind.READ_REQUEST
        for chunk in self.fabric.packet(kind, transaction, transaction.size_bytes if is_write else 0):
            tail_ps, serial_ps = now_ps, 0
            if is_write:
                start_ps, end_ps = self.dram.reserve(now_ps, chunk.payload_bytes)
                tail_ps, serial_ps = end_ps + self.params.dram_latency_ps, end_ps - start_ps
            self.fabric.post(chunk, self.address, transaction.memory, Vc.REQ, tail_ps, serial_ps)

    def _take(
        self, pieces: list[Piece], copy: HostCopy, window: Credits, answers: Queue[Chunk]
    ) -> ProcessBody:
        """Wait for all answers of one SIP; data are written to host memory as they come."""
        left_bytes, end_ps = sum(piece.size_bytes for piece in pieces), 0
        while left_bytes:
            chunk: Chunk = yield answers.get()
            size_bytes = chunk.body.size_bytes if copy.is_write else chunk.payload_bytes
            window.give(size_bytes)
            left_bytes -= size_bytes
            if not copy.is_write:
                _, served_ps = self.dram.stream(chunk.ready_ps, self.engine.now_ps, size_bytes)
                end_ps = served_ps + self.params.dram_latency_ps
        if end_ps > self.engine.now_ps:
            yield end_ps - self.engine.now_ps
        copy.n_left -= 1
        if copy.n_left == 0:
            copy.done.fire(self.engine.now_ps)

    def receive(self, chunk: Chunk) -> bool:
        """Take data, acknowledgements and completions as they come."""
        if chunk.kind is PacketKind.CONTROL:
            self._count_done(chunk.body)
        else:
            chunk.body.answers.put(chunk)
        return True

    def log_copy(self, copy: HostCopy) -> None:
        """Record a finished copy."""
        op = OpCode.HOST_WRITE if copy.is_write else OpCode.HOST_READ
        self._log(op, copy.start_ps, copy.size_bytes)

    def _log(self, op: OpCode, start_ps: int, size_bytes: int, va: int = -1) -> None:
        now_ps = self.engine.now_ps
        self.log.append(
            self.node.index, op, -1, -1, -1, start_ps, start_ps, now_ps, va=va, size_bytes=size_bytes
        )

    def launch(self, job: int, programs: Mapping[int, Sequence[CommandStream]], size_bytes: int) -> Signal:
        """Start ``programs`` (by PE number); the signal fires when all SIPs have reported completion."""
        shares: dict[Position, dict[int, Sequence[CommandStream]]] = {}
        for pe, streams in programs.items():
            shares.setdefault(self.graph.pes[pe][:1], {})[pe] = streams
        return self._send(
            job,
            {
                sip: LaunchMsg(job=job, programs=share, reply_to=self.node.index, size_bytes=size_bytes)
                for sip, share in shares.items()
            },
        )

    def map(self, job: int, mapping: TensorMapping) -> Signal:
        """Make the pages of ``mapping`` valid for every PE; the signal fires when all SIPs have reported."""
        return self._map(job, mapping, MmuMapMsg)

    def unmap(self, job: int, mapping: TensorMapping) -> Signal:
        """Make them invalid again, likewise."""
        return self._map(job, mapping, MmuUnmapMsg)

    def _map(self, job: int, mapping: TensorMapping, kind: type[MmuMapMsg]) -> Signal:
        messages, size_bytes, start_ps = {}, 0, self.engine.now_ps
        for sip in parts_of(self.graph.levels[:1]):
            pes = self.graph.pes_of(sip)
            share_bytes = map_bytes(kind, mapping, pes)
            size_bytes += share_bytes
            messages[sip] = kind(
                job=job, mapping=mapping, pes=pes, reply_to=self.node.index, size_bytes=share_bytes
            )
        op = OpCode.HOST_UNMAP if kind is MmuUnmapMsg else OpCode.HOST_MAP
        log = partial(self._log, op, start_ps, size_bytes, va=mapping.shards.va)
        return self._send(job, messages, log)

    def queues(self, job: int, wiring: Wiring, kind: type[QueuesMsg]) -> Signal:
        """Install (or remove, by ``kind``) the queues of ``wiring``; the signal fires when all SIPs have reported."""
        graph, start_ps = self.graph, self.engine.now_ps
        by_sip: dict[Position, list[int]] = {}
        for pe in sorted(wiring.pes):
            by_sip.setdefault(graph.pes[pe][:1], []).append(pe)
        messages = {
            sip: kind(
                job=job,
                wiring=wiring,
                pes=pes,
                reply_to=self.node.index,
                size_bytes=queue_bytes(wiring, pes),
            )
            for sip, pes in by_sip.items()
        }
        log = partial(self._log, OpCode.HOST_QUEUES, start_ps, queue_bytes(wiring, wiring.pes))
        return self._send(job, messages, log)

    def _send(
        self,
        job: int,
        messages: Mapping[Position, Request],
        finish: Callable[[], object] | None = None,
    ) -> Signal:
        """Send each SIP its message; the signal fires when all have reported, after ``finish()`` if there is one."""
        self.jobs[job] = _Job(self.engine.signal(), len(messages), finish)
        for sip, message in messages.items():
            self.send_control(message, self.graph.node_of(sip, "io_cpu").index)
        return self.jobs[job].done

    def _count_done(self, message: DoneMsg) -> None:
        job = self.jobs[message.job]
        job.n_left -= 1
        if job.n_left == 0:
            del self.jobs[message.job]
            if job.finish is not None:
                job.finish()
            job.done.fire(self.engine.now_ps)
