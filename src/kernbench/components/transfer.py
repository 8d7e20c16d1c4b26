"""What the channels of PE_DMA have in common: transfers begin in order, overlap in flight, and retire in order."""

from __future__ import annotations

from itertools import accumulate

from kernbench.components.meter import Meter
from kernbench.components.pipeline import Station, TcmUnit
from kernbench.engine.api import Engine, Queue, Signal
from kernbench.messages.fabric import READ_RESPONSE, Chunk, Transaction
from kernbench.messages.oplog import NO_MARKS
from kernbench.messages.tokens import Stage, TileToken


class Transfer:
    """A stage of a token that moves bytes; who retires it waits for ``answered``.

    ``left_bytes`` have not been answered, or have not left, yet; ``end_ps`` is when all that has is in its place;
    ``last`` the transaction that was answered last. Its token moves on after it unless it ``is_chained`` to the next.
    """

    __slots__ = ("answered", "begin_ps", "end_ps", "is_chained", "last", "left_bytes", "stage", "token")

    def __init__(self, token: TileToken, stage: Stage, engine: Engine, *, is_chained: bool = False) -> None:
        self.token = token
        self.stage = stage
        self.is_chained = is_chained
        self.begin_ps = self.end_ps = engine.now_ps
        self.left_bytes = 0
        self.last: Transaction | None = None
        self.answered: Signal = engine.signal()

    def count(self, size_bytes: int, end_ps: int) -> None:
        """Note that ``size_bytes`` more are dealt with; their last byte is in its place at ``end_ps``."""
        if end_ps > self.end_ps:
            self.end_ps = end_ps
        self.left_bytes -= size_bytes
        if self.left_bytes == 0:
            self.answered.fire()

    def marks(self, start_ps: int, now_ps: int) -> tuple[int, ...]:
        """How ``[start_ps, now_ps)`` of a load or a store splits: see :class:`~kernbench.messages.oplog.OpRecord`.

        From its end on, each phase of the transaction that was answered last takes its time; what is left before that
        one was issued belongs to the one that it had to wait for.
        """
        if self.last is None or self.stage.access is None:
            return NO_MARKS
        spent = [0, 0, 0, 0, 0]
        left_ps = now_ps
        transaction: Transaction | None = self.last
        while transaction is not None and left_ps > start_ps:
            begins = (
                transaction.issued_ps - transaction.walk_ps,
                transaction.issued_ps,
                transaction.arrived_ps,
                transaction.started_ps,
                transaction.served_ps,
            )
            for phase in (4, 3, 2, 1, 0):
                begin_ps = max(begins[phase], start_ps)
                if begin_ps < left_ps:
                    spent[phase] += left_ps - begin_ps
                    left_ps = begin_ps
            transaction = transaction.behind
        return tuple(accumulate(spent[:4], initial=left_ps))


class Channel:
    """One direction of a DMA.

    ``window`` is what may be unanswered; ``n_open`` counts what has begun and not retired.
    """

    def __init__(self, dma: TcmUnit, name: str, window_bytes: int) -> None:
        engine, name = dma.engine, f"{dma.node.name}.{name}"
        self.dma = dma
        self.engine = engine
        self.inbox: Queue[TileToken] = engine.queue(dma.inbox_depth(), name)
        self.in_flight: Queue[Transfer] = engine.queue(None, f"{name}.in_flight")
        self.window = engine.credits(window_bytes, f"{name}.window")
        self.station = Station(Meter())
        self.n_open = 0
        self.on_answer = self.answered  # bound once, not for every packet

    def answered(self, chunk: Chunk) -> None:
        """Take data of a read, which go into TCM as they come, or the acknowledgement of a write."""
        transaction: Transaction = chunk.body
        transfer: Transfer = transaction.tag
        size_bytes, end_ps = transaction.size_bytes, self.engine.now_ps
        if chunk.kind is READ_RESPONSE:
            size_bytes = chunk.payload_bytes
            end_ps = self.dma.pe_tcm.write(size_bytes, chunk.ready_ps, end_ps)
        transfer.last = transaction
        self.window.give(size_bytes)
        transfer.count(size_bytes, end_ps)
