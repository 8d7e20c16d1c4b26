"""What the channels of PE_DMA have in common: transfers begin in order, overlap in flight, and retire in order."""

from __future__ import annotations

from kernbench.components.base import Meter
from kernbench.components.pipeline import Station
from kernbench.engine.api import Engine, Queue, Signal
from kernbench.messages.fabric import Chunk, Transaction
from kernbench.messages.tokens import TileToken


class Transfer:
    """A stage of a token that moves bytes; who retires it waits for ``answered``.

    ``left_bytes`` have not been answered, or have not left, yet; ``end_ps`` is when all that has is in its place;
    ``last`` the transaction that was answered last.
    """

    __slots__ = ("answered", "begin_ps", "end_ps", "last", "left_bytes", "token")

    def __init__(self, token: TileToken, engine: Engine) -> None:
        self.token = token
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


class Channel:
    """One direction of a DMA.

    ``window`` is what may be unanswered; ``n_open`` counts what has begun and not retired.
    """

    def __init__(self, engine: Engine, name: str, depth: int | None, window_bytes: int) -> None:
        self.inbox: Queue[TileToken] = engine.queue(depth, name)
        self.in_flight: Queue[Transfer] = engine.queue(None, f"{name}.in_flight")
        self.answers: Queue[Chunk] = engine.queue(None, f"{name}.answers")
        self.window = engine.credits(window_bytes, f"{name}.window")
        self.station = Station(Meter())
        self.n_open = 0
