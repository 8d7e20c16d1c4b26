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

from collections import deque
from collections.abc import Callable, Sequence

from kernbench.engine import api
from kernbench.engine.reference.calendar import Calendar
from kernbench.engine.reference.memory import MemoryServer
from kernbench.messages import fabric as messages
from kernbench.messages.fabric import PacketKind, Vc
from kernbench.topology.graph import Edge, TopologyGraph
from kernbench.units import PS_PER_NS, ceil_div


class Chunk:
    """A chunk of :mod:`kernbench.messages.fabric` on its way: at ``path[hop]`` next.

    ``ready_ps`` is when it may leave for its next link, and only at its end point what its receiver is to know;
    ``behind`` is the next chunk in its queue.
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


class Link:
    """A directed wire, free again ``free_part / scale`` ps after ``free_ps``: its rate is whole in ``1 / scale`` ps."""

    __slots__ = (
        "edge",
        "free_part",
        "free_ps",
        "latency_ps",
        "per_byte",
        "queues",
        "scale",
        "size_bytes",
        "slowness",
    )

    def __init__(self, edge: Edge, latency_ps: int) -> None:
        if edge.rate is None:
            raise AssertionError(f"edge {edge.index} inside a PE carries no chunks")
        ps_per_byte = PS_PER_NS / edge.rate.fraction
        self.edge = edge
        self.latency_ps = latency_ps
        self.scale = ps_per_byte.denominator
        self.per_byte = ps_per_byte.numerator
        self.slowness = float(ps_per_byte)
        self.free_ps = 0
        self.free_part = 0
        self.size_bytes = 0
        self.queues: dict[Vc, VcQueue] = {}

    @property
    def busy_ps(self) -> int:
        """Time spent serialising, rounded up once."""
        return ceil_div(self.size_bytes * self.per_byte, self.scale)


class VcQueue:
    """Chunks that have been granted ``link`` and wait at its far end; without a link: those waiting at a source.

    The first of them is ``head``; each leads to the one behind it, up to ``tail``.
    ``sent`` and ``left`` count flits ever granted in and out; ``releases`` holds ``(left, time)``: when the sender
    may use those flits again. ``room`` is how many could ever be granted in by the releases that are past.
    """

    __slots__ = (
        "ask_ps",
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

    def __init__(self, link: Link | None, capacity_flits: int, rank: int) -> None:
        self.link = link
        self.capacity = capacity_flits
        self.room = capacity_flits
        self.rank = rank
        self.head: Chunk | None = None
        self.tail: Chunk | None = None
        self.sent = 0
        self.left = 0
        self.releases: deque[tuple[int, int]] = deque()
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

    def credit_ps(self, flits: int, now_ps: int) -> int | None:
        """When ``flits`` more fit: 0 if they do by now, None if that is not known yet.

        Askers come with growing needs (each stands behind the one before), so older releases may go.
        """
        needed = self.sent + flits
        capacity, releases = self.capacity, self.releases
        while needed > self.room:
            if not releases:
                return None
            left, time_ps = releases[0]
            if time_ps <= now_ps:
                self.room = capacity + left
            elif capacity + left >= needed:
                return time_ps
            releases.popleft()
        return 0


class Fabric:
    """All links and queues of a machine, made on first use, and the event that moves a chunk one hop.

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
        self._asks, self._delivers = self._ask, self._deliver  # bound once, not for every event
        self._paths: dict[tuple[int, int, Vc], tuple[VcQueue, ...]] = {}
        self._queues: dict[Vc, dict[int, VcQueue]] = {vc: {} for vc in Vc}
        self._sources: dict[tuple[int, Vc, PacketKind], VcQueue] = {}
        self._credit_ps: dict[tuple[int, int, int], int] = {}

    def packet(self, kind: PacketKind, body: object, payload_bytes: int) -> list[Chunk]:
        """The chunks of one packet; the first carries the header."""
        chunks = []
        header, left = self.header_bytes, payload_bytes
        while True:
            payload = min(left, self.chunk_bytes)
            left -= payload
            size = payload + header
            chunks.append(Chunk(kind, body, payload, size, ceil_div(size, self.flit_bytes), left == 0))
            if not left:
                return chunks
            header = 0

    def post(self, chunk: messages.Chunk, src: int, dst: int, vc: Vc, tail_ps: int, serial_ps: int) -> None:
        """Hand over ``chunk`` at end point ``src``: its last byte is there at ``tail_ps``.

        It streams in over ``serial_ps`` (0: it is there as a whole), so that the first link may cut through.
        """
        assert isinstance(chunk, Chunk)
        path = self._paths.get((src, dst, vc)) or self._path(src, dst, vc)
        chunk.path = path
        self.chunk_hops += len(path)
        first = path[0].link
        assert first is not None
        serial_out = chunk.size_bytes * first.per_byte // first.scale
        ready = tail_ps - (serial_ps if serial_ps < serial_out else serial_out)
        now = self.engine.now_ps
        chunk.ready_ps = ready if ready > now else now
        source = self._sources.get((src, vc, chunk.kind)) or self._source(src, vc, chunk.kind)
        source.append(chunk)
        if source.is_idle:
            source.is_idle = False
            self._schedule_ask(source, chunk)

    def credit(self, body: object, src: int, dst: int, size_bytes: int) -> None:
        """Send ``body`` to ``dst`` beside the data: after the latency of its route and the bottleneck's time for it."""
        path = self._paths.get((src, dst, Vc.CTL)) or self._path(src, dst, Vc.CTL)
        delay_ps = self._credit_ps.get((src, dst, size_bytes))
        if delay_ps is None:
            links = [queue.link for queue in path if queue.link is not None]
            serial_ps = max(ceil_div(size_bytes * link.per_byte, link.scale) for link in links)
            delay_ps = serial_ps + sum(link.latency_ps for link in links)
            self._credit_ps[src, dst, size_bytes] = delay_ps
        # Credits have wires of their own, which never wait: one event, however long the way.
        chunk = Chunk(PacketKind.CREDIT, body, 0, size_bytes, 0, True)
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
                    self._offer(queue)

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
                    lines.append(f"{src} -> {dst}  {vc.name}: {len(queue.waiters)} inputs wait for a slot")
        return lines

    # -- one hop ---------------------------------------------------------------------------------------------

    def _ask(self, queue: VcQueue) -> None:
        chunk = queue.head
        assert chunk is not None
        target = chunk.path[chunk.hop]
        # Whoever waits for this queue goes first, even if there were room now for a chunk smaller than theirs.
        if target.waiters:
            target.waiters.append(queue)
            return
        # ``room`` knows the releases that were past when it was last counted; counting costs a call, so only if needed.
        if target.sent + chunk.flits > target.room:
            now = self.engine.now_ps
            credit = target.credit_ps(chunk.flits, now)
            link = target.link
            assert link is not None
            # A credit that comes before the link is free delays nothing: the grant is made now.
            if credit is None or (credit > now and credit > link.free_ps):
                target.waiters.append(queue)
                if credit is not None:
                    self._schedule_retry(target, credit)
                return
        self._grant(queue, chunk, target)

    def _retry(self, target: VcQueue) -> None:
        queue = target.waiters.pop(0)
        target.is_waking = False
        assert queue.head is not None
        self._grant(queue, queue.head, target)
        # The next one is posted behind what the grant posted: entries of one rank and instant run in that order.
        if target.waiters:
            self._wake_waiter(target)

    def _grant(self, queue: VcQueue, chunk: Chunk, target: VcQueue) -> None:
        # All of a hop is known now, and done here. A GEMM of 1024 has 600,000 of them, two fifths of its time: so
        # nothing is called that can stand in line. What is posted comes in the order release, next ask, arrival.
        engine = self.engine
        link = target.link
        assert link is not None
        start_ps = head_ps = engine.now_ps
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
        queue.head = chunk.behind
        if chunk.behind is None:
            queue.tail = None
        else:
            chunk.behind = None
        feeder = queue.link
        if feeder is not None:
            queue.left = left = queue.left + flits
            # Its room is free with its last byte; the sender hears of that a latency of the wire later.
            queue.releases.append((left, end_ps + feeder.latency_ps))
            if queue.waiters and not queue.is_waking:
                self._wake_waiter(queue)
            serial_in_ps = size * feeder.per_byte // feeder.scale
            if serial_in_ps < hold_ps:
                hold_ps = serial_in_ps
        elif chunk.leaving is not None:
            # It may take other requests from the wire, and so post and grant: this queue is consistent by now.
            chunk.departs_ps = end_ps
            chunk.leaving(chunk)
        queue.ask_ps = start_ps + hold_ps
        if queue.head is not None:
            self._schedule_ask(queue, queue.head)
        else:
            queue.is_idle = True

        # arrive at the next one
        chunk.hop = hop = chunk.hop + 1
        tail_ps = end_ps + link.latency_ps
        if hop == len(chunk.path):
            chunk.ready_ps = head_ps + link.latency_ps
            # A sink takes all that comes, so the room is known to be free again without asking it.
            if target.is_sink:
                target.left = left = target.left + flits
                target.releases.append((left, tail_ps + link.latency_ps))
            engine.count = count = engine.count + 1
            engine.entries.push((tail_ps, target.rank, count, self._delivers, chunk))
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
            self._schedule_ask(target, chunk)

    def _deliver(self, chunk: Chunk) -> None:
        queue = chunk.path[-1]
        if queue.is_sink:
            assert queue.receiver is not None
            queue.receiver.receive(chunk)
            return
        queue.append(chunk)
        if queue.is_idle:
            queue.is_idle = False
            self._offer(queue)

    def _offer(self, queue: VcQueue) -> None:
        receiver, link = queue.receiver, queue.link
        assert receiver is not None
        assert link is not None
        while (chunk := queue.head) is not None:
            if not receiver.receive(chunk):
                return
            queue.drop_head(chunk)
            queue.left += chunk.flits
            queue.releases.append((queue.left, self.engine.now_ps + link.latency_ps))
            if queue.waiters and not queue.is_waking:
                self._wake_waiter(queue)
        queue.is_idle = True

    def _wake_waiter(self, target: VcQueue) -> None:
        """Post the first waiter's next try, if the time of its credit is known."""
        if target.waiters:
            first = target.waiters[0].head
            assert first is not None
            credit = target.credit_ps(first.flits, self.engine.now_ps)
            if credit is not None:
                self._schedule_retry(target, credit)

    def _schedule_retry(self, target: VcQueue, credit_ps: int) -> None:
        target.is_waking = True
        engine = self.engine
        time_ps = credit_ps if credit_ps > engine.now_ps else engine.now_ps
        engine.count = count = engine.count + 1
        engine.entries.push((time_ps, target.rank, count, self._retry, target))

    def _schedule_ask(self, queue: VcQueue, head: Chunk) -> None:
        ready = head.ready_ps
        engine = self.engine
        engine.count = count = engine.count + 1
        time_ps = ready if ready > queue.ask_ps else queue.ask_ps
        engine.entries.push((time_ps, queue.rank, count, self._asks, queue))

    # -- made on first use ------------------------------------------------------------------------------------

    def _path(self, src: int, dst: int, vc: Vc) -> tuple[VcQueue, ...]:
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
        self._paths[src, dst, vc] = path
        return path

    def _queue(self, edge: Edge, vc: Vc) -> VcQueue:
        link = self.links.get(edge.index)
        if link is None:
            self.links[edge.index] = link = Link(edge, edge.latency_ps + self.pass_ps(edge.src))
        flits = edge.buffer_bytes * self.vcs_per_class[vc] // self.flit_bytes
        queue = VcQueue(link, flits, self._rank(edge.index, vc))
        link.queues[vc] = self._queues[vc][edge.index] = queue
        return queue

    def _source(self, src: int, vc: Vc, kind: PacketKind) -> VcQueue:
        queue = VcQueue(None, 0, self._rank(len(self.graph.edges) + src * len(PacketKind) + kind, vc))
        self._sources[src, vc, kind] = queue
        return queue

    def _rank(self, port: int, vc: Vc) -> int:
        """Lowest port first, then lowest channel: independent of when a queue is first used."""
        return self.engine.port_rank(port * len(Vc) + vc)
