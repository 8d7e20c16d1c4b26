"""What serves a memory's requests: entries in front of a memory model; it answers reads and acknowledges writes."""

from __future__ import annotations

from typing import Any

from kernbench.engine import api
from kernbench.engine.reference.calendar import Calendar
from kernbench.engine.reference.server import Server
from kernbench.messages import fabric as messages
from kernbench.messages.fabric import READ_REQUEST, READ_RESPONSE, RESP, WRITE_ACK, Transaction, Vc
from kernbench.units import Rate


class MemoryModel:
    """Asks ``model``, which may be of any class (see :class:`kernbench.engine.api.MemoryModel`)."""

    def __init__(self, model: api.MemoryModel) -> None:
        self.model = model
        self.latency_ps = model.latency_ps

    def serve(self, transaction: Transaction, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """See :class:`~kernbench.engine.api.MemoryModel`."""
        start_ps, end_ps = self.model.serve(transaction, head_ps, tail_ps, size_bytes)
        self.latency_ps = self.model.latency_ps
        return start_ps, end_ps


class SteadyMemory(MemoryModel):
    """A latency and a rate: the model that is asked without a call of Python, where this is compiled."""

    def __init__(self, latency_ps: int, rate: Rate) -> None:
        self.latency_ps = latency_ps
        self.server = Server(rate)

    def serve(self, transaction: Transaction, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """See :class:`~kernbench.engine.api.MemoryModel`."""
        return self.server.stream(head_ps, tail_ps, size_bytes)


class MemoryServer:
    """The end point at ``node``; see :class:`kernbench.components.memory_controller.MemoryController`."""

    sinks: frozenset[Vc] = frozenset()

    def __init__(
        self,
        calendar: Calendar,
        fabric: Any,  # Any: the fabric that makes this server, whose module imports this one
        node: int,
        rank: int,
        model: api.MemoryModel,
        n_entries: int,
    ) -> None:
        self.calendar = calendar
        self.fabric = fabric
        self.node = node
        self.rank = rank
        self.model = model if isinstance(model, MemoryModel) else MemoryModel(model)
        self.entries_left = n_entries
        self.is_refusing = False
        self.moved_bytes = 0
        self.busy_ps = 0

    def receive(self, chunk: messages.Chunk) -> bool:
        """Take a request, or the next chunk of a write, if an entry is free."""
        if self.entries_left == 0:
            self.is_refusing = True
            return False
        self.entries_left -= 1
        transaction: Transaction = chunk.body
        if transaction.arrived_ps < 0:
            transaction.arrived_ps = chunk.ready_ps
        if chunk.kind is READ_REQUEST:
            transaction.arrived_ps = self.calendar.now_ps
            self._read(transaction)
        else:
            self._write(transaction, chunk)
        return True

    def _read(self, transaction: Transaction) -> None:
        now_ps, fabric, requester = self.calendar.now_ps, self.fabric, transaction.requester
        chunks = fabric.packet(READ_RESPONSE, transaction, transaction.size_bytes)
        # The entry is held until the last of the answer has left, or a jam on the way back would slow nothing down.
        chunks[-1].leaving = self.free_entry
        source = fabric.source(self.node, RESP, READ_RESPONSE)
        path = fabric.path(self.node, requester, RESP)
        done_bytes = tail_ps = 0
        for chunk in chunks:
            share = _share(transaction, done_bytes, chunk.payload_bytes)
            done_bytes += chunk.payload_bytes
            start_ps, end_ps = self._serve(transaction, now_ps, now_ps, share)
            tail_ps = end_ps + self.model.latency_ps
            fabric.launch(chunk, source, path, tail_ps, end_ps - start_ps)
        transaction.served_ps = tail_ps
        self.moved_bytes += transaction.size_bytes

    def _write(self, transaction: Transaction, chunk: messages.Chunk) -> None:
        done_bytes = transaction.size_bytes - transaction.left_bytes
        share = _share(transaction, done_bytes, chunk.payload_bytes)
        _, end_ps = self._serve(transaction, chunk.ready_ps, self.calendar.now_ps, share)
        transaction.left_bytes -= chunk.payload_bytes
        self.moved_bytes += chunk.payload_bytes
        # The entry is free when the memory has the chunk; the write is in it, and acknowledged, its latency later.
        self.calendar.at(end_ps, self.rank, self.free_entry, chunk)
        if transaction.left_bytes == 0:
            transaction.served_ps = end_ps + self.model.latency_ps
            self.calendar.at(transaction.served_ps, self.rank, self._land, transaction)

    def _serve(
        self, transaction: Transaction, head_ps: int, tail_ps: int, size_bytes: int
    ) -> tuple[int, int]:
        start_ps, end_ps = self.model.serve(transaction, head_ps, tail_ps, size_bytes)
        if transaction.started_ps < 0:
            transaction.started_ps = start_ps
        self.busy_ps += end_ps - start_ps
        return start_ps, end_ps

    def _land(self, transaction: Transaction) -> None:
        if transaction.landed is not None:
            transaction.landed(transaction)
        (ack,) = self.fabric.packet(WRITE_ACK, transaction, 0)
        self.fabric.post(ack, self.node, transaction.requester, RESP, self.calendar.now_ps, 0)

    def free_entry(self, _: messages.Chunk) -> None:
        """Take what the wire holds, if anything was refused."""
        self.entries_left += 1
        if self.is_refusing:
            self.is_refusing = False
            self.fabric.resume(self.node)


def _share(transaction: Transaction, done_bytes: int, payload_bytes: int) -> int:
    """What the memory moves for the next ``payload_bytes``: all shares together are ``burst_bytes`` exactly."""
    burst, size = transaction.burst_bytes, transaction.size_bytes
    return burst * (done_bytes + payload_bytes) // size - burst * done_bytes // size
