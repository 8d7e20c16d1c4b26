"""Random packets on a random graph: buffers of a chunk, all channels, ugly rates, and end points that refuse."""

from collections import deque
from random import Random
from typing import Any

from kernbench.engine import Server
from kernbench.errors import DeadlockError
from kernbench.messages.fabric import PacketKind, Piece, Transaction, Vc
from kernbench.units import Rate
from tests.engine.net_kit import CHUNK, HEADER, Net

RATES = ("64", "128", "51.2", "57.33", "248.32", "0.37", "3", "1000", "99.99999999999", "47.104")
LATENCIES = (0, 1, 7, 1000, 3333, 20_000)
BUFFERS = (CHUNK + HEADER, CHUNK + HEADER, 2 * CHUNK, 2 * CHUNK + 2 * HEADER, 4352, 1 << 16)
SIZES = (0, 1, 31, 32, 33, 1000, 1024, 1025, 4096)
N_PACKETS = 60


class EndPoint:
    """Notes when every chunk was offered to it and taken; a node's, of the kind that :func:`end_point` chose."""

    def __init__(self, net: "RandomNet", node: int, sinks: frozenset[Vc]) -> None:
        self.net, self.node, self.sinks = net, node, sinks

    def receive(self, chunk: Any) -> bool:
        """Take it if there is room."""
        takes = self.takes(chunk)
        now_ps = self.net.engine.now_ps
        body = chunk.body.tag if isinstance(chunk.body, Transaction) else chunk.body
        self.net.notes.append((now_ps, self.node, body, chunk.ready_ps, chunk.is_last, takes))
        return takes

    def takes(self, chunk: Any) -> bool:
        """All of them."""
        return True


class Slow(EndPoint):
    """Takes a few chunks of channels that are not sunk, and more a while after it refused one."""

    def __init__(self, net: "RandomNet", node: int, sinks: frozenset[Vc]) -> None:
        super().__init__(net, node, sinks)
        self.room = 1
        self.is_asked = False

    def takes(self, chunk: Any) -> bool:
        """Not while it has none left; credits, which have no path, and chunks of a sunk channel need none."""
        if not chunk.path or chunk.path[-1].is_sink:
            return True
        if self.room:
            self.room -= 1
            return True
        if not self.is_asked:
            self.is_asked = True
            net = self.net
            net.engine.at(net.engine.now_ps + net.rng.choice(LATENCIES), self.node, self.make_room, None)
        return False

    def make_room(self, _: None) -> None:
        """Take a few more."""
        self.is_asked = False
        self.room = self.net.rng.randint(1, 3)
        self.net.fabric.resume(self.node)


class Working(EndPoint):
    """A process that works on one chunk after another, out of a short queue, with a budget that two share."""

    def __init__(self, net: "RandomNet", node: int, sinks: frozenset[Vc]) -> None:
        super().__init__(net, node, frozenset())
        engine = net.engine
        self.queue = engine.queue(net.rng.randint(1, 2), "work")
        self.is_refusing = False
        self.port = Server(Rate.of(net.rng.choice(RATES)))
        for name in "ab":
            engine.process(self.work(), f"{node}.{name}")

    def takes(self, chunk: Any) -> bool:
        """If there is a place; a credit needs none."""
        if not chunk.path:
            return True
        self.is_refusing = not self.queue.try_put(chunk)
        return not self.is_refusing

    def work(self) -> Any:
        """Chunk by chunk; sometimes it sends an answer."""
        net, budget = self.net, self.net.budget
        while True:
            chunk = yield self.queue.get()
            need = net.rng.randint(1, 3)
            yield budget.take(need)
            start_ps, end_ps = self.port.reserve(net.engine.now_ps, chunk.size_bytes)
            yield end_ps - net.engine.now_ps
            budget.give(need)
            net.notes.append((net.engine.now_ps, self.node, "worked", start_ps, end_ps))
            if self.is_refusing:
                self.is_refusing = False
                net.fabric.resume(self.node)
            if net.n_answers and net.rng.random() < 0.3:
                net.n_answers -= 1
                net.send_packet(self.node, ("answer", net.n_answers), net.engine.now_ps, Vc.RESP)


