"""What an engine must offer: all that hardware, machine and reports may know of time.

Units are written against these protocols, so that another engine can take the place of
:mod:`kernbench.engine.reference` (ADR-0044). Times are whole picoseconds, sizes bytes; nodes and edges are indices.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from kernbench.messages.commands import Command, ValueRecord
from kernbench.messages.fabric import Chunk, PacketKind, Transaction, Vc
from kernbench.messages.lines import CommandLines
from kernbench.messages.oplog import NO_CAUSE, NO_MARKS, OpRecord, Row

T = TypeVar("T")
In = TypeVar("In", contravariant=True)


class Waitable(Protocol):
    """A wait, which a process yields: for an item, a place, credits, or a signal."""

    # Any: a process of the engine's own; nobody else calls it.
    def wait(self, process: Any, /) -> object:
        """Give the answer now, or park ``process``."""


# Any: what a yield gives back depends on what was yielded, which Python's types cannot say.
Timed: TypeAlias = Generator[int | Waitable, Any, T]
"""A generator that spends simulated time: it yields delays (``int``, in ps) and waits, and returns a T."""
ProcessBody: TypeAlias = Timed[None]


class Inlet(Protocol[In]):
    """The end of a queue at which items are put in: all that a unit sees of its neighbour's."""

    def put(self, item: In, /) -> Waitable:
        """What to yield to append ``item``; when there is a place, the call itself appends it."""

    def try_put(self, item: In, /) -> bool:
        """Append ``item`` if there is a place now."""


