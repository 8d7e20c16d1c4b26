"""The one model of a wire: links with latency and rate, an input queue per link and virtual channel, credits.

The rule (ADR-0008), about one event per chunk and hop:

1. The head of an input queue asks for its output link once, when it is ready. It is granted at
   ``g = max(now, link free)`` if the next queue has a slot by then; then the link's next free time, the release of
   the slot left behind and the arrival at the next hop are all known.
2. A credit is the *time* at which flits of a queue are free again: a number to compare with, not an event.
3. A head without credit by ``g`` waits at the downstream queue, so that other channels pass the link.
4. An input queue has at most one reservation at a time: its next head asks no earlier than ``g + min(serialisation
   in, serialisation out)``. Asking order is then round robin among backlogged inputs.
5. Cut-through: a chunk is ready for its next link at ``tail - min(serialisation in, serialisation out)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernbench.engine import api
from kernbench.engine.reference.calendar import Calendar, Event
from kernbench.engine.reference.containers import Releases
from kernbench.engine.reference.memory import MemoryServer
from kernbench.messages import fabric as messages
from kernbench.messages.fabric import CREDIT, CTL, PacketKind, Vc
from kernbench.topology.graph import Edge, TopologyGraph
from kernbench.units import ceil_div, transfer_ps

N_VCS, N_KINDS = len(Vc), len(PacketKind)


class Chunk(Event):
    """A chunk of :mod:`kernbench.messages.fabric` on its way: at ``path[hop]`` next.

    As an event it has arrived at the end. ``ready_ps`` is when it may leave for its next link, and only at its end
    point what its receiver is to know; ``behind`` is the next chunk in its queue.
    """

    __slots__ = (
        "behind",
        "body",
        "departs_ps",
        "flits",
        "hop",
        "is_last",
        "kind",
        "leaving",
        "path",
        "payload_bytes",
        "ready_ps",
        "size_bytes",
    )

    def __init__(
        self, kind: PacketKind, body: object, payload_bytes: int, size_bytes: int, flits: int, is_last: bool
    ):
        self.kind = kind
        self.body = body
        self.payload_bytes = payload_bytes
        self.size_bytes = size_bytes
        self.flits = flits
        self.is_last = is_last
        self.path: tuple[VcQueue, ...] = ()
        self.hop = 0
        self.ready_ps = 0
        self.departs_ps: int  # once it has left; only for who is told
        self.behind: Chunk | None = None
        self.leaving: Callable[[messages.Chunk], object] | None = None

    def happen(self) -> None:
        """Be offered to the receiver."""
        queue = self.path[-1]
        if queue.is_sink:
            assert queue.receiver is not None
            queue.receiver.receive(self)
            return
        queue.append(self)
        if queue.is_idle:
            queue.is_idle = False
            queue.offer()


class Link:
    """A directed wire, free again ``free_part / scale`` ps after ``free_ps``: its rate is whole in ``1 / scale`` ps."""

    __slots__ = (
        "edge",
        "free_part",
        "free_ps",
        "latency_ps",
        "per_byte",
        "queues",
        "rate",
        "scale",
        "size_bytes",
        "slowness",
    )

    def __init__(self, edge: Edge, latency_ps: int) -> None:
        if edge.rate is None:
            raise AssertionError(f"edge {edge.index} inside a PE carries no chunks")
        self.edge = edge
        self.rate = edge.rate
        self.latency_ps = latency_ps
        self.per_byte, self.scale = edge.rate.ps_per_byte.as_integer_ratio()
        self.slowness = self.per_byte / self.scale
        self.free_ps = 0
        self.free_part = 0
        self.size_bytes = 0
        self.queues: dict[Vc, VcQueue] = {}

    @property
    def busy_ps(self) -> int:
        """Time spent serialising, rounded up once."""
        return transfer_ps(self.size_bytes, self.rate)


class VcQueue(Event):
    """Chunks that have been granted ``link`` and wait at its far end; without a link: those waiting at a source.

    As an event it lets the first of them, its ``head``, ask for the next link; each leads to the one behind it, up to
    ``tail``. ``sent`` and ``left`` count flits ever granted in and out; ``releases`` holds ``(left, time)``: when the
    sender may use those flits again. ``room`` is how many could ever be granted in by the releases that are past.
    """

    __slots__ = (
        "ask_ps",
        "calendar",
        "capacity",
        "head",
        "is_idle",
        "is_sink",
        "is_waking",
        "left",
        "link",
        "rank",
        "receiver",
        "releases",
        "room",
        "sent",
        "tail",
        "waiters",
    )

    def __init__(self, calendar: Calendar, link: Link | None, capacity_flits: int, rank: int) -> None:
        self.calendar = calendar
        self.link = link
        self.capacity = capacity_flits
        self.room = capacity_flits
        self.rank = rank
        self.head: Chunk | None = None
        self.tail: Chunk | None = None
        self.sent = 0
        self.left = 0
        self.releases = Releases()
        self.waiters: list[VcQueue] = []
        self.is_idle = True
        self.is_waking = False
        self.is_sink = False
        self.ask_ps = 0
        self.receiver: api.Receiver | None = None

    def append(self, chunk: Chunk) -> None:
        """Let ``chunk`` wait behind all others."""
        if self.tail is None:
            self.head = chunk
        else:
            self.tail.behind = chunk
        self.tail = chunk

    def drop_head(self, head: Chunk) -> None:
        """Let ``head`` go, which is the first."""
        self.head = head.behind
        head.behind = None
        if self.head is None:
            self.tail = None

    def credit_ps(self, flits: int, now_ps: int) -> int:
        """When ``flits`` more fit: 0 if they do by now, -1 if that is not known yet.

        Askers come with growing needs (each stands behind the one before), so older releases may go.
        """
        needed = self.sent + flits
        capacity, releases = self.capacity, self.releases
        while needed > self.room:
            left, time_ps = releases.first()
            if left < 0:
                return -1
            if time_ps <= now_ps:
                self.room = capacity + left
            elif capacity + left >= needed:
                return time_ps
            releases.popleft()
        return 0

    def happen(self) -> None:
        """Let the head ask for its next link."""
        chunk = self.head
        assert chunk is not None
        target = chunk.path[chunk.hop]
        # Whoever waits for this queue goes first, even if there were room now for a chunk smaller than theirs.
        if target.waiters:
            target.waiters.append(self)
            return
        # ``room`` knows the releases that were past when it was last counted; counting costs a call, so only if needed.
        if target.sent + chunk.flits > target.room:
            now_ps = self.calendar.now_ps
            credit_ps = target.credit_ps(chunk.flits, now_ps)
            link = target.link
            assert link is not None
            # A credit that comes before the link is free delays nothing: the grant is made now.
            if credit_ps < 0 or (credit_ps > now_ps and credit_ps > link.free_ps):
                target.waiters.append(self)
                if credit_ps >= 0:
                    target._schedule_retry(credit_ps)
                return
        self._grant(chunk, target)

    def retry(self) -> None:
        """Grant the first waiter: its credit is here."""
        first = self.waiters.pop(0)
        self.is_waking = False
        assert first.head is not None
        first._grant(first.head, self)
        # The next one is posted behind what the grant posted: entries of one rank and instant run in that order.
        if self.waiters:
            self._wake_waiter()

    def _grant(self, chunk: Chunk, target: VcQueue) -> None:
        # All of a hop is known now, and done here. A GEMM of 1024 has 600,000 of them, two fifths of its time: so
        # nothing is called that can stand in line. What is posted comes in the order release, next ask, arrival.
        calendar = self.calendar
        link = target.link
        assert link is not None
        start_ps = head_ps = calendar.now_ps
        part = 0
        # Bytes arrive rounded up, never early; the queue asks again rounded down, never late, and the link's own time
        # stays exact, so that no rounding adds up.
        if link.free_ps >= start_ps:
            start_ps = head_ps = link.free_ps
            part = link.free_part
            if part:
                head_ps += 1
        size = chunk.size_bytes
        flits = chunk.flits
        spent = size * link.per_byte
        hold_ps = spent // link.scale
        end_ps = start_ps + hold_ps
        part += spent - hold_ps * link.scale
        if part >= link.scale:
            part -= link.scale
            end_ps += 1
        link.free_ps = end_ps
        link.free_part = part
        if part:
            end_ps += 1
        link.size_bytes += size
        target.sent += flits

        # leave the queue it was in
        self.head = chunk.behind
        if chunk.behind is None:
            self.tail = None
        else:
            chunk.behind = None
        feeder = self.link
        if feeder is not None:
            self.left = left = self.left + flits
            # Its room is free with its last byte; the sender hears of that a latency of the wire later.
            self.releases.append((left, end_ps + feeder.latency_ps))
            if self.waiters and not self.is_waking:
                self._wake_waiter()
            serial_in_ps = size * feeder.per_byte // feeder.scale
            if serial_in_ps < hold_ps:
                hold_ps = serial_in_ps
        elif chunk.leaving is not None:
            # It may take other requests from the wire, and so post and grant: this queue is consistent by now.
            chunk.departs_ps = end_ps
            chunk.leaving(chunk)
        self.ask_ps = start_ps + hold_ps
        if self.head is not None:
            self.schedule_ask(self.head)
        else:
            self.is_idle = True

        # arrive at the next one
        chunk.hop = hop = chunk.hop + 1
        tail_ps = end_ps + link.latency_ps
        if hop == len(chunk.path):
            chunk.ready_ps = head_ps + link.latency_ps
            # A sink takes all that comes, so the room is known to be free again without asking it.
            if target.is_sink:
                target.left = left = target.left + flits
                target.releases.append((left, tail_ps + link.latency_ps))
            calendar.entries.push(tail_ps, target.rank, chunk)
            return
        # Cut-through: a link that is no faster may begin with the first byte; a faster one would run dry, and begins so
        # that it ends with the last.
        out = chunk.path[hop].link
        assert out is not None
        if out.slowness >= link.slowness:
            chunk.ready_ps = head_ps + link.latency_ps
        else:
            chunk.ready_ps = tail_ps - size * out.per_byte // out.scale
        if target.tail is None:
            target.head = chunk
        else:
            target.tail.behind = chunk
        target.tail = chunk
        if target.is_idle:
            target.is_idle = False
            target.schedule_ask(chunk)

    def offer(self) -> None:
        """Offer the receiver what stands here, one after the other, until it refuses."""
        receiver, link = self.receiver, self.link
        assert receiver is not None
        assert link is not None
        while (chunk := self.head) is not None:
            if not receiver.receive(chunk):
                return
            self.drop_head(chunk)
            self.left += chunk.flits
            self.releases.append((self.left, self.calendar.now_ps + link.latency_ps))
            if self.waiters and not self.is_waking:
                self._wake_waiter()
        self.is_idle = True

    def _wake_waiter(self) -> None:
        """Post the first waiter's next try, if the time of its credit is known."""
        first = self.waiters[0].head
        assert first is not None
        credit_ps = self.credit_ps(first.flits, self.calendar.now_ps)
        if credit_ps >= 0:
            self._schedule_retry(credit_ps)

    def _schedule_retry(self, credit_ps: int) -> None:
        self.is_waking = True
        calendar = self.calendar
        time_ps = credit_ps if credit_ps > calendar.now_ps else calendar.now_ps
        calendar.entries.push(time_ps, self.rank, Retry(self))

    def schedule_ask(self, head: Chunk) -> None:
        """Let ``head`` ask as soon as it is ready, and this queue may."""
        ready_ps = head.ready_ps
        time_ps = ready_ps if ready_ps > self.ask_ps else self.ask_ps
        self.calendar.entries.push(time_ps, self.rank, self)


