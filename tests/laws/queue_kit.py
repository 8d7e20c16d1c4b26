"""What the laws of queues share: idealised machines, closed forms, a model of queues without time, and an audit.

Nothing here reads what the simulator computed of queues: times come from the graph and the specs, verdicts from the
rules of ADR-0023, counts from what is seen to pass between PE_IPCQ and the fabric.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, NamedTuple

import pytest

from kernbench.components.pe import pe_ipcq
from kernbench.components.pe.pe_ipcq import PeIpcq
from kernbench.engine import Engine, Fabric
from kernbench.messages.fabric import Vc
from kernbench.messages.oplog import OpCode, Row
from kernbench.simulation import Simulation
from kernbench.theory.idle_path import Arrival, IdleRoute, stages
from kernbench.topology.routes import Routes
from kernbench.units import transfer_ps
from tests.engines import require_reference

# -- machines ---------------------------------------------------------------------------------------------------------

IDEAL = (
    "pe.cpu.issue_ns=0",
    "pe.cpu.readback_ns=0",
    "pe.cpu.start_ns=0",
    "pe.scheduler.dispatch_ns=0",
    "pe.scheduler.tile_queue=512",
    "pe.dma.setup_ns=0",
    "pe.tcm.size=4 MiB",
    "pe.tcm.latency_ns=0",
    "pe.tcm.read_bw=1000",  # a whole ps for a byte, and faster than any link
    "pe.tcm.write_bw=1000",
)
"""A PE that costs nothing: what is left of a message is its links."""


def grid(columns: int, rows: int, *more: str) -> tuple[str, ...]:
    """``tiny`` with another number of PEs."""
    n = columns * rows
    return (
        f"cube.pes={{count: {n}, grid: [{columns}, {rows}]}}",
        f"cube.hbm.channels={n}",
        f"cube.hbm.capacity={n * 16} MiB",
        *more,
    )


def run(
    kernel: Any,
    wiring_of: Any,
    args: Any = (),
    *,
    topology: Any = "tiny",
    overrides: Sequence[str] = (),
    mode: str = "timed",
    place: Any = None,
    programs: int | None = None,
    tie_seed: int | None = None,
) -> Simulation:
    """Run ``kernel`` once on each rank of the queues that ``wiring_of(torch)`` installs, to its end.

    ``args`` is called with torch where it is a function. The result's ``tensors`` are the arguments.
    """
    simulation = Simulation.of(topology, overrides=overrides, mode=mode, tie_seed=tie_seed)
    torch = simulation.torch
    given = args(torch) if callable(args) else args
    wiring = wiring_of(torch)
    torch.launch(kernel, (programs or len(wiring.pes),), given, queues=wiring, place=place)
    torch.synchronize()
    simulation.tensors, simulation.wiring = given, wiring
    return simulation


def records(simulation: Simulation, op: OpCode, pe: int) -> list[Any]:
    """The op log's records of one kind, of one PE, in order."""
    graph = simulation.graph
    nodes = {node.index for node in graph.units_of(pe)}
    return [record for record in simulation.machine.log if record.op == op and record.node in nodes]


def arrivals(simulation: Simulation, pe: int, slots: int = 1) -> list[int]:
    """When each message that PE number ``pe`` received was there, of ``slots`` slots each."""
    return [record.end_ps for record in records(simulation, OpCode.RECV, pe)][slots - 1 :: slots]


# -- closed forms -----------------------------------------------------------------------------------------------------


