"""Ports: what a unit of a PE may ask of a neighbour, a protocol for each face.

A class declares ``pe_tcm = port(TcmPort)``: the neighbour of kind ``pe_tcm``, to which an edge of the graph must lead.
The assembly binds it once, and checks that the neighbour has that face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar, cast

from kernbench.components.stream import Issued, ProgramEnd
from kernbench.engine.api import Inlet, Timed
from kernbench.messages.access import Access
from kernbench.messages.commands import Command
from kernbench.messages.fabric import Chunk, LaunchMsg, MmuMapMsg, PagePieces
from kernbench.messages.ipcq import CreditMsg, IpcqDmaToken, QueueEnd, QueuesMsg
from kernbench.messages.oplog import Row
from kernbench.messages.source_line import SourceLine
from kernbench.messages.tokens import PipelineContext, TileToken
from kernbench.topology.graph import Node

Face = TypeVar("Face")


class Port:
    """A declared port, which a bound one of its name hides: see :func:`port`."""

    def __init__(self, face: type) -> None:
        self.names = [name for name in dir(face) if name[0] != "_"]
        self._fitting: set[type] = set()  # classes looked at: a machine has thousands of units of a few

    def __get__(self, unit: object, owner: type) -> Port:
        if unit is None:
            return self
        raise AttributeError(
            f"{owner.__name__} is not connected yet: its ports are bound before its processes start"
        )

    def missing_in(self, neighbour: object) -> list[str]:
        """Methods and properties of the face that ``neighbour`` does not have."""
        if type(neighbour) in self._fitting:
            return []
        missing = [name for name in self.names if not hasattr(neighbour, name)]
        if not missing:
            self._fitting.add(type(neighbour))
        return missing


def port(face: Callable[..., Face]) -> Face:
    """Declare a port, named as the kind of its neighbour; once connected, it is that neighbour."""
    return cast(Face, Port(face))  # type: ignore[arg-type]


_PORTS: dict[type, Mapping[str, Port]] = {}  # by class: a machine has thousands of units of a few


def ports_of(unit: type) -> Mapping[str, Port]:
    """The ports that a class of units declares, and those of its bases, by the kind of the neighbour."""
    ports = _PORTS.get(unit)
    if ports is None:
        declared = [vars(base) for base in reversed(unit.__mro__)]
        found = {
            name: value for names in declared for name, value in names.items() if isinstance(value, Port)
        }
        ports = _PORTS[unit] = found
    return ports


class CpuPort(Protocol):
    """PE_CPU: takes launches, and is told of commands that are complete."""

    @property
    def inbox(self) -> Inlet[LaunchMsg]: ...

    def completed(self, command: Command, record: Row) -> None:
        """``command`` is complete, as ``record`` says."""


class TilePort(Protocol):
    """Any unit that does stages of tiles."""

    def entry(self, token: TileToken) -> Inlet[TileToken]:
        """The queue in which ``token`` waits for its stage there."""


class SchedulerPort(Protocol):
    """PE_SCHEDULER: takes commands, is told of those that are done, and hands out TCM and lanes."""

    @property
    def inbox(self) -> Inlet[Issued | ProgramEnd]: ...
    @property
    def node(self) -> Node: ...

    def complete(self, context: PipelineContext) -> None:
        """All tiles of a command are done."""

    @property
    def last_admission(self) -> Row:
        """The record of the command admitted last."""

    def reserve(self, size_bytes: int) -> None:
        """Take TCM for rings, or give it back (negative)."""

    def forget_lanes(self, queue: QueueEnd) -> None:
        """A queue is gone, and with it the lanes of its sends and receives."""


class MmuPort(Protocol):
    """PE_MMU: takes maps, and translates."""

    @property
    def inbox(self) -> Inlet[MmuMapMsg]: ...

    def translate(self, access: Access, line: SourceLine | None, *, is_write: bool) -> tuple[PagePieces, ...]:
        """The pieces of ``access``, page by page, at once; PageFaultError where it is not mapped, or not allowed."""

    def look_up(self, page: int, command: Command) -> Timed[int]:
        """Spend the time it takes to know ``page``; of that, what was more than a hit, in ps."""


class TcmPort(Protocol):
    """PE_TCM: a port to read and one to write."""

    def read(self, size_bytes: int, head_ps: int, tail_ps: int) -> int:
        """When the last byte is out, in ps; the first may be asked for at ``head_ps``, the last at ``tail_ps``."""

    def write(self, size_bytes: int, head_ps: int, tail_ps: int) -> int:
        """When the last byte is in, in ps; they come from ``head_ps`` to ``tail_ps``."""


class DmaPort(TilePort, Protocol):
    """PE_DMA, as the NIU sees it."""

    def land(self, chunk: Chunk) -> bool:
        """Take part of a slot; False: no room, the wire has to hold it."""


class FetchStorePort(TilePort, Protocol):
    """PE_FETCH_STORE, as computing units see it."""

    def free_operands(self, record: Row) -> None:
        """A half of the operand registers is used up, as ``record`` says."""


class IpcqPort(TilePort, Protocol):
    """PE_IPCQ: takes installations, credits and slots that have arrived or are free."""

    @property
    def inbox(self) -> Inlet[QueuesMsg]: ...
    @property
    def rank(self) -> int: ...

    def credit(self, message: CreditMsg) -> None:
        """Credits have come back."""

    def arrive(self, parcel: IpcqDmaToken) -> None:
        """A slot is in its ring, with its metadata."""

    def release(self, version: int, record: Row) -> None:
        """Nothing reads the value ``version`` any more: its slots are free, as ``record`` says."""

    def free(self, end: QueueEnd, number: int, record: Row) -> None:
        """Slot ``number`` of a ring is free, as ``record`` says."""

    def give_back(self, record: Row) -> None:
        """A program has ended: credits that wait for their batch to fill travel now."""