class Model:
    """A memory of one rate."""

    def __init__(self, rate: Rate, latency_ps: int) -> None:
        self.latency_ps = latency_ps
        self.server = Server(rate)

    def serve(self, transaction: Any, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """Behind all others, and no faster than the bytes come."""
        start_ps, end_ps = self.server.stream(head_ps, tail_ps, size_bytes)
        return start_ps, max(end_ps, tail_ps)


def random_edges(rng: Random, n_ends: int) -> list[tuple[Any, ...]]:
    """Routers joined by a random tree and some more links, and at them the end points, which are the first nodes."""
    n_routers = rng.randint(1, 5)
    routers = range(n_ends, n_ends + n_routers)
    pairs = {(end, rng.choice(routers)) for end in range(n_ends)}
    pairs |= {(router, rng.choice(routers[:i])) for i, router in enumerate(routers) if i}
    if n_routers > 1:
        pairs |= {tuple(rng.sample(routers, 2)) for _ in range(rng.randint(0, n_routers))}
    ways = sorted({way for a, b in pairs for way in ((a, b), (b, a))})
    buffers = BUFFERS if rng.random() < 0.5 else BUFFERS[:1]
    return [(*way, rng.choice(RATES), rng.choice(LATENCIES), rng.choice(buffers)) for way in ways]


def random_routes(
    rng: Random, edges: list[tuple[Any, ...]], n_ends: int
) -> dict[tuple[int, int], tuple[int, ...]]:
    """A shortest way from each end point to each other, whichever is found first: they may well close cycles."""
    routes = {}
    for src in range(n_ends):
        found = {src: (src,)}
        waiting = deque([src])
        while waiting:
            here = waiting.popleft()
            if here < n_ends and here != src:
                routes[src, here] = found[here]
                continue
            ahead = [there for origin, there, *_ in edges if origin == here and there not in found]
            for there in rng.sample(ahead, len(ahead)):
                found[there] = (*found[here], there)
                waiting.append(there)
    return routes


class RandomNet(Net):
    """A fabric, its end points, and what they noted."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.notes: list[tuple[Any, ...]] = []
        self.n_answers = 20
        self.nodes = range(rng.randint(2, 6))
        edges = random_edges(rng, len(self.nodes))
        routes = random_routes(rng, edges, len(self.nodes))
        super().__init__(edges, routes, tie_seed=rng.choice((None, None, seed)))
        self.budget = self.engine.credits(rng.randint(3, 5), "budget")
        self.memories = set(rng.sample(self.nodes, rng.randrange(len(self.nodes))))
        for node in self.nodes:
            self.sink(node)

    def sink(self, node: int) -> Any:
        """What takes the packets that arrive at ``node``."""
        if node not in self.sinks:
            self.sinks[node] = self._end_point(node)
        return self.sinks[node]

    def _end_point(self, node: int) -> Any:
        rng = self.rng
        if node in self.memories:
            model = Model(Rate.of(rng.choice(RATES)), rng.choice(LATENCIES))
            rank = self.engine.port_rank((1 << 30) + node)
            return self.fabric.memory(node, rank, model, rng.randint(1, 4))
        sinks = frozenset(vc for vc in Vc if rng.random() < 0.3)
        return rng.choice((EndPoint, Slow, Slow, Working))(self, node, sinks)

    def send_packet(self, src: int, tag: Any, at_ps: int, vc: Vc | None = None) -> None:
        """A packet of any size to another node: a request where that is a memory."""
        rng = self.rng
        away = [node for node in self.nodes if node != src and (node not in self.memories or vc is None)]
        if not away:
            return
        dst, size = rng.choice(away), rng.choice(SIZES)
        vc = vc or rng.choice(list(Vc))
        kind, body, payload = PacketKind.CONTROL, tag, size
        if dst in self.memories:
            vc = Vc.REQ
            is_write = rng.random() < 0.5
            kind = PacketKind.WRITE_REQUEST if is_write else PacketKind.READ_REQUEST
            piece = Piece(dst, 0, size or 1, size or 1, 1, 0, size or 1)
            requester = rng.choice([node for node in self.nodes if node not in self.memories])
            body = Transaction(
                piece, self, is_write=is_write, requester=requester, burst_bytes=-(-(size or 1) // 32) * 32,
                issued_ps=at_ps, tag=tag,
            )  # fmt: skip
            payload = (size or 1) if is_write else 0
        serial_ps = rng.choice((0, 0, 100, 16_000))
        for chunk in self.fabric.packet(kind, body, payload):
            if rng.random() < 0.2 and chunk.leaving is None:
                chunk.leaving = self.left
            self.fabric.post(chunk, src, dst, vc, at_ps + serial_ps, serial_ps)

    def left(self, chunk: Any) -> None:
        """Note when a chunk has left its source."""
        self.notes.append((self.engine.now_ps, "left", chunk.departs_ps))

    def start(self) -> None:
        """Packets, at once and later, and credits beside them."""
        rng = self.rng
        origins = [node for node in self.nodes if node not in self.memories]
        span_ps = rng.choice((1, 100_000, 1_000_000))
        for number in range(N_PACKETS):
            src, at_ps = rng.choice(origins), rng.randrange(span_ps)
            self.engine.at(at_ps, src, lambda job: self.send_packet(*job, self.engine.now_ps), (src, number))
        for number in range(5):
            src, dst = rng.sample(self.nodes, 2)
            if dst not in self.memories:
                self.fabric.credit(("credit", number), src, dst, 32)


def traffic(seed: int) -> dict[str, Any]:
    """All that is seen of random traffic, and how it ended: at its end, or stuck, with the map of where."""
    net = RandomNet(seed)
    net.start()
    error = ""
    try:
        net.engine.run_until(net.engine.signal(), lambda: "\n".join(net.fabric.stuck()))
    except DeadlockError as stuck:
        error = str(stuck)
    return {
        "notes": net.notes,
        "map": error,
        "events": net.engine.events,
        "hops": net.fabric.chunk_hops,
        "bytes": net.fabric.moved_bytes(),
        "busy": [link.busy_ps for link in net.fabric.links.values()],
        "memories": [(net.sinks[node].moved_bytes, net.sinks[node].busy_ps) for node in sorted(net.memories)],
        "budget": (net.budget.free, net.budget.wanted()),
        "end_ps": net.engine.now_ps,
    }
