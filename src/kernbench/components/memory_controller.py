"""A memory behind the fabric: a queue of entries in front of a memory model; answers reads, acknowledges writes."""

from __future__ import annotations

from collections.abc import Iterator

from kernbench.components.base import Component, Meter, Site
from kernbench.components.memory_model import MemoryModel
from kernbench.engine.api import Chunk
from kernbench.messages.fabric import PacketKind, Transaction, Vc


class MemoryController(Component):
    """Serves requests in the order they arrive; ``n_entries`` of them at a time, the rest wait in the fabric.

    A read holds its entry until its last answer has left, so a congested way back slows the memory down; a
    chunk of a write holds one until the memory has taken it. A write commits, and is acknowledged, when its last
    byte is in memory.
    """

    sinks: frozenset[Vc] = frozenset()

    def __init__(self, site: Site, model: MemoryModel, n_entries: int) -> None:
        super().__init__(site)
        self.model = model
        self.entries_left = n_entries
        self.is_refusing = False
        self._moved_bytes = 0

    def meters(self) -> Iterator[tuple[str, Meter]]:
        """The only one."""
        yield "", self.meter

    @property
    def moved_bytes(self) -> int:
        """Payload bytes read and written."""
        return self._moved_bytes

    def receive(self, chunk: Chunk) -> bool:
        """Take a request, or the next chunk of a write, if an entry is free."""
        if self.entries_left == 0:
            self.is_refusing = True
            return False
        self.entries_left -= 1
        transaction: Transaction = chunk.body
        if transaction.arrived_ps < 0:
            transaction.arrived_ps = chunk.ready_ps
        if chunk.kind is PacketKind.READ_REQUEST:
            transaction.arrived_ps = self.engine.now_ps
            self._read(transaction)
        else:
            self._write(transaction, chunk)
        return True

    def _read(self, transaction: Transaction) -> None:
        now_ps = self.engine.now_ps
        chunks = self.fabric.packet(PacketKind.READ_RESPONSE, transaction, transaction.size_bytes)
        chunks[-1].leaving = self._release_entry
        done_bytes = 0
        for chunk in chunks:
            share = _share(transaction, done_bytes, chunk.payload_bytes)
            done_bytes += chunk.payload_bytes
            start_ps, end_ps = self._serve(transaction, now_ps, now_ps, share)
            tail_ps = end_ps + self.model.latency_ps
            self.fabric.post(
                chunk, self.node.index, transaction.requester, Vc.RESP, tail_ps, end_ps - start_ps
            )
        transaction.served_ps = tail_ps
        self._moved_bytes += transaction.size_bytes

    def _write(self, transaction: Transaction, chunk: Chunk) -> None:
        done_bytes = transaction.size_bytes - transaction.left_bytes
        share = _share(transaction, done_bytes, chunk.payload_bytes)
        _, end_ps = self._serve(transaction, chunk.ready_ps, self.engine.now_ps, share)
        transaction.left_bytes -= chunk.payload_bytes
        self._moved_bytes += chunk.payload_bytes
        self.engine.at(end_ps, self.rank, self._release_entry, chunk)
        if transaction.left_bytes == 0:
            transaction.served_ps = end_ps + self.model.latency_ps
            self.engine.at(transaction.served_ps, self.rank, self._land, transaction)

    def _serve(
        self, transaction: Transaction, head_ps: int, tail_ps: int, size_bytes: int
    ) -> tuple[int, int]:
        start_ps, end_ps = self.model.serve(transaction, head_ps, tail_ps, size_bytes)
        if transaction.started_ps < 0:
            transaction.started_ps = start_ps
        self.meter.busy_ps += end_ps - start_ps
        return start_ps, end_ps

    def _land(self, transaction: Transaction) -> None:
        transaction.owner.landed(transaction)
        (ack,) = self.fabric.packet(PacketKind.WRITE_ACK, transaction, 0)
        self.fabric.post(ack, self.node.index, transaction.requester, Vc.RESP, self.engine.now_ps, 0)

    def _release_entry(self, _: Chunk) -> None:
        self.entries_left += 1
        if self.is_refusing:
            self.is_refusing = False
            self.fabric.resume(self.node.index)


def _share(transaction: Transaction, done_bytes: int, payload_bytes: int) -> int:
    """What the memory moves for the next ``payload_bytes``: all shares together are ``burst_bytes`` exactly."""
    burst, size = transaction.burst_bytes, transaction.size_bytes
    return burst * (done_bytes + payload_bytes) // size - burst * done_bytes // size
