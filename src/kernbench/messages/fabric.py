"""What travels between units over the fabric: packets of transactions, and control messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol


class Vc(IntEnum):
    """Virtual channels, one per traffic class. Classes wait for each other in this order only."""

    CTL = 0
    COMM = 1
    REQ = 2
    RESP = 3


class Piece(NamedTuple):
    """Part of an access that one memory controller owns: ``n_runs`` runs of ``run_bytes``.

    Run ``i`` lies at physical ``pa + i * pitch`` of ``owner`` (a node index) and at ``offset + i *
    offset_pitch`` of the access's bytes in memory order.
    """

    owner: int
    pa: int
    run_bytes: int
    pitch: int
    n_runs: int
    offset: int
    offset_pitch: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all runs."""
        return self.run_bytes * self.n_runs


class PagePieces(NamedTuple):
    """The part of an access that lies in virtual page number ``page``."""

    page: int
    pieces: tuple[Piece, ...]


class PacketKind(IntEnum):
    """What a packet asks or answers."""

    READ_REQUEST = 0
    READ_RESPONSE = 1
    WRITE_REQUEST = 2
    WRITE_ACK = 3
    CONTROL = 4
    QUEUE = 5  # part of a slot of a queue
    CREDIT = 6


class Requester(Protocol):
    """Who sent a request: told when its answer's chunks arrive."""

    def receive(self, chunk: Any) -> bool:
        """Take a chunk that has arrived; False when there is no room and the wire has to hold it."""


class Transaction:
    """A read or write of up to one packet at one memory controller, and its marks for the report.

    ``owner`` is its tag for whoever issued it (a token's context, a host copy). ``size_bytes`` is payload;
    ``burst_bytes`` what the memory moves for it (runs rounded to its burst); ``piece`` where that is. Marks are
    picoseconds; ``behind`` is the transaction whose answer made room for it to be issued, or, if there was room, the
    one issued right before it (None: it was the first); ``walk_ps`` what a page walk took in between.
    """

    __slots__ = (
        "arrived_ps",
        "behind",
        "burst_bytes",
        "is_write",
        "issued_ps",
        "left_bytes",
        "memory",
        "owner",
        "piece",
        "requester",
        "served_ps",
        "size_bytes",
        "started_ps",
        "walk_ps",
    )

    def __init__(
        self,
        *,
        is_write: bool,
        memory: int,
        requester: int,
        size_bytes: int,
        burst_bytes: int,
        owner: Any,
        piece: Piece,
    ) -> None:
        self.piece = piece
        self.is_write = is_write
        self.memory = memory
        self.requester = requester
        self.size_bytes = size_bytes
        self.left_bytes = size_bytes
        self.burst_bytes = burst_bytes
        self.owner = owner
        self.behind: Transaction | None = None
        self.walk_ps = 0
        self.issued_ps = -1
        self.arrived_ps = -1
        self.started_ps = -1
        self.served_ps = -1


class LaunchMsg:
    """Start a kernel: host to IO_CPU, fanned out to M_CPUs and PE_CPUs.

    ``job`` numbers what the host asked for; ``programs`` maps a PE number to the streams of its programs (opaque
    here); ``reply_to`` is the node that waits for the completion of all of them.
    """

    __slots__ = ("job", "programs", "reply_to", "size_bytes")

    def __init__(self, *, job: int, programs: dict[int, Any], reply_to: int, size_bytes: int) -> None:
        self.job = job
        self.programs = programs
        self.reply_to = reply_to
        self.size_bytes = size_bytes

    @property
    def pes(self) -> Iterable[int]:
        """The PEs that are to act."""
        return self.programs


class MmuMapMsg:
    """Make a tensor's pages valid: host to IO_CPU, fanned out to M_CPUs, which write page tables, and PE_MMUs.

    ``mapping`` says where the tensor and its table entries lie (opaque here); ``pes`` are the PEs to tell.
    """

    __slots__ = ("job", "mapping", "pes", "reply_to", "size_bytes")

    def __init__(self, *, job: int, mapping: Any, pes: Sequence[int], reply_to: int, size_bytes: int) -> None:
        self.job = job
        self.mapping = mapping
        self.pes = pes
        self.reply_to = reply_to
        self.size_bytes = size_bytes


class MmuUnmapMsg(MmuMapMsg):
    """Make them invalid again, on the same way."""

    __slots__ = ()


class DoneMsg:
    """Completion of what ``job`` started below the sender, aggregated."""

    __slots__ = ("job", "n_pes", "size_bytes")

    def __init__(self, *, job: int, n_pes: int, size_bytes: int) -> None:
        self.job = job
        self.n_pes = n_pes
        self.size_bytes = size_bytes