class Queue(Inlet[T], Protocol[T]):
    """First in, first out: ``yield queue.get()`` gives the next item, ``yield queue.put(x)`` waits for a place."""

    def get(self) -> Waitable:
        """What to yield for the next item. Those who ask are served in their order."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[T]:
        """The items that nobody has taken yet, oldest first."""


class Credits(Protocol):
    """A budget of ``total`` units (bytes, slots), of which ``free`` are not taken; takers are served in order."""

    @property
    def total(self) -> int: ...
    @property
    def free(self) -> int: ...

    def take(self, n: int) -> Waitable:
        """What to yield to take ``n``; AssertionError if there could never be as many."""

    def try_take(self, n: int) -> bool:
        """Take ``n`` if nobody has to wait for that."""

    def give(self, n: int) -> None:
        """Return ``n`` and serve who waits."""

    def resize(self, total: int) -> None:
        """Make the budget ``total``, while nothing is taken."""

    def wanted(self) -> list[int]:
        """What each taker that waits has asked for, in order."""


class Signal(Waitable, Protocol):
    """Fires once, with a value, which ``yield signal`` gives; a wait for a fired signal is answered at once."""

    @property
    def is_fired(self) -> bool: ...
    @property
    def value(self) -> object: ...

    def fire(self, value: object = None) -> None:
        """Wake all who wait, with ``value``; AssertionError the second time."""


class Server(Protocol):
    """One resource of a fixed rate, first come, first served, without events of its own."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def busy_ps(self) -> int: ...
    @property
    def free_ps(self) -> int: ...

    def reserve(self, ready_ps: int, size_bytes: int) -> tuple[int, int]:
        """Serve bytes that are ready at ``ready_ps``: ``(start_ps, end_ps)``, both rounded up."""

    def stream(self, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """Serve bytes that stream in from ``head_ps`` to ``tail_ps``: as soon as may be, but not faster."""


class Receiver(Protocol):
    """An end point of the fabric. Of the channels in ``sinks``, :meth:`receive` promises never to refuse."""

    @property
    def sinks(self) -> frozenset[Vc]: ...

    def receive(self, chunk: Chunk, /) -> bool:
        """Take a chunk whose last byte has arrived; False: no room, the wire holds it until ``resume``."""


class MemoryModel(Protocol):
    """One channel's memory. ``latency_ps`` passes between being served and the data being there."""

    latency_ps: int

    def serve(self, transaction: Transaction, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """Occupy the memory with the next ``size_bytes`` of ``transaction``: ``(start_ps, end_ps)``.

        They stream in from ``head_ps`` to ``tail_ps``; the memory may begin at ``head_ps`` and does not end before
        ``tail_ps``. Where they are is in ``transaction.piece``.
        """


class MemoryServer(Receiver, Protocol):
    """A memory behind the fabric, with what it moved, and how long it was busy with that."""

    @property
    def moved_bytes(self) -> int: ...
    @property
    def busy_ps(self) -> int: ...


class Fabric(Protocol):
    """All wires of a machine: it carries packets, cut into chunks, between end points, and counts them.

    Made from an engine, a graph, ``route`` (the edges from one end point to another), ``pass_ps`` (the time through a
    node) and ``receiver`` (who takes what arrives at an end point); see the reference.
    """

    @property
    def chunk_hops(self) -> int: ...

    def packet(self, kind: PacketKind, body: object, payload_bytes: int) -> Sequence[Chunk]:
        """The chunks of one packet; the first carries the header."""

    def post(self, chunk: Chunk, src: int, dst: int, vc: Vc, tail_ps: int, serial_ps: int) -> None:
        """Hand over ``chunk`` at node ``src``, for node ``dst``: its last byte is there at ``tail_ps``.

        It streams in over ``serial_ps`` (0: it is there as a whole), so that the first link may cut through.
        """

    def credit(self, body: object, src: int, dst: int, size_bytes: int) -> None:
        """Send ``body`` beside the data: after the latency of its route and the bottleneck's time for it."""

    def resume(self, node: int) -> None:
        """The receiver at ``node`` has room again: offer it what the wire holds."""

    def memory(self, node: int, rank: int, model: MemoryModel, n_entries: int) -> MemoryServer:
        """What serves the requests that arrive at ``node``, ``n_entries`` at a time; its events have ``rank``."""

    def moved_bytes(self) -> Mapping[int, int]:
        """Bytes that each link has carried, headers too, by index of its edge; only of links that were ever used."""

    def stuck(self) -> list[str]:
        """Where chunks wait and cannot move, a line each."""


class OpLog(Protocol):
    """Collects what the units finished: rows in the order of ADR-0039, their hash, and the values of Phase 2."""

    keep: bool
    lines: CommandLines
    values: list[ValueRecord]

    def append(
        self,
        node: int,
        op: int,
        program: int,
        command: int,
        tile: int,
        ready_ps: int,
        start_ps: int,
        end_ps: int,
        commit_ps: int = -1,
        cause: Row = NO_CAUSE,
        version: int = -1,
        va: int = -1,
        size_bytes: int = 0,
        work: int = 0,
        marks: tuple[int, ...] = NO_MARKS,
    ) -> Row:
        """Add one record, which ends at this instant (see :class:`~kernbench.messages.oplog.OpRecord`)."""

    def commit(self, commit_ps: int, node: int, seq: int, pe: int, command: Command) -> None:
        """Queue ``command`` for Phase 2."""

    def drain_at(self, n_values: int, drain: Callable[[int], None]) -> None:
        """Call ``drain(now_ps)`` when ``n_values`` wait for Phase 2."""

    def forget(self) -> None:
        """Drop the rows so far; they stay in the hash."""

    def table(self) -> npt.NDArray[np.int64]:
        """All rows kept, ``[n, columns]``, in the columns of OpRecord."""

    def sha256(self) -> str:
        """Hash of all rows so far."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[OpRecord]: ...


class Engine(Protocol):
    """Time, what will happen, and what processes wait for. It makes all that is made many times in a machine.

    Entries of an instant run by (rank, then the order in which they were made); what a wake causes runs right after its
    cause. Behind ``limit_ps``, ``over_limit()`` is called, and raises.
    """

    limit_ps: int
    over_limit: Callable[[], object]

    @property
    def now_ps(self) -> int: ...
    @property
    def events(self) -> int: ...

    def port_rank(self, port: int) -> int:
        """The rank of port number ``port``: the lowest goes first, whenever it is first used."""

    def process(self, body: ProcessBody, name: str) -> object:
        """Start ``body``; its first step runs at the present instant."""

    def at(self, time_ps: int, rank: int, call: Callable[[T], object], argument: T) -> None:
        """Run ``call(argument)`` at ``time_ps``, which is not in the past."""

    def run(self) -> None:
        """Let everything happen until nothing is left to happen."""

    # Any: whoever waits knows with what the signal is fired.
    def run_until(self, signal: Signal, parked: Callable[[], str]) -> Any:
        """Run until ``signal`` fires and give its value; DeadlockError with the map ``parked()`` when it never can."""

    def queue(self, capacity: int | None = None, name: str = "queue") -> Queue[T]:
        """A queue with ``capacity`` places (None: unbounded)."""

    def credits(self, total: int, name: str = "credits") -> Credits:
        """A budget of ``total``, none of it taken."""

    def signal(self) -> Signal:
        """A signal that has not fired."""
