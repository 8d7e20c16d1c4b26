"""The host: copies over PCIe without IO_CPU's help, and launches through IO_CPU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kernbench.components.base import COMPONENTS, Component, Site
from kernbench.components.packets import burst_bytes, packets
from kernbench.config.schema import HostSpec
from kernbench.engine import Credits, ProcessBody, Server, Signal
from kernbench.engine.channel import Chunk
from kernbench.messages.fabric import DoneMsg, LaunchMsg, PacketKind, Piece, Transaction, Vc
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
        self.done = Signal(host.engine)

    def landed(self, transaction: Transaction) -> None:
        """A write has reached the memory; the host learns of it by the acknowledgement."""

    def count(self, size_bytes: int) -> None:
        """``size_bytes`` more are done."""
        self.left_bytes -= size_bytes
        if self.left_bytes == 0:
            self.done.fire(self.engine.now_ps)


@COMPONENTS.register("host_v1")
class Host(Component):
    """Has one copy engine per SIP, with ``max_inflight`` bytes outstanding each, and one memory they share."""

    kind = "host"
    always_sinks = True

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.params: HostSpec = site.node.spec
        self.dram = Server(self.params.dram_rate)
        self.windows: dict[int, Credits] = {}
        self.launches: dict[int, tuple[Signal, int]] = {}

    def copy(self, pieces: Iterable[Piece], *, is_write: bool) -> HostCopy:
        """Start moving ``pieces``, the SIPs side by side; ``.done`` fires when the last byte is in place."""
        by_sip: dict[int, list[Piece]] = {}
        for piece in pieces:
            by_sip.setdefault(self.fabric.graph.nodes[piece.owner].sip, []).append(piece)
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
            sip, Credits(self.engine, self.params.max_inflight_bytes, f"host window to sip{sip}")
        )
        for piece in pieces:
            for part in packets(piece, self.site.noc.packet_bytes):
                yield window.take(part.size_bytes)
                self._request(part, copy)

    def _request(self, part: Piece, copy: HostCopy) -> None:
        now_ps = self.engine.now_ps
        transaction = Transaction(
            is_write=copy.is_write,
            memory=part.owner,
            requester=self.node.index,
            size_bytes=part.size_bytes,
            burst_bytes=burst_bytes(part, self.site.burst_bytes),
            owner=copy,
            piece=part,
        )
        transaction.issued_ps = now_ps
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
            self._finish_launch(chunk.body)
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
        return self.windows[self.fabric.graph.nodes[transaction.memory].sip]

    def log_copy(self, copy: HostCopy) -> int:
        """Record a finished copy."""
        op = OpCode.HOST_WRITE if copy.is_write else OpCode.HOST_READ
        start, end = copy.start_ps, self.engine.now_ps
        return self.log.append(self.node.index, op, -1, -1, -1, start, start, end, size_bytes=copy.size_bytes)

    def launch(self, launch: int, programs: dict[int, Any], size_bytes: int) -> Signal:
        """Start ``programs`` (by PE number); the signal fires when all SIPs have reported completion."""
        graph = self.fabric.graph
        shares: dict[int, dict[int, Any]] = {}
        for pe, streams in programs.items():
            io_cpu = graph.node(f"sip{graph.pes[pe].sip}.io_cpu").index
            shares.setdefault(io_cpu, {})[pe] = streams
        done = Signal(self.engine)
        self.launches[launch] = (done, len(shares))
        for node, share in shares.items():
            message = LaunchMsg(
                launch=launch, programs=share, reply_to=self.node.index, size_bytes=size_bytes
            )
            for chunk in self.fabric.packet(PacketKind.CONTROL, message, size_bytes):
                self.fabric.post(chunk, self.node.index, node, Vc.CTL, self.engine.now_ps, 0)
        return done

    def _finish_launch(self, message: DoneMsg) -> None:
        done, n_left = self.launches[message.launch]
        if n_left == 1:
            del self.launches[message.launch]
            done.fire(self.engine.now_ps)
        else:
            self.launches[message.launch] = (done, n_left - 1)
