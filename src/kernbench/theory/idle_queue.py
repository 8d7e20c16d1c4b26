"""How fast one queue between two PEs can be: the truth that ``kernbench probe queue`` holds the simulator to.

Worked out from the graph and the data sheets alone, apart from the engine. A stream of messages, each of one slot in
TCM, has two limits: no unit takes the next message before it is free (``m b``), and no slot is filled again before its
credit is back (``R``). With D slots a lap, D messages long, takes the longer of ``D m b`` and ``R``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from kernbench.theory.idle_path import Arrival, IdleRoute, LinkStage, stages
from kernbench.theory.idle_transfer import IdleServer, cut
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.routes import Routes
from kernbench.units import PS_PER_US, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleQueue:
    """What a stream of equal messages through an idle queue is limited by.

    ``intervals`` says how long each unit on the way is occupied by one message, ``trip`` what follows on what while one
    slot is filled, read, freed and told of. On the way times are rounded to whole picoseconds ``n_rounded`` times: when
    a chunk begins and when it ends at a link or port that does not take a whole number of them for it.
    """

    intervals: dict[str, Fraction]
    trip: dict[str, int]
    n_rounded: int

    @property
    def interval_ps(self) -> Fraction:
        """``m b``: time between messages if slots abound, exactly."""
        return max(self.intervals.values())

    @property
    def limit(self) -> str:
        """The unit that takes that long; the first, if several do."""
        return max(self.intervals, key=lambda name: self.intervals[name])

    @property
    def round_trip_ps(self) -> int:
        """``R``: from a credit to the next one for the same slot."""
        return sum(self.trip.values())

    @property
    def knee(self) -> int:
        """The least depth at which more slots are of no use."""
        return ceil(self.round_trip_ps / self.interval_ps)

    def lap_ps(self, depth: int) -> Fraction:
        """Time for ``depth`` messages through ``depth`` slots."""
        return max(depth * self.interval_ps, Fraction(self.round_trip_ps))

    def error_ps(self, depth: int, n_laps: int, simulated_ps: int) -> int:
        """How much longer ``n_laps`` took than they should.

        Rounding may move either end by less than 1 ps each time; where the way back is what limits, in each lap.
        """
        lap_ps = self.lap_ps(depth)
        error = simulated_ps - n_laps * lap_ps
        may_round_ps = self.n_rounded * (n_laps if lap_ps == self.round_trip_ps else 1)
        return 0 if abs(error) < may_round_ps else ceil(error) if error > 0 else floor(error)

    def messages_per_us(self, depth: int) -> float:
        """Throughput with ``depth`` slots: ``min(1 / (m b), D / R)``."""
        return float(depth * PS_PER_US / self.lap_ps(depth))


def idle_queue(graph: TopologyGraph, routes: Routes, src: int, dst: int, size_bytes: int) -> IdleQueue:
    """The limits of messages of ``size_bytes`` from PE number ``src`` to ``dst``, each in one slot in TCM.

    The sender issues asynchronous sends of one block that it has, the receiver receives one message after the other and
    drops each. Every buffer, window and queue but the ring is large enough.
    """
    niu, there_niu = graph.niu_of(src), graph.niu_of(dst)
    there = stages(graph, routes.route(niu, there_niu))
    back = stages(graph, routes.route(there_niu, niu))
    sender, receiver = (graph.unit(pe, "pe_cpu").spec.issue_ps for pe in (src, dst))
    sending, receiving = (graph.unit(pe, "pe_scheduler").spec.dispatch_ps for pe in (src, dst))
    setup_ps = graph.unit(src, "pe_dma").spec.setup_ps
    reads, writes = graph.unit(src, "pe_tcm").spec, graph.unit(dst, "pe_tcm").spec
    sent_bytes = size_bytes + graph.spec.cube.noc.header_bytes * len(list(_packets(graph, size_bytes)))

    intervals = {
        "the set-up of a slot by PE_DMA": Fraction(setup_ps),
        "the issue of a send by PE_CPU": Fraction(sender),
        "the dispatch of a send by PE_SCHEDULER": Fraction(sending),
        "the issue and the dispatch of a receive": Fraction(receiver + receiving),
        "the read port of the sender's TCM": IdleServer(reads.read_rate).serial(size_bytes),
        "the write port of the receiver's TCM": IdleServer(writes.write_rate).serial(size_bytes),
    }
    for edge, stage in zip(
        (e for e in routes.route(niu, there_niu) if e.rate is not None), there, strict=True
    ):
        name = f"the link {graph.nodes[edge.src].name} -> {graph.nodes[edge.dst].name}"
        intervals[name] = stage.serial_ps(sent_bytes)

    trip = {
        "set-up": setup_ps,
        "data": _data_ps(graph, IdleRoute(there), src, dst, size_bytes),
        "next receive": receiver,  # whose issue says that the block before is dead
        "credit": _credit_ps(back, graph.unit(dst, "pe_ipcq").spec.credit_bytes),
    }
    rates = [reads.read_rate, *(stage.rate for stage in there), writes.write_rate]
    return IdleQueue(intervals=intervals, trip=trip, n_rounded=_n_rounded(graph, rates, size_bytes))


def _data_ps(graph: TopologyGraph, there: IdleRoute, src: int, dst: int, size_bytes: int) -> int:
    """From the first packet's leave to the last byte in the slot: out of one TCM, over the route, into the other."""
    reads, writes = graph.unit(src, "pe_tcm").spec, graph.unit(dst, "pe_tcm").spec
    read_port = IdleServer(reads.read_rate, reads.latency_ps)
    write_port = IdleServer(writes.write_rate, writes.latency_ps)
    landed_ps = 0
    for header, payloads in _packets(graph, size_bytes):
        for payload in payloads:
            came = there.cross(payload + header, read_port.pass_(payload, Arrival(0, 0)))
            header = 0
            landed_ps = max(landed_ps, write_port.pass_(payload, came).tail_ps)
    return landed_ps


def _packets(graph: TopologyGraph, size_bytes: int) -> Iterator[tuple[int, list[int]]]:
    """The header and the payloads of the chunks of each packet; an empty message is one packet of a header."""
    noc = graph.spec.cube.noc
    for packet_bytes in list(cut(size_bytes, noc.packet_bytes)) or [0]:
        yield noc.header_bytes, list(cut(packet_bytes, noc.chunk_bytes)) or [0]


def _n_rounded(graph: TopologyGraph, rates: Sequence[Rate], size_bytes: int) -> int:
    """Twice the places, of ``rates``, at which some chunk takes no whole number of picoseconds."""
    sizes = {
        size for header, payloads in _packets(graph, size_bytes) for size in (*payloads, header + payloads[0])
    }
    rounds = [any(IdleServer(rate).serial(size).denominator > 1 for size in sizes) for rate in rates]
    return 2 * sum(rounds)


def _credit_ps(back: tuple[LinkStage, ...], credit_bytes: int) -> int:
    """A credit queues nowhere: the latencies of its route, and its time on the slowest link."""
    return max(ceil(stage.serial_ps(credit_bytes)) for stage in back) + sum(
        stage.latency_ps for stage in back
    )