class Retry(Event):
    """The credit that the first waiter of ``target`` needs is here."""

    __slots__ = ("target",)

    def __init__(self, target: VcQueue) -> None:
        self.target = target

    def happen(self) -> None:
        """See :meth:`VcQueue.retry`."""
        self.target.retry()


class Fabric:
    """All links and queues of a machine, made on first use.

    ``route`` gives the edges from one end point to another, ``pass_ps`` the time through a node, ``receiver`` who
    takes what arrives at an end point. ``flit_bytes``, ``chunk_bytes`` and ``header_bytes`` are the spec's;
    ``vcs_per_class`` multiplies a class's buffer.
    """

    def __init__(
        self,
        engine: Calendar,
        graph: TopologyGraph,
        route: Callable[[int, int], Sequence[Edge]],
        *,
        chunk_bytes: int,
        header_bytes: int,
        flit_bytes: int,
        vcs_per_class: dict[Vc, int],
        pass_ps: Callable[[int], int],
        receiver: Callable[[int], api.Receiver],
    ) -> None:
        self.engine = engine
        self.graph = graph
        self.route = route
        self.chunk_bytes = chunk_bytes
        self.header_bytes = header_bytes
        self.flit_bytes = flit_bytes
        self.vcs_per_class = vcs_per_class
        self.pass_ps = pass_ps
        self.receiver = receiver
        self.links: dict[int, Link] = {}
        self.chunk_hops = 0
        self._n_nodes = len(graph.nodes)
        self._paths: dict[int, tuple[VcQueue, ...]] = {}
        self._queues: dict[Vc, dict[int, VcQueue]] = {vc: {} for vc in Vc}
        self._sources: dict[int, VcQueue] = {}
        self._credit_ps: dict[tuple[int, int, int], int] = {}

    def packet(self, kind: PacketKind, body: object, payload_bytes: int) -> list[Chunk]:
        """The chunks of one packet; the first carries the header."""
        chunks = []
        header, left = self.header_bytes, payload_bytes
        while True:
            payload = left if left < self.chunk_bytes else self.chunk_bytes
            left -= payload
            size = payload + header
            flits = (size + self.flit_bytes - 1) // self.flit_bytes
            chunks.append(Chunk(kind, body, payload, size, flits, left == 0))
            if not left:
                return chunks
            header = 0

    def post(self, chunk: messages.Chunk, src: int, dst: int, vc: Vc, tail_ps: int, serial_ps: int) -> None:
        """Hand over ``chunk`` at end point ``src``: its last byte is there at ``tail_ps``.

        It streams in over ``serial_ps`` (0: it is there as a whole), so that the first link may cut through.
        """
        assert isinstance(chunk, Chunk)
        self.launch(chunk, self.source(src, vc, chunk.kind), self.path(src, dst, vc), tail_ps, serial_ps)

    def launch(
        self, chunk: Chunk, source: VcQueue, path: tuple[VcQueue, ...], tail_ps: int, serial_ps: int
    ) -> None:
        """As :meth:`post`, for who knows the way."""
        chunk.path = path
        self.chunk_hops += len(path)
        first = path[0].link
        assert first is not None
        serial_out = chunk.size_bytes * first.per_byte // first.scale
        ready = tail_ps - (serial_ps if serial_ps < serial_out else serial_out)
        now = self.engine.now_ps
        chunk.ready_ps = ready if ready > now else now
        source.append(chunk)
        if source.is_idle:
            source.is_idle = False
            source.schedule_ask(chunk)

    def credit(self, body: object, src: int, dst: int, size_bytes: int) -> None:
        """Send ``body`` to ``dst`` beside the data: after the latency of its route and the bottleneck's time for it."""
        path = self.path(src, dst, CTL)
        delay_ps = self._credit_ps.get((src, dst, size_bytes))
        if delay_ps is None:
            links = [queue.link for queue in path if queue.link is not None]
            serial_ps = max(ceil_div(size_bytes * link.per_byte, link.scale) for link in links)
            delay_ps = serial_ps + sum(link.latency_ps for link in links)
            self._credit_ps[src, dst, size_bytes] = delay_ps
        # Credits have wires of their own, which never wait: one event, however long the way.
        chunk = Chunk(CREDIT, body, 0, size_bytes, 0, True)
        receiver = path[-1].receiver
        assert receiver is not None
        self.engine.at(self.engine.now_ps + delay_ps, path[-1].rank, receiver.receive, chunk)

    def resume(self, node: int) -> None:
        """The receiver at ``node`` has room again: offer it what the wire holds."""
        for edge in self.graph.in_edges(node):
            link = self.links.get(edge.index)
            for queue in link.queues.values() if link else ():
                chunk = queue.head
                if queue.receiver is not None and chunk is not None:
                    # They stood: for the receiver they are here as a whole, and from now on.
                    while chunk is not None:
                        chunk.ready_ps = self.engine.now_ps
                        chunk = chunk.behind
                    queue.offer()

    def memory(self, node: int, rank: int, model: api.MemoryModel, n_entries: int) -> MemoryServer:
        """What serves the requests that arrive at ``node``; its events have ``rank``."""
        return MemoryServer(self.engine, self, node, rank, model, n_entries)

    def moved_bytes(self) -> dict[int, int]:
        """Bytes that each link has carried, headers too, by index of its edge; only of links that were ever used."""
        return {index: link.size_bytes for index, link in self.links.items()}

    def stuck(self) -> list[str]:
        """Where chunks wait and cannot move, for the deadlock map."""
        lines = []
        for link in self.links.values():
            for vc, queue in link.queues.items():
                if queue.waiters:
                    src, dst = (self.graph.nodes[n].name for n in (link.edge.src, link.edge.dst))
                    lines.append(
                        f"{src} -> {dst}  {Vc(vc).name}: {len(queue.waiters)} inputs wait for a slot"
                    )
        return lines

    # -- made on first use ------------------------------------------------------------------------------------

    def path(self, src: int, dst: int, vc: Vc) -> tuple[VcQueue, ...]:
        """The queues on the way from ``src`` to ``dst``."""
        # One number is found sooner than a tuple of three.
        way = (src * self._n_nodes + dst) * N_VCS + vc
        return self._paths.get(way) or self._new_path(way, src, dst, vc)

    def source(self, src: int, vc: Vc, kind: PacketKind) -> VcQueue:
        """Where packets of ``kind`` wait at ``src`` for their first link."""
        port = (src * N_KINDS + kind) * N_VCS + vc
        return self._sources.get(port) or self._new_source(port)

    def _new_path(self, way: int, src: int, dst: int, vc: Vc) -> tuple[VcQueue, ...]:
        edges = self.route(src, dst)
        if not edges:
            raise AssertionError(
                f"no route from {self.graph.nodes[src].name} to {self.graph.nodes[dst].name}"
            )
        queues = self._queues[vc]
        path = tuple([queues.get(edge.index) or self._queue(edge, vc) for edge in edges])
        if path[-1].receiver is None:
            path[-1].receiver = receiver = self.receiver(dst)
            path[-1].is_sink = vc in receiver.sinks
        self._paths[way] = path
        return path

    def _queue(self, edge: Edge, vc: Vc) -> VcQueue:
        link = self.links.get(edge.index)
        if link is None:
            self.links[edge.index] = link = Link(edge, edge.latency_ps + self.pass_ps(edge.src))
        flits = edge.buffer_bytes * self.vcs_per_class[vc] // self.flit_bytes
        queue = VcQueue(self.engine, link, flits, self._rank(edge.index, vc))
        link.queues[vc] = self._queues[vc][edge.index] = queue
        return queue

    def _new_source(self, port: int) -> VcQueue:
        """Behind the ports of all links, by node, then kind."""
        rank = self.engine.port_rank(len(self.graph.edges) * N_VCS + port)
        self._sources[port] = queue = VcQueue(self.engine, None, 0, rank)
        return queue

    def _rank(self, port: int, vc: Vc) -> int:
        """Lowest port first, then lowest channel: independent of when a queue is first used."""
        return self.engine.port_rank(port * N_VCS + vc)
