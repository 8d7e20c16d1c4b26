"""What travels between units over the fabric: packets of transactions, and control messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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


# By names of their own, for where they are asked for often: an enum is slow to look into.
CTL, COMM, REQ, RESP = Vc
READ_REQUEST, READ_RESPONSE, WRITE_REQUEST, WRITE_ACK, CONTROL, QUEUE, CREDIT = PacketKind


class Chunk(Protocol):
    """What links carry in one piece: up to ``noc.chunk`` bytes of payload, and a packet's header on its first.

    ``body`` is its packet's, as ``kind`` says: a transaction, a control message, a slot or a credit. ``ready_ps`` is
    when, at its end point, its first byte arrived (a chunk that had to wait there: when it was offered again).
    ``leaving``, if set, is called with the chunk when its source grants it the first link, which its last byte has left
    at ``departs_ps``.
    """

    kind: PacketKind
    body: Any  # to tell the classes apart would cost a check for each chunk
    payload_bytes: int
    size_bytes: int
    is_last: bool
    ready_ps: int
    departs_ps: int
    leaving: Callable[[Chunk], object] | None


class Transaction:
    """A read or write of up to one packet at one memory controller, and its marks for the report.

    ``answered`` is called with each chunk of its answer, where its unit finds by its ``tag`` what it is for;
    ``landed``, if set, when a write is in memory. ``size_bytes`` is payload; ``burst_bytes`` what the memory moves
    for it (runs rounded to its burst); ``piece`` where that is. Marks are picoseconds; ``behind`` is the transaction
    whose answer made room for it to be issued, or, if there was room, the one issued right before it (None: it was
    the first); ``walk_ps`` what a page walk took in between.
    """

    __slots__ = (
        "answered",
        "arrived_ps",
        "behind",
        "burst_bytes",
        "is_write",
        "issued_ps",
        "landed",
        "left_bytes",
        "memory",
        "piece",
        "requester",
        "served_ps",
        "size_bytes",
        "started_ps",
        "tag",
        "walk_ps",
    )

    def __init__(
        self,
        piece: Piece,
        answered: Callable[[Chunk], object],
        *,
        is_write: bool,
        requester: int,
        burst_bytes: int,
        issued_ps: int,
        tag: Any = None,  # known to the unit alone
        landed: Callable[[Transaction], object] | None = None,
    ) -> None:
        self.piece = piece
        self.is_write = is_write
        self.memory = piece.owner
        self.requester = requester
        self.size_bytes = self.left_bytes = piece.run_bytes * piece.n_runs
        self.burst_bytes = burst_bytes
        self.answered = answered
        self.tag = tag
        self.landed = landed
        self.behind: Transaction | None = None
        self.walk_ps = 0
        self.issued_ps = issued_ps
        self.arrived_ps = -1
        self.started_ps = -1
        self.served_ps = -1


class LaunchMsg:
    """Start a kernel: host to IO_CPU, fanned out to M_CPUs and PE_CPUs.

    ``job`` numbers what the host asked for; ``programs`` maps a PE number to the streams of its programs (opaque
    here); ``reply_to`` is the node that waits for the completion of all of them.
    """

    __slots__ = ("job", "programs", "reply_to", "size_bytes")

    def __init__(self, *, job: int, programs: Mapping[int, Any], reply_to: int, size_bytes: int) -> None:
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
