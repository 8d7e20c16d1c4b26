"""A PE by itself: all its units, real, on a fabric and a memory that are a latency and a rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import kernbench.components.pe.niu
import kernbench.components.pe.pe_cpu
import kernbench.components.pe.pe_dma
import kernbench.components.pe.pe_fetch_store
import kernbench.components.pe.pe_gemm
import kernbench.components.pe.pe_ipcq
import kernbench.components.pe.pe_math
import kernbench.components.pe.pe_mmu
import kernbench.components.pe.pe_scheduler
import kernbench.components.pe.pe_tcm  # noqa: F401
from kernbench.components.base import COMPONENTS, Component, Site
from kernbench.config.pe import PeSpec
from kernbench.config.schema import Config
from kernbench.engine import Chunk, Engine, Fabric, OpLog, Server
from kernbench.kinds import unit_kinds
from kernbench.messages.access import Access
from kernbench.messages.fabric import LaunchMsg, PacketKind, PagePieces, Piece
from kernbench.messages.oplog import OpCode, OpRecord
from kernbench.messages.source_line import SourceLine
from kernbench.topology.builder import inner_links
from kernbench.topology.graph import Node
from kernbench.units import Rate

MEMORY, M_CPU = 100, 101
FABRIC_PS = 10_000  # one way


class FakeFabric(Fabric):
    """Every chunk takes ``FABRIC_PS``; the memory serves ``bytes_per_ns`` in order and answers at once."""

    def __init__(self, engine: Engine, header_bytes: int, chunk_bytes: int, bytes_per_ns: int) -> None:
        self.engine = engine
        self.header_bytes = header_bytes
        self.chunk_bytes = chunk_bytes
        self.memory = Server(Rate.of(bytes_per_ns))
        self.niu: Any = None
        self.posted: list[tuple[int, Chunk]] = []
        self.done: list[tuple[int, Any]] = []

    def packet(self, kind: PacketKind, body: Any, payload_bytes: int) -> list[Chunk]:
        chunks, header, left = [], self.header_bytes, payload_bytes
        while True:
            payload = min(left, self.chunk_bytes)
            left -= payload
            chunks.append(Chunk(kind, body, payload, payload + header, 1, left == 0))
            if not left:
                return chunks
            header = 0

    def post(self, chunk: Chunk, src: int, dst: int, vc: Any, tail_ps: int, serial_ps: int) -> None:
        self.posted.append((tail_ps, chunk))
        if chunk.kind is PacketKind.CONTROL:
            self.done.append((self.engine.now_ps, chunk.body))
            return
        assert (src, dst) == (self.niu.node.index, MEMORY)
        arrive = self._read if chunk.kind is PacketKind.READ_REQUEST else self._write
        self.engine.at(tail_ps + FABRIC_PS, 0, arrive, chunk)

    def _read(self, chunk: Chunk) -> None:
        transaction, now_ps = chunk.body, self.engine.now_ps
        transaction.arrived_ps = now_ps
        for answer in self.packet(PacketKind.READ_RESPONSE, transaction, transaction.size_bytes):
            start_ps, end_ps = self.memory.reserve(now_ps, answer.payload_bytes)
            transaction.started_ps = start_ps if transaction.started_ps < 0 else transaction.started_ps
            transaction.served_ps = end_ps
            self.engine.at(end_ps + FABRIC_PS, 1, self.niu.receive, answer)

    def _write(self, chunk: Chunk) -> None:
        transaction, now_ps = chunk.body, self.engine.now_ps
        if transaction.arrived_ps < 0:
            transaction.arrived_ps = transaction.started_ps = now_ps
        transaction.left_bytes -= chunk.payload_bytes
        if transaction.left_bytes == 0:
            transaction.served_ps = now_ps
            if transaction.landed is not None:
                transaction.landed(transaction)
            (ack,) = self.packet(PacketKind.WRITE_ACK, transaction, 0)
            self.engine.at(now_ps + FABRIC_PS, 1, self.niu.receive, ack)


class FlatPageTable:
    """All addresses are in page 0, which every TLB holds, and in one memory, at the same physical address."""

    def translate(
        self, pe: int, access: Access, line: SourceLine | None, *, is_write: bool = False
    ) -> tuple[PagePieces, ...]:
        size = access.itemsize
        if access.addresses is not None:
            runs = [(int(va), size, size, 1) for va in access.addresses]
        elif 0 in access.shape:
            runs = []
        else:
            va, run, outer, _ = access.runs()
            count, pitch = outer[-1] if outer else (1, run)
            starts = [va]
            for n, stride in outer[:-1]:
                starts = [start + i * stride for start in starts for i in range(n)]
            runs = [(start, run, pitch, count) for start in starts]
        pieces, offset = [], 0
        for pa, run, pitch, count in runs:
            pieces.append(Piece(MEMORY, pa, run, pitch, count, offset, run))
            offset += run * count
        return (PagePieces(0, tuple(pieces)),) if pieces else ()


class ListStream:
    """A program that is known before it runs; ``asked_ps`` is when each item was asked for."""

    def __init__(self, items: Sequence[Any], engine: Engine) -> None:
        self.items = list(items)
        self.engine = engine
        self.asked_ps: list[int] = []

    def next_item(self) -> Any:
        self.asked_ps.append(self.engine.now_ps)
        return self.items.pop(0) if self.items else None


class Pe:
    """One PE, its log, and what came out of it."""

    def __init__(self, config: Config, spec: PeSpec, bytes_per_ns: int, tie_seed: int | None = None) -> None:
        noc = config.topology.cube.noc
        self.spec = spec
        self.engine = Engine(tie_seed)
        self.log = OpLog()
        self.fabric = FakeFabric(self.engine, noc.header_bytes, noc.chunk_bytes, bytes_per_ns)
        self.graph: Any = SimpleNamespace()  # of which a test says what it needs
        self.units: dict[str, Any] = {}
        units = unit_kinds(spec)
        for index, unit_kind in enumerate(units):
            kind, part = unit_kind.name, unit_kind.part
            node = Node(
                index, f"pe0.{kind}", kind, getattr(spec, part) if part else noc, 0.0, 0.0, pe=0, pe_spec=spec
            )
            site = Site(
                node=node,
                graph=self.graph,
                engine=self.engine,
                fabric=self.fabric,
                log=self.log,
                page_table=FlatPageTable(),
                pe=0,
                address=0,
                pe_spec=spec,
                noc=noc,
                burst_bytes=32,
            )
            unit: Component = COMPONENTS[f"{kind}_v1"](site)
            assert unit.kind == kind
            self.units[kind] = unit
        ends: dict[str, dict[str, Any]] = {kind: {} for kind in self.units}
        for src, dst in inner_links(units):
            ends[src][dst] = self.units[dst]
        for src, neighbours in ends.items():
            self.units[src].connect(neighbours)
        self.fabric.niu = self.units["niu"]
        self.units["pe_mmu"].fill(0)
        for unit in self.units.values():
            unit.start()
        self.streams: list[ListStream] = []

    def __getattr__(self, kind: str) -> Any:
        try:
            return self.__dict__["units"][kind]
        except KeyError:
            raise AttributeError(kind) from None

    def run(self, *programs: Iterable[Any]) -> list[OpRecord]:
        """Launch ``programs`` on this PE and let everything happen; the log."""
        streams = [ListStream(list(items), self.engine) for items in programs]
        self.streams += streams
        launch = LaunchMsg(job=0, programs={0: streams}, reply_to=M_CPU, size_bytes=64)
        for chunk in self.fabric.packet(PacketKind.CONTROL, launch, launch.size_bytes):
            self.engine.at(self.engine.now_ps, 0, self.niu.receive, chunk)
        self.engine.run()
        return list(self.log)

    def records(self, op: OpCode) -> list[OpRecord]:
        return [record for record in self.log if record.op == op]

    def spans(self, op: OpCode) -> list[tuple[int, int]]:
        return [(record.start_ps, record.end_ps) for record in self.records(op)]


@pytest.fixture(scope="session")
def make_pe(config: Config) -> Callable[..., Pe]:
    """A PE of the default preset; keywords like ``tcm={"size_bytes": 4096}`` change parts of its spec."""

    def make(bytes_per_ns: int = 64, tie_seed: int | None = None, **parts: dict[str, Any]) -> Pe:
        spec = config.topology.pe
        changed = {name: getattr(spec, name).model_copy(update=changes) for name, changes in parts.items()}
        return Pe(config, spec.model_copy(update=changed), bytes_per_ns, tie_seed)

    return make


@pytest.fixture
def pe(make_pe: Callable[..., Pe]) -> Pe:
    return make_pe()
