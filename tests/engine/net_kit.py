"""A fabric over a graph made by hand, and end points that note what they take."""

from kernbench.config.load import load_config
from kernbench.engine import Chunk, Engine, Fabric
from kernbench.messages.fabric import PacketKind, Vc
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.units import Rate

CHUNK, HEADER, FLIT = 1024, 32, 32


class Sink:
    """Takes everything (or ``n_places`` chunks, until told to go on) and notes when the tail came."""

    def __init__(self, engine, n_places=None):
        self.engine = engine
        self.sinks = frozenset(Vc) if n_places is None else frozenset()
        self.n_places = n_places
        self.taken = []

    def receive(self, chunk):
        if self.n_places is not None:
            if not self.n_places:
                return False
            self.n_places -= 1
        self.taken.append((self.engine.now_ps, chunk.body))
        return True


SPEC = load_config("tiny").topology


class Net:
    """A fabric over hand-made edges ``(src, dst, GB/s, latency_ps, buffer_bytes)``; nodes are numbers."""

    def __init__(self, edges, routes, places=None, tie_seed=None):
        n = 1 + max(max(src, dst) for src, dst, *_ in edges)
        nodes = [Node(i, f"n{i}", "router", None, 0, 0) for i in range(n)]
        self.edges = [
            Edge(i, src, dst, "noc", latency, Rate.of(rate), buffer)
            for i, (src, dst, rate, latency, buffer) in enumerate(edges)
        ]
        graph = TopologyGraph(SPEC, nodes, self.edges, [])
        self.engine = Engine(tie_seed)
        self.sinks = {}
        self.places = places or {}
        by_ends = {(e.src, e.dst): e for e in self.edges}
        self.fabric = Fabric(
            self.engine,
            graph,
            lambda src, dst: tuple(by_ends[pair] for pair in zip(routes[src, dst], routes[src, dst][1:])),
            chunk_bytes=CHUNK,
            header_bytes=HEADER,
            flit_bytes=FLIT,
            vcs_per_class=dict.fromkeys(Vc, 1),
            pass_ps=lambda node: 0,
            receiver=self.sink,
        )

    def sink(self, node):
        return self.sinks.setdefault(node, Sink(self.engine, self.places.get(node)))

    def send(self, src, dst, size, tag=None, vc=Vc.RESP, at=0, kind=PacketKind.READ_RESPONSE):
        chunk = Chunk(kind, tag, size, size, -(-size // FLIT), True)
        self.engine.at(at, 0, lambda c: self.fabric.post(c, src, dst, vc, at, 0), chunk)

    def run(self):
        self.engine.run()
        return self


def chain(rates, latencies, buffer=1 << 20):
    """Edges and the route along a chain of nodes."""
    edges = [(i, i + 1, rate, lat, buffer) for i, (rate, lat) in enumerate(zip(rates, latencies))]
    return edges, {(0, len(rates)): tuple(range(len(rates) + 1))}
