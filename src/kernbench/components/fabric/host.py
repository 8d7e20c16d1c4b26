"""The host: copies over PCIe without IO_CPU's help; launches, maps and unmaps through IO_CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from kernbench.components.base import COMPONENTS, Component, Site
from kernbench.components.control_cpu import map_bytes, queue_bytes
from kernbench.components.packets import packets, transaction_for
from kernbench.config.schema import HostSpec
from kernbench.engine import Server
from kernbench.engine.api import Chunk, Credits, ProcessBody, Signal
from kernbench.kinds import Kind
from kernbench.memory.mapping import TensorMapping
from kernbench.messages.fabric import (
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


class HostCopy:
    """One copy between host memory and the device: done when every byte is where it belongs."""

    __slots__ = ("done", "engine", "is_write", "left_bytes", "size_bytes", "start_ps")

    def __init__(self, *, is_write: bool, size_bytes: int, host: Host) -> None:
        self.is_write = is_write
        self.size_bytes = size_bytes
        self.left_bytes = size_bytes
        self.engine = host.engine
        self.start_ps = host.engine.now_ps
        self.done = host.engine.signal()

    def landed(self, transaction: Transaction) -> None:
        """A write has reached the memory; the host learns of it by the acknowledgement."""

    def count(self, size_bytes: int) -> None:
        """``size_bytes`` more are done."""
        self.left_bytes -= size_bytes
        if self.left_bytes == 0:
            self.done.fire(self.engine.now_ps)


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
        self.windows: dict[int, Credits] = {}
        self.jobs: dict[int, _Job] = {}

    def copy(self, pieces: Iterable[Piece], *, is_write: bool) -> HostCopy:
        """Start moving ``pieces``, the SIPs side by side; ``.done`` fires when the last byte is in place."""
        by_sip: dict[int, list[Piece]] = {}
        for piece in pieces:
            by_sip.setdefault(self.graph.nodes[piece.owner].sip, []).append(piece)
        size = sum(piece.size_bytes for group in by_sip.values() for piece in group)
        copy = HostCopy(is_write=is_write, size_bytes=size, host=self)
        if size == 0:
            copy.done.fire(self.engine.now_ps)
        for sip, group in by_sip.items():
            body = self._copy_to_or_from(sip, group, copy)
            self.engine.process(body, f"host.copy.sip{sip}")
        return copy

    def _copy_to_or_from(self, sip: int, pieces: list[Piece], copy: HostCopy) -> ProcessBody:
        window = self.windows.setdefault(
            sip, self.engine.credits(self.params.max_inflight_bytes, f"host window to sip{sip}")
        )
        for piece in pieces:
            for part in packets(piece, self.site.noc.packet_bytes):
                yield window.take(part.size_bytes)
                self._request(part, copy)

    def _request(self, part: Piece, copy: HostCopy) -> None:
        now_ps = self.engine.now_ps
        transaction = transaction_for(self.site, part, copy, self.node.index, is_write=copy.is_write)
        kind = PacketKind.WRITE_REQUEST if copy.is_write else PacketKind.READ_REQUEST
        for chunk in self.fabric.packet(kind, transaction, part.size_bytes if copy.is_write else 0):
            tail_ps, serial_ps = now_ps, 0
            if copy.is_write:
                start_ps, end_ps = self.dram.reserve(now_ps, chunk.payload_bytes)
                tail_ps, serial_ps = end_ps + self.params.dram_latency_ps, end_ps - start_ps
            self.fabric.post(chunk, self.node.index, part.owner, Vc.REQ, tail_ps, serial_ps)

    def receive(self, chunk: Chunk) -> bool:
        """Take data, acknowledgements and completions as they come."""
        if chunk.kind is PacketKind.CONTROL:
            self._count_done(chunk.body)
            return True
        transaction: Transaction = chunk.body
        copy: HostCopy = transaction.owner
        if copy.is_write:
            self._window(transaction).give(transaction.size_bytes)
            copy.count(transaction.size_bytes)
        else:
            self._window(transaction).give(chunk.payload_bytes)
            _, end_ps = self.dram.stream(chunk.ready_ps, self.engine.now_ps, chunk.payload_bytes)
            self.engine.at(end_ps + self.params.dram_latency_ps, self.rank, copy.count, chunk.payload_bytes)
        return True

    def _window(self, transaction: Transaction) -> Credits:
        return self.windows[self.graph.nodes[transaction.memory].sip]

    def log_copy(self, copy: HostCopy) -> None:
        """Record a finished copy."""
        op = OpCode.HOST_WRITE if copy.is_write else OpCode.HOST_READ
        self._log(op, copy.start_ps, copy.size_bytes)

    def _log(self, op: OpCode, start_ps: int, size_bytes: int, va: int = -1) -> None:
        now_ps = self.engine.now_ps
        self.log.append(
            self.node.index, op, -1, -1, -1, start_ps, start_ps, now_ps, va=va, size_bytes=size_bytes
        )

    def launch(self, job: int, programs: dict[int, Any], size_bytes: int) -> Signal:
        """Start ``programs`` (by PE number); the signal fires when all SIPs have reported completion."""
        shares: dict[int, dict[int, Any]] = {}
        for pe, streams in programs.items():
            shares.setdefault(self.graph.pes[pe].sip, {})[pe] = streams
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
        for sip in range(self.graph.spec.system.sips.count):
            pes = self.graph.pes_of_sip(sip)
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
        by_sip: dict[int, list[int]] = {}
        for pe in sorted(wiring.pes):
            by_sip.setdefault(graph.pes[pe].sip, []).append(pe)
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
        messages: Mapping[int, LaunchMsg | MmuMapMsg | QueuesMsg],
        finish: Callable[[], object] | None = None,
    ) -> Signal:
        """Send each SIP its message; the signal fires when all have reported, after ``finish()`` if there is one."""
        self.jobs[job] = _Job(self.engine.signal(), len(messages), finish)
        for sip, message in messages.items():
            self.send_control(message, self.graph.node(f"sip{sip}.io_cpu").index)
        return self.jobs[job].done

    def _count_done(self, message: DoneMsg) -> None:
        job = self.jobs[message.job]
        job.n_left -= 1
        if job.n_left == 0:
            del self.jobs[message.job]
            if job.finish is not None:
                job.finish()
            job.done.fire(self.engine.now_ps)
