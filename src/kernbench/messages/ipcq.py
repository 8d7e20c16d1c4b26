"""Queues between PEs: how they are joined, and what travels through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kernbench.dtypes import DType
from kernbench.messages.oplog import NO_CAUSE, Row
from kernbench.messages.source_line import SourceLine
from kernbench.units import ceil_div

BufferKind = Literal["tcm", "sram", "hbm"]
Backpressure = Literal["poll", "sleep"]
END_BYTES = 32  # what an installation says of one queue end: peer, base, counters, sizes


def parts_of(size_bytes: int, most_bytes: int) -> list[int]:
    """``size_bytes`` in parts of up to ``most_bytes``, the last the rest; nothing is one empty part.

    >>> parts_of(10, 4), parts_of(0, 4)
    ([4, 4, 2], [0])
    """
    n_full = max(0, ceil_div(size_bytes, most_bytes) - 1)
    return [*[most_bytes] * n_full, size_bytes - n_full * most_bytes]


class RingSpec(NamedTuple):
    """The receive rings of a wiring: ``slots`` of ``slot_bytes`` in memory of ``kind``.

    ``credit_batch`` credits travel together; ``backpressure`` is what a sender without credit does. Counters start at
    ``first``.
    """

    slots: int
    slot_bytes: int
    kind: BufferKind
    backpressure: Backpressure
    credit_batch: int
    first: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of one ring."""
        return self.slots * self.slot_bytes

    def n_slots(self, size_bytes: int) -> int:
        """Slots that a message of ``size_bytes`` takes: one at least."""
        return max(1, ceil_div(size_bytes, self.slot_bytes))


class QueueEnd:
    """One end of a queue: the name that PE number ``pe``, rank ``rank`` of its wiring, has for it.

    ``peer`` is the end it is joined to. Its receive ring lies at ``pa`` of the memory controller ``owner`` (a node
    index); a ring in TCM has neither. Frozen by convention once its wiring is made; an end is itself, whatever others
    are called.
    """

    __slots__ = ("name", "owner", "pa", "pe", "peer", "rank", "ring")
    peer: QueueEnd

    def __init__(self, *, name: str, pe: int, rank: int, ring: RingSpec) -> None:
        self.name = name
        self.pe = pe
        self.rank = rank
        self.ring = ring
        self.owner = -1
        self.pa = -1

    def __repr__(self) -> str:
        return f"<queue {self.name!r} of PE {self.pe}>"


class RankSite(NamedTuple):
    """What a program knows of its place: its rank of ``n_ranks``, the PE's ``(x, y)``, and its queues by name."""

    rank: int
    n_ranks: int
    coords: tuple[int, int]
    ends: Mapping[str, QueueEnd]


class Wiring:
    """Queues that were installed together. ``pes[r]`` is the PE of rank ``r``; ``sites`` are by PE."""

    __slots__ = ("pes", "ring", "sites")

    def __init__(self, pes: Sequence[int], ring: RingSpec, sites: Mapping[int, RankSite]) -> None:
        self.pes = tuple(pes)
        self.ring = ring
        self.sites = sites

    def ring_bytes(self, pe: int) -> int:
        """Bytes of all receive rings of a PE."""
        return len(self.sites[pe].ends) * self.ring.size_bytes

    def tcm_bytes(self, pe: int) -> int:
        """Bytes of the PE's TCM that receive rings take."""
        return self.ring_bytes(pe) if self.ring.kind == "tcm" else 0


@dataclass(slots=True, eq=False, kw_only=True)
class QueuesMsg:
    """Install the queues of ``wiring`` on ``pes``: host to IO_CPU, fanned out to M_CPUs and PE_IPCQs."""

    job: int
    wiring: Wiring
    pes: Sequence[int]
    reply_to: int
    size_bytes: int


class QueuesRemoveMsg(QueuesMsg):
    """Take them away again, on the same way."""

    __slots__ = ()


class Metadata(NamedTuple):
    """What a receiver learns of a message together with its bytes. ``line`` is the kernel's; for errors."""

    shape: tuple[int, ...]
    dtype: DType
    line: SourceLine


class IpcqDmaToken:
    """One slot on its way: part ``part`` of a message, into slot ``number`` of the ring at ``to``.

    ``left_bytes`` of ``size_bytes`` have not arrived; ``landed_ps`` is when all that has is in the ring. ``record``
    is that of its sending in the op log; while that is not written, of its getting the slot.
    """

    __slots__ = ("landed_ps", "left_bytes", "metadata", "number", "part", "record", "size_bytes", "to")

    def __init__(self, *, to: QueueEnd, number: int, part: int, size_bytes: int, metadata: Metadata) -> None:
        self.to = to
        self.number = number
        self.part = part
        self.size_bytes = size_bytes
        self.left_bytes = size_bytes
        self.metadata = metadata
        self.landed_ps = 0
        self.record = NO_CAUSE

    @property
    def pa(self) -> int:
        """Where its slot is, of a ring in memory."""
        return self.to.pa + self.number % self.to.ring.slots * self.to.ring.slot_bytes


class CreditMsg(NamedTuple):
    """The ring that the end ``to`` sends into has freed ``head`` slots since the beginning, as ``record`` says."""

    to: QueueEnd
    head: int
    record: Row
