"""The fabric cannot deadlock: random traffic completes with one slot per channel and memory queues of one.

Negative controls: one shared channel for requests and responses, and routes that mix XY with YX, must stop.
"""

import random

import pytest

from kernbench.components import load_components
from kernbench.components.base import COMPONENTS, Site
from kernbench.config.load import load_config
from kernbench.engine import Engine, Fabric, OpLog
from kernbench.messages.fabric import PacketKind, Piece, Transaction, Vc
from kernbench.topology.builder import build_graph
from kernbench.topology.routes import Routes

load_components()
ONE_SLOT = (
    "cube.noc.buffer_per_vc=1056",
    "cube.hbm.queue=1",
    "sip.ucie.buffer_per_vc=1056",
    "sip.io_die.noc.buffer_per_vc=1056",
    "sip.io_die.pcie_ep.buffer_per_vc=1056",
    "system.sip_link.buffer_per_vc=1056",
)


class Requester:
    """A PE's network interface that sinks every answer and message; ``window`` requests outstanding."""

    sinks = frozenset(Vc)

    def __init__(self, traffic, node, rng):
        self.traffic, self.node, self.rng = traffic, node, rng
        self.left, self.done = traffic.n_each, 0

    def start(self):
        for _ in range(8):
            self.send()

    def send(self):
        if not self.left:
            return
        self.left -= 1
        traffic, rng = self.traffic, self.rng
        kind = rng.choice(("read", "write", "message"))
        size = rng.choice((32, 1024, 4096))
        now = traffic.engine.now_ps
        if kind == "message":
            target, vc, packet = rng.choice(traffic.nius), Vc.COMM, PacketKind.CONTROL
            if target == self.node:
                self.finish()
                return
            body = self
        else:
            target, vc = rng.choice(traffic.memories), Vc.REQ
            packet = PacketKind.READ_REQUEST if kind == "read" else PacketKind.WRITE_REQUEST
            piece = Piece(target, 0, size, size, 1, 0, size)
            body = Transaction(
                piece,
                self,
                is_write=kind == "write",
                requester=self.node,
                burst_bytes=size,
                issued_ps=now,
            )
        for chunk in traffic.fabric.packet(packet, body, 0 if kind == "read" else size):
            traffic.fabric.post(chunk, self.node, target, vc, now, 0)

    def receive(self, chunk):
        if not chunk.is_last:
            return True
        if chunk.kind is PacketKind.CONTROL:
            chunk.body.finish()
        else:
            self.finish()
        return True

    def finish(self):
        self.done += 1
        self.send()


class OneChannel(Fabric):
    """Everything shares the channel of requests."""

    def path(self, src, dst, vc):
        return super().path(src, dst, Vc.REQ)

    def source(self, node, vc, kind):
        return super().source(node, Vc.REQ, kind)


class Traffic:
    """Random reads, writes and messages between all PEs and memories of ``default``."""

    def __init__(self, seed, n_each=40, route=None, one_channel=False):
        config = load_config("default", ONE_SLOT)
        spec = config.topology
        graph = build_graph(spec)
        self.n_each = n_each
        self.engine = Engine()
        self.graph = graph
        self.log = OpLog()
        self.components = {}
        self.nius = [graph.niu_of(pe) for pe in range(graph.n_pes)]
        self.memories = [node.index for node in graph.of_kind("hbm_ctrl")]
        noc = spec.cube.noc
        self.fabric = (OneChannel if one_channel else Fabric)(
            self.engine,
            graph,
            (route or Routes)(graph).route,
            chunk_bytes=noc.chunk_bytes,
            header_bytes=noc.header_bytes,
            flit_bytes=noc.flit_bytes,
            vcs_per_class=dict.fromkeys(Vc, 1),
            pass_ps=lambda node: graph.nodes[node].latency_ps,
            receiver=self.receiver,
        )
        self.requesters = [Requester(self, niu, random.Random(seed * 1000 + niu)) for niu in self.nius]
        for niu, requester in zip(self.nius, self.requesters):
            self.components[niu] = requester
        self.site = {
            "engine": self.engine,
            "fabric": self.fabric,
            "log": self.log,
            "page_table": None,
            "pe": -1,
            "address": -1,
            "graph": graph,
            "pe_spec": spec.pe,
            "noc": noc,
            "burst_bytes": 32,
        }

    def receiver(self, index):
        if index not in self.components:
            node = self.graph.nodes[index]
            self.components[index] = COMPONENTS["hbm_ctrl_v1"](Site(node=node, **self.site))
        return getattr(self.components[index], "end_point", self.components[index])

    def run(self):
        for requester in self.requesters:
            requester.start()
        self.engine.run()
        return sum(requester.done for requester in self.requesters)


class MixedRoutes(Routes):
    """Every other pair goes Y first: turns that close a cycle."""

    def route(self, src, dst):
        back = super().route(dst, src)
        if (src + dst) % 2 and back:
            return tuple(self.graph.edge(edge.dst, edge.src) for edge in reversed(back))
        return super().route(src, dst)


@pytest.mark.parametrize("seed", range(3))
def test_random_traffic_completes_with_one_slot_per_channel_and_memory_queues_of_one(seed):
    traffic = Traffic(seed)
    assert traffic.run() == 128 * 40
    assert traffic.fabric.stuck() == []


def test_requests_and_responses_on_one_channel_stop_and_are_mapped():
    traffic = Traffic(0, one_channel=True)
    assert traffic.run() < 128 * 40
    assert len(traffic.fabric.stuck()) > 1


def test_mixed_xy_and_yx_routes_stop_and_are_mapped():
    traffic = Traffic(0, route=MixedRoutes)
    assert traffic.run() < 128 * 40
    assert len(traffic.fabric.stuck()) > 1