class Way(NamedTuple):
    """What the graph says of the way between two PEs: latency, the slowest link's rate, and a credit's time back."""

    latency_ps: int
    ps_per_byte: Fraction
    credit_ps: int
    header_bytes: int
    packet_bytes: int

    @classmethod
    def of(cls, simulation: Simulation, src: int, dst: int) -> Way:
        graph, spec = simulation.graph, simulation.config.topology
        routes, here, there = Routes(graph), graph.niu_of(src), graph.niu_of(dst)
        back = Fraction(1000) / routes.bottleneck(there, here).fraction
        return cls(
            routes.latency_ps(here, there),
            Fraction(1000) / routes.bottleneck(here, there).fraction,
            routes.latency_ps(there, here) + -(-spec.pe.ipcq.credit_bytes * back // 1),
            spec.cube.noc.header_bytes,
            spec.cube.noc.packet_bytes,
        )

    def message_ps(self, size_bytes: int) -> int:
        """``m b``: how long a slot of ``size_bytes``, with the headers of its packets, holds a link."""
        n_packets = max(1, -(-size_bytes // self.packet_bytes))
        spent = (size_bytes + n_packets * self.header_bytes) * self.ps_per_byte
        assert spent.denominator == 1, "choose sizes that take whole picoseconds"
        return int(spent)


def credit_queue(n: int, depth: int, m_b: int, a: int, t_c: int, a_c: int) -> int:
    """Section 6: when the last of ``n`` messages arrives, of a queue of ``depth`` slots."""
    assert t_c <= m_b
    round_trip = m_b + a + t_c + a_c
    if depth * m_b < round_trip:
        return (n - 1) // depth * round_trip + (n - 1) % depth * m_b + m_b + a
    return n * m_b + a


class Stream(NamedTuple):
    """A stream of slots from one PE to another as a max-plus recursion, exact where no receive is copied.

    ``n_slots`` of each message, sent as fast as credits allow; the receiver takes a message when its last slot is
    there, and ``t_c`` later its slots are free. ``q`` credits travel together; with ``poll_ps`` a sender without
    credit looks every so often. Costs of PE and TCM are those of the specs.
    """

    simulation: Simulation
    src: int
    dst: int
    depth: int
    t_c: int
    q: int = 1
    poll_ps: int = 0

    def arrivals(self, slot_bytes: Sequence[int], n_slots: int) -> list[int]:
        """When each message is there, if the first slot asks for a credit at 0 and the receiver waits from before."""
        graph, spec = self.simulation.graph, self.simulation.config.topology
        noc, tcm, dma = spec.cube.noc, spec.pe.tcm, spec.pe.dma
        link = IdleRoute(stages(graph, Routes(graph).route(graph.niu_of(self.src), graph.niu_of(self.dst))))
        read, write = _Port(tcm.read_rate), _Port(tcm.write_rate)
        credit_ps = Way.of(self.simulation, self.src, self.dst).credit_ps
        told: list[int] = []  # when the sender learns of each credit
        freed: list[int] = []
        there: list[int] = []
        slots: list[int] = []
        recv_ps, asked_ps, begun_ps = 0, 0, 0
        src_pe = (
            graph.unit(self.src, "pe_cpu").spec.issue_ps,
            graph.unit(self.src, "pe_scheduler").spec.dispatch_ps,
        )
        dispatch_ps = graph.unit(self.dst, "pe_scheduler").spec.dispatch_ps
        for number, size_bytes in enumerate(slot_bytes):
            asked_ps = max(asked_ps, number // n_slots * max(src_pe))  # no earlier than its command came
            back_ps = 0 if number < self.depth else told[number - self.depth]
            wait_ps = max(0, back_ps - asked_ps)
            if self.poll_ps:
                wait_ps = -(-wait_ps // self.poll_ps) * self.poll_ps
            asked_ps += wait_ps  # it has its slot; the next one asks now
            begun_ps = max(begun_ps, asked_ps) + dma.setup_ps
            landed_ps = 0
            for chunk_bytes, header_bytes in _chunks(size_bytes, noc):
                tail_ps = read.end_ps(begun_ps, begun_ps, chunk_bytes) + tcm.latency_ps
                head_ps = tail_ps - transfer_ps(chunk_bytes, tcm.read_rate)
                arrival = link.cross(chunk_bytes + header_bytes, Arrival(head_ps, tail_ps))
                end_ps = write.end_ps(arrival.head_ps, arrival.tail_ps, chunk_bytes) + tcm.latency_ps
                landed_ps = max(landed_ps, end_ps)
            slots.append(landed_ps)
            if (number + 1) % n_slots:
                continue
            there.append(max(slots[-1], recv_ps))
            freed += [there[-1] + self.t_c] * n_slots  # where the next receive is issued ...
            recv_ps = freed[-1] + dispatch_ps  # ... which asks when it is admitted
            while len(told) + self.q <= len(freed):
                told += [freed[len(told) + self.q - 1] + credit_ps] * self.q
        return there


class _Port:
    """A port that serves bytes in order, not faster than they come."""

    def __init__(self, rate: Any) -> None:
        self.ps_per_byte = Fraction(1000) / rate.fraction
        self.free = Fraction(0)

    def end_ps(self, head_ps: int, tail_ps: int, size_bytes: int) -> int:
        spent = size_bytes * self.ps_per_byte
        self.free = max(self.free, Fraction(max(head_ps, tail_ps - spent // 1))) + spent
        return int(-(-self.free // 1))


def _chunks(size_bytes: int, noc: Any) -> list[tuple[int, int]]:
    """Payload and header of each chunk of a slot."""
    chunks = []
    left = size_bytes
    while True:
        packet, header = min(left, noc.packet_bytes), noc.header_bytes
        left -= packet
        while True:
            chunk = min(packet, noc.chunk_bytes)
            chunks.append((chunk, header))
            packet, header = packet - chunk, 0
            if not packet:
                break
        if not left:
            return chunks


# -- a model of queues without time -----------------------------------------------------------------------------------


class Ring:
    """One direction of a queue, as the rules say: slots in order, credits, batches."""

    def __init__(self, depth: int, batch: int, in_tcm: bool) -> None:
        self.depth, self.batch, self.in_tcm = depth, batch, in_tcm
        self.credits = depth
        self.sends: deque[Any] = deque()  # [message, slots left]
        self.recvs: deque[Any] = deque()
        self.filled: deque[Any] = deque()  # (number, message, is its first)
        self.n_pushed = self.n_told = self.n_free = 0
        self.free: set[int] = set()

    def release(self, number: int) -> None:
        self.free.add(number)
        while self.n_free in self.free:
            self.free.remove(self.n_free)
            self.n_free += 1
        while self.n_free - self.n_told >= self.batch:
            self.n_told += self.batch
            self.credits += self.batch

    def give_back(self) -> None:
        self.credits += self.n_free - self.n_told
        self.n_told = self.n_free


class Model:
    """Programs over queues, without time: what each receive gets, and whether all ends.

    ``programs[rank]`` is a list of operations (see :meth:`_step`); ``joins`` maps ``(rank, queue)`` to the end it is
    joined to. A value lives until the next command behind the last operation that names it, and as long as a send
    reads it; a program's end frees all.
    """

    def __init__(
        self,
        programs: Sequence[Sequence[tuple[Any, ...]]],
        joins: dict[Any, Any],
        *,
        depth: int,
        batch: int,
        in_tcm: bool,
    ) -> None:
        self.programs = programs
        self.joins = joins
        self.depth, self.batch, self.in_tcm = depth, batch, in_tcm
        self.into = {end: Ring(depth, batch, in_tcm) for end in joins}
        self.at = [0] * len(programs)
        self.waits: list[Any] = [None] * len(programs)  # the operation a program waits for
        self.done: set[Any] = set()  # (rank, operation)
        self.open = [0] * len(programs)
        self.ended = [False] * len(programs)
        self.given_back = [False] * len(programs)
        self.dead: list[list[Any]] = [[] for _ in programs]  # named no more, until the next command
        self.released: set[Any] = set()
        self.readers: Counter[Any] = Counter()
        self.slots: dict[Any, list[int]] = {}  # of a value that is slots
        self.payload: dict[Any, Any] = {}

    def run(self) -> str:
        """``"ok"``, ``"deadlock"``, or ``"left"`` where all ends and a message is left."""
        moves = True
        while moves:
            moves = False
            for rank in range(len(self.programs)):
                while self._step(rank):
                    moves = True
            for end in self.into:
                moves |= self._move(end)
        if not all(self.ended) or any(self.open):
            return "deadlock"
        if any(ring.filled for ring in self.into.values()):
            return "left"
        assert all(ring.credits == ring.depth for ring in self.into.values())
        return "ok"

    def _step(self, rank: int) -> bool:
        """The next operation of a program, if it need not wait.

        ``("send", queue, source, n_slots, blocks)``: ``source`` is None for memory of its own (its load is one more
        command), or the receive whose block it sends on. ``("recv", queue, n_slots, blocks)``; ``("wait", operation)``;
        ``("store", receive)``, a command that reads its block and completes; ``("drop", receive)``, no command. What
        an operation says beyond that is for the kernel.
        """
        if self.waits[rank] is not None:
            if (rank, self.waits[rank]) not in self.done:
                return False
            self.waits[rank] = None
        if self.ended[rank]:
            return self._end(rank)
        if self.at[rank] == len(self.programs[rank]):
            self.ended[rank] = True
            self._release(rank, [(rank, i) for i, op in enumerate(self.programs[rank]) if op[0] == "recv"])
            return True
        index = self.at[rank]
        kind, *rest = self.programs[rank][index]
        self.at[rank] += 1
        if kind == "drop":
            self.dead[rank].append((rank, rest[0]))
            return True
        self._release(rank, self.dead[rank])
        self.dead[rank] = []
        if kind == "send":
            queue, source, n_slots, blocks = rest[:4]
            self.open[rank] += 1
            key = (rank, index)
            self.payload[key] = key if source is None else self.payload[rank, source]
            if source is not None:
                self.readers[rank, source] += 1
            self.into[self.joins[rank, queue]].sends.append([key, n_slots, n_slots, source])
            if blocks:
                self.waits[rank] = index
        elif kind == "recv":
            queue, n_slots, blocks = rest[:3]
            self.open[rank] += 1
            self.into[rank, queue].recvs.append([(rank, index), n_slots])
            if blocks:
                self.waits[rank] = index
        elif kind == "wait":
            self.waits[rank] = rest[0]
        return True

    def _move(self, end: Any) -> bool:
        """A slot in or out of the ring at ``end``, if there is one."""
        ring, moved = self.into[end], False
        if ring.sends and ring.credits:
            key, n_left, n_slots, source = ring.sends[0]
            ring.credits -= 1
            ring.filled.append((ring.n_pushed, key, n_left == n_slots))
            ring.n_pushed += 1
            ring.sends[0][1] = n_left - 1
            if n_left == 1:
                ring.sends.popleft()
                rank = key[0]
                self._complete(key)
                if source is not None:
                    self.readers[rank, source] -= 1
                    self._try_free((rank, source))
            moved = True
        if ring.recvs and ring.filled:
            key, n_left = ring.recvs[0]
            n_slots = self.programs[key[0]][key[1]][2]
            number, sent, is_first = ring.filled.popleft()
            assert is_first == (n_left == n_slots), "the model's programs receive what is sent"
            if ring.in_tcm and n_slots <= ring.depth:
                self.slots.setdefault(key, []).append(number)
            else:
                ring.release(number)
            ring.recvs[0][1] = n_left - 1
            if n_left == 1:
                ring.recvs.popleft()
                self.payload[key] = self.payload[sent]
                self._complete(key)
                self._try_free(key)
            moved = True
        return moved

    def _complete(self, key: Any) -> None:
        self.done.add(key)
        self.open[key[0]] -= 1

    def _release(self, rank: int, keys: Any) -> None:
        for key in keys:
            self.released.add(key)
            self._try_free(key)

    def _try_free(self, key: Any) -> None:
        if key not in self.released or key not in self.done or self.readers[key]:
            return
        rank, index = key
        for number in self.slots.pop(key, ()):
            self.into[rank, self.programs[rank][index][1]].release(number)

    def _end(self, rank: int) -> bool:
        """All credits go back when a program has ended and nothing that it began is under way."""
        if self.given_back[rank] or self.open[rank]:
            return False
        self.given_back[rank] = True
        for (at, _), ring in self.into.items():
            if at == rank:
                ring.give_back()
        return True


# -- an audit of every event ------------------------------------------------------------------------------------------


class _Watched:
    """Stands for the signal that a run ends with; asked before every event, it lets ``check`` look first."""

    def __init__(self, signal: Any, check: Any) -> None:
        self.signal = signal
        self.check = check

    @property
    def is_fired(self) -> bool:
        self.check()
        return self.signal is not None and self.signal.is_fired


class Audit:
    """Counts what passes between PE_IPCQ and the fabric, apart from the rings, and compares at every event.

    By queue end that receives: slots on their way, slots that arrived, were freed, were told of, were credited.
    """

    def __init__(self) -> None:
        self.depth: dict[Any, int] = {}
        self.first: dict[Any, int] = {}
        self.sender: dict[Any, Any] = {}  # receiving end -> SendRing
        self.receiver: dict[Any, Any] = {}
        self.pushed: Counter[Any] = Counter()
        self.arrived: Counter[Any] = Counter()
        self.freed: Counter[Any] = Counter()
        self.told: Counter[Any] = Counter()
        self.credited: Counter[Any] = Counter()
        self.sent_bytes: Counter[Any] = Counter()
        self.arrived_bytes: Counter[Any] = Counter()
        self.n_packets: Counter[Any] = Counter()
        self.link_bytes: Counter[Any] = Counter()  # (edge, channel)
        self.was_freed: set[Any] = set()
        self.landed_ps: dict[Any, int] = {}
        self.n_checks = 0
        self.fabric: Any = None

    def check(self) -> None:
        """Every slot of every queue is in one place."""
        self.n_checks += 1
        for to, depth in self.depth.items():
            flying = self.pushed[to] - self.arrived[to]
            filled = self.arrived[to] - self.freed[to]
            withheld = self.freed[to] - self.told[to]
            returning = self.told[to] - self.credited[to]
            assert min(flying, filled, withheld, returning) >= 0, (to, flying, filled, withheld, returning)
            credits, ring = self.sender[to].credits, self.receiver[to]
            assert credits + flying + filled + withheld + returning == depth, (to, credits, flying, filled)
            # What the rings say of themselves is the same: a slot freed out of turn counts as filled there.
            assert ring.filled + ring.withheld == filled + withheld, to
            assert self.sender[to].tail - self.first[to] == self.pushed[to]

    def settled(self) -> None:
        """All credits are home, every byte that was sent has arrived, once, and so did the links carry it."""
        self.check()
        for to, depth in self.depth.items():
            assert self.sender[to].credits == depth, to
            assert self.pushed[to] == self.arrived[to] == self.freed[to] == self.told[to] == self.credited[to]
            assert self.sent_bytes[to] == self.arrived_bytes[to]
        assert self.n_checks > 0

    def links_carried(self, simulation: Simulation) -> None:
        """COMM bytes of each link are the payload and the headers of the queues that use it, and nothing else."""
        graph, routes = simulation.graph, Routes(simulation.graph)
        header = simulation.config.topology.cube.noc.header_bytes
        expected: Counter[int] = Counter()
        for to in self.depth:
            for edge in routes.route(graph.niu_of(to.peer.pe), graph.niu_of(to.pe)):
                expected[edge.index] += self.sent_bytes[to] + header * self.n_packets[to]
        seen = {edge: size for (edge, vc), size in self.link_bytes.items() if vc is Vc.COMM}
        assert seen == {edge: size for edge, size in expected.items() if size}
        for index, link in self.fabric.links.items():
            assert link.size_bytes == sum(self.link_bytes[index, vc] for vc in Vc), index

    @classmethod
    @contextmanager
    def watching(cls) -> Any:
        """An audit of all that runs in the ``with`` block; one simulation at a time."""
        require_reference()
        audit = cls()
        with pytest.MonkeyPatch.context() as patch:
            audit._patch(patch)
            yield audit

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        install, remove, parcel_of = PeIpcq._install, PeIpcq._remove, pe_ipcq.parcel_of
        arrive, free, credit = PeIpcq.arrive, PeIpcq.free, PeIpcq.credit
        sends_credit, launch, run = Fabric.credit, Fabric.launch, Engine.run
        audit = self

        def installs(unit: Any, end: Any) -> None:
            install(unit, end)
            audit.receiver[end] = unit.rings[end].recv_ring
            audit.sender[end.peer] = unit.rings[end].send_ring
            audit.first[end] = end.ring.first
            if end in audit.sender and end.peer in audit.receiver:
                audit.depth[end] = audit.depth[end.peer] = end.ring.slots

        def removes(unit: Any, end: Any) -> None:
            for at in (end, end.peer):
                audit.depth.pop(at, None)
            remove(unit, end)

        def pushes(token: Any, end: Any, number: int) -> Any:
            parcel = parcel_of(token, end, number)
            audit.pushed[parcel.to] += 1
            older = (parcel.to, number - parcel.to.ring.slots)  # whose bytes it overwrites
            assert older[1] < audit.first[parcel.to] or older in audit.was_freed, "a slot is overwritten"
            audit.sent_bytes[parcel.to] += parcel.size_bytes
            return parcel

        def arrives(unit: Any, parcel: Any) -> None:
            audit.arrived[parcel.to] += 1
            audit.arrived_bytes[parcel.to] += parcel.size_bytes
            arrive(unit, parcel)

        def frees(unit: Any, end: Any, number: int, record: Row) -> None:
            assert (end, number) not in audit.was_freed, "a slot is freed twice"
            audit.was_freed.add((end, number))
            audit.freed[end] += 1
            free(unit, end, number, record)

        def tells(fabric: Any, body: Any, src: int, dst: int, size_bytes: int) -> None:
            ring = body.to.peer
            audit.told[ring] = body.head - audit.first[ring]
            sends_credit(fabric, body, src, dst, size_bytes)

        def credits(unit: Any, message: Any) -> None:
            ring = message.to.peer
            audit.credited[ring] = message.head - audit.first[ring]
            credit(unit, message)

        def launches(fabric: Any, chunk: Any, source: Any, path: Any, *times: int) -> None:
            audit.fabric = fabric
            for queue in path:
                (vc,) = (vc for vc, found in queue.link.queues.items() if found is queue)
                audit.link_bytes[queue.link.edge.index, vc] += chunk.size_bytes
            if vc is Vc.COMM:
                audit.n_packets[chunk.body.to] += chunk.size_bytes > chunk.payload_bytes
            launch(fabric, chunk, source, path, *times)

        def runs(engine: Any, until: Any = None) -> None:
            run(engine, until=_Watched(until, audit.check))
            audit.check()

        for owner, name, replacement in (
            (PeIpcq, "_install", installs),
            (PeIpcq, "_remove", removes),
            (pe_ipcq, "parcel_of", pushes),
            (PeIpcq, "arrive", arrives),
            (PeIpcq, "free", frees),
            (PeIpcq, "credit", credits),
            (Fabric, "credit", tells),
            (Fabric, "launch", launches),
            (Engine, "run", runs),
        ):
            patch.setattr(owner, name, replacement)
