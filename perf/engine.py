"""How fast the engine is: one workload on KernBench's engine and on idiomatic SimPy, in CPU time.

The work is a square mesh of PEs with one HBM channel per 16 PEs. A PE's kernel issues tile commands with a
window outstanding; each tile goes through a command queue, DMA-in (request, HBM channel, response over the
mesh), FETCH, GEMM and STORE (mesh, HBM channel), with short bounded queues between. Links are
store-and-forward: a tile waits for the link, holds it for its serialisation time, then pays the hop latency.

Both sides run the same seeded description and must end at the same picosecond with the same completion times.
That is only fair without ties, since SimPy orders them by insertion: the work is checked to have none, by
running ours with its ties permuted.

    python perf/engine.py --pes 64,256,1024 --pairs 5
    KERNBENCH_ENGINE=reference python perf/engine.py --pes 256
"""

from __future__ import annotations

import argparse
import gc
import math
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import simpy
from harness import bars_missed, parser_of, with_bar, write

from kernbench.compiled import running
from kernbench.engine import Engine, ProcessBody, Queue, Server, Signal
from kernbench.units import PS_PER_NS, Rate

TILES_PER_PE = 200
WINDOW = 8
QUEUE_DEPTH = 2
BLOCK = 4  # PEs along one side of the block that shares an HBM channel
# A thousand times slower than a chip, and odd, so that no two arrivals share a picosecond. Should the check
# find a tie for a new number of PEs, change the seed.
LINK_PS_PER_BYTE, HBM_PS_PER_BYTE = 8_009, 5_003
HOP_PS = 1_000_003
SEED = 1
TIE_SEEDS = (11, 12)
BARS = {("reference", 256): 6.5, ("native", 256): 15.0}  # of the ratio, by engine and PEs


# --- the work, the same for both sides -------------------------------------------------------------------


class Tile(NamedTuple):
    """One tile command: sizes, times, and its ways over the mesh as link numbers."""

    size_bytes: int
    channel: int
    request_ps: int
    load_route: tuple[int, ...]
    fetch_ps: int
    gemm_ps: int
    store_route: tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """What both sides run: ``tiles[pe]`` in the order of issue."""

    n_links: int
    n_channels: int
    tiles: list[list[Tile]]

    @property
    def mean_hops(self) -> float:
        """Hops of a tile each way."""
        hops = [len(t.load_route) + len(t.store_route) for tiles in self.tiles for t in tiles]
        return sum(hops) / len(hops) / 2


class Mesh:
    """A ``side x side`` mesh with XY routes; links are numbered as they are first used."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.links: dict[tuple[int, int], int] = {}
        self.routes: dict[tuple[int, int], tuple[int, ...]] = {}

    def route(self, src: int, dst: int) -> tuple[int, ...]:
        """Link numbers from node ``src`` to node ``dst``, X first."""
        if (src, dst) not in self.routes:
            nodes = list(self._nodes(src, dst))
            self.routes[src, dst] = tuple(
                self.links.setdefault(hop, len(self.links)) for hop in pairwise(nodes)
            )
        return self.routes[src, dst]

    def _nodes(self, src: int, dst: int) -> Iterator[int]:
        (y, x), (to_y, to_x) = divmod(src, self.side), divmod(dst, self.side)
        yield src
        while (x, y) != (to_x, to_y):
            if x != to_x:
                x += 1 if to_x > x else -1
            else:
                y += 1 if to_y > y else -1
            yield y * self.side + x


def make_work(n_pes: int, seed: int) -> Work:
    """The work of ``n_pes`` PEs, all from ``seed``."""
    side = math.isqrt(n_pes)
    mesh, rng, blocks = Mesh(side), random.Random(seed), side // BLOCK
    tiles = [[make_tile(mesh, rng, blocks, pe) for _ in range(TILES_PER_PE)] for pe in range(n_pes)]
    return Work(len(mesh.links), blocks * blocks, tiles)


def make_tile(mesh: Mesh, rng: random.Random, blocks: int, pe: int) -> Tile:
    """A tile of ``pe`` whose data lies in the channel of its own block or one of the eight around.

    Beyond the edge of the mesh is the edge, so that the mean route at 256 PEs is 5.0 hops.
    """
    y, x = divmod(pe, mesh.side)
    block_x, block_y = (min(max(at // BLOCK + rng.randint(-1, 1), 0), blocks - 1) for at in (x, y))
    middle = BLOCK // 2
    memory = (block_y * BLOCK + middle) * mesh.side + block_x * BLOCK + middle
    return Tile(
        size_bytes=rng.randint(4096, 8192),
        channel=block_y * blocks + block_x,
        request_ps=rng.randint(20_000_000, 40_000_000),
        load_route=mesh.route(memory, pe),
        fetch_ps=rng.randint(20_000_000, 40_000_000),
        gemm_ps=rng.randint(300_000_000, 700_000_000),
        store_route=mesh.route(pe, memory),
    )


class Outcome(NamedTuple):
    """What a run came to: when it ended, a checksum of all completion times, and its timed events."""

    end_ps: int
    checksum: int
    events: int


def checksum(done_ps: list[list[int]]) -> int:
    """One number that moves when any completion time does."""
    total = 0
    for times in done_ps:
        for done in times:
            total = (total * 1_000_003 + done) % (1 << 61)
    return total


# --- on KernBench's engine -------------------------------------------------------------------------------


class Link:
    """A mesh link, busy until a known time: first come, first served needs no event of its own."""

    __slots__ = ("free_ps",)

    def __init__(self) -> None:
        self.free_ps = 0


class KernbenchPe:
    """One PE as generator processes on our engine."""

    def __init__(
        self, engine: Engine, name: str, tiles: list[Tile], links: list[Link], channels: list[Server]
    ) -> None:
        self.engine = engine
        self.tiles = tiles
        self.links = links
        self.channels = channels
        self.done_ps: list[int] = []
        self.commands, self.loaded, self.fetched, self.computed = (
            Queue(engine, QUEUE_DEPTH, f"{name}.queue{i}") for i in range(4)
        )
        for body in (self.kernel(), self.dma_in(), self.fetch(), self.gemm(), self.store()):
            engine.process(body, f"{name}.{body.__name__}")

    def kernel(self) -> ProcessBody:
        outstanding: deque[Signal] = deque()
        for tile in self.tiles:
            if len(outstanding) == WINDOW:
                self.done_ps.append((yield outstanding.popleft()))
            done = Signal(self.engine)
            yield self.commands.put((tile, done))
            outstanding.append(done)
        for done in outstanding:
            self.done_ps.append((yield done))

    def dma_in(self) -> ProcessBody:
        engine = self.engine
        while True:
            command = yield self.commands.get()
            tile = command[0]
            yield tile.request_ps
            now_ps = engine.now_ps
            yield self.channels[tile.channel].reserve(now_ps, tile.size_bytes)[1] - now_ps
            yield from self.transfer(tile.load_route, tile.size_bytes)
            yield self.loaded.put(command)

    def fetch(self) -> ProcessBody:
        while True:
            command = yield self.loaded.get()
            yield command[0].fetch_ps
            yield self.fetched.put(command)

    def gemm(self) -> ProcessBody:
        while True:
            command = yield self.fetched.get()
            yield command[0].gemm_ps
            yield self.computed.put(command)

    def store(self) -> ProcessBody:
        engine = self.engine
        while True:
            tile, done = yield self.computed.get()
            yield from self.transfer(tile.store_route, tile.size_bytes)
            now_ps = engine.now_ps
            yield self.channels[tile.channel].reserve(now_ps, tile.size_bytes)[1] - now_ps
            done.fire(engine.now_ps)

    def transfer(self, route: tuple[int, ...], size_bytes: int) -> ProcessBody:
        engine, links = self.engine, self.links
        serial_ps = size_bytes * LINK_PS_PER_BYTE
        for number in route:
            link, now_ps = links[number], engine.now_ps
            start_ps = link.free_ps if link.free_ps > now_ps else now_ps
            link.free_ps = start_ps + serial_ps
            yield start_ps + serial_ps + HOP_PS - now_ps


def rate(ps_per_byte: int) -> Rate:
    """The rate at which a byte takes ``ps_per_byte``."""
    return Rate(PS_PER_NS, ps_per_byte)


def run_kernbench(work: Work, tie_seed: int | None = None) -> Outcome:
    """Run ``work`` on our engine."""
    engine = Engine(tie_seed)
    links = [Link() for _ in range(work.n_links)]
    channels = [Server(rate(HBM_PS_PER_BYTE)) for _ in range(work.n_channels)]
    pes = [KernbenchPe(engine, f"pe{i}", tiles, links, channels) for i, tiles in enumerate(work.tiles)]
    engine.run()
    return Outcome(engine.now_ps, checksum([pe.done_ps for pe in pes]), engine.events)


# --- on SimPy --------------------------------------------------------------------------------------------


class SimpyPe:
    """The same PE as a SimPy user writes it: stores between the stages, a resource per link and channel."""

    def __init__(
        self,
        env: simpy.Environment,
        tiles: list[Tile],
        links: list[simpy.Resource],
        channels: list[simpy.Resource],
    ) -> None:
        self.env = env
        self.tiles = tiles
        self.links = links
        self.channels = channels
        self.done_ps: list[int] = []
        self.commands, self.loaded, self.fetched, self.computed = (
            simpy.Store(env, QUEUE_DEPTH) for _ in range(4)
        )
        for body in (self.kernel(), self.dma_in(), self.fetch(), self.gemm(), self.store()):
            env.process(body)

    def kernel(self) -> Iterator[Any]:
        outstanding: deque[simpy.Event] = deque()
        for tile in self.tiles:
            if len(outstanding) == WINDOW:
                self.done_ps.append((yield outstanding.popleft()))
            done = self.env.event()
            yield self.commands.put((tile, done))
            outstanding.append(done)
        for done in outstanding:
            self.done_ps.append((yield done))

    def dma_in(self) -> Iterator[Any]:
        env = self.env
        while True:
            command = yield self.commands.get()
            tile = command[0]
            yield env.timeout(tile.request_ps)
            with self.channels[tile.channel].request() as granted:
                yield granted
                yield env.timeout(tile.size_bytes * HBM_PS_PER_BYTE)
            yield from self.transfer(tile.load_route, tile.size_bytes)
            yield self.loaded.put(command)

    def fetch(self) -> Iterator[Any]:
        while True:
            command = yield self.loaded.get()
            yield self.env.timeout(command[0].fetch_ps)
            yield self.fetched.put(command)

    def gemm(self) -> Iterator[Any]:
        while True:
            command = yield self.fetched.get()
            yield self.env.timeout(command[0].gemm_ps)
            yield self.computed.put(command)

    def store(self) -> Iterator[Any]:
        env = self.env
        while True:
            tile, done = yield self.computed.get()
            yield from self.transfer(tile.store_route, tile.size_bytes)
            with self.channels[tile.channel].request() as granted:
                yield granted
                yield env.timeout(tile.size_bytes * HBM_PS_PER_BYTE)
            done.succeed(env.now)

    def transfer(self, route: tuple[int, ...], size_bytes: int) -> Iterator[Any]:
        env, links = self.env, self.links
        serial_ps = size_bytes * LINK_PS_PER_BYTE
        for link in route:
            with links[link].request() as granted:
                yield granted
                yield env.timeout(serial_ps)
            yield env.timeout(HOP_PS)


def run_simpy(work: Work) -> Outcome:
    """Run ``work`` on SimPy, whose own events (requests, releases, puts, gets) are not counted."""
    env = simpy.Environment()
    links = [simpy.Resource(env) for _ in range(work.n_links)]
    channels = [simpy.Resource(env) for _ in range(work.n_channels)]
    pes = [SimpyPe(env, tiles, links, channels) for tiles in work.tiles]
    env.run()
    return Outcome(env.now, checksum([pe.done_ps for pe in pes]), 0)


# --- measuring -------------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """One line of the table: medians over the pairs."""

    engine: str
    pes: int
    bar_ratio: float | None
    events: int
    simpy_cpu_s: float
    kernbench_cpu_s: float
    ratio: float

    @property
    def is_missed(self) -> bool:
        """Whether it has a bar, and is below it."""
        return self.bar_ratio is not None and self.ratio < self.bar_ratio


def cpu_s(run: Callable[[], Outcome]) -> tuple[float, Outcome]:
    """CPU seconds of ``run``, garbage collected before and collecting as usual meanwhile, and what it gave."""
    gc.collect()
    start = time.process_time()
    outcome = run()
    return time.process_time() - start, outcome


def measure(n_pes: int, n_pairs: int) -> Measured:
    """Run ``n_pairs`` interleaved pairs: the median of each column, so ``ratio`` is the median of the pairs' ratios."""
    work = make_work(n_pes, SEED)
    expected = run_kernbench(work)
    for tie_seed in TIE_SEEDS:
        check(n_pes, f"with ties permuted by seed {tie_seed}", run_kernbench(work, tie_seed), expected)
    pairs = []
    for _ in range(n_pairs):
        theirs_s, theirs = cpu_s(lambda: run_simpy(work))
        ours_s, ours = cpu_s(lambda: run_kernbench(work))
        check(n_pes, "on SimPy", theirs, expected)
        check(n_pes, "a second time", ours, expected)
        pairs.append((theirs_s, ours_s, theirs_s / ours_s))
    engine = running().engine
    medians = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Measured(engine, n_pes, BARS.get((engine, n_pes)), expected.events, *medians)


def check(n_pes: int, how: str, outcome: Outcome, expected: Outcome) -> None:
    """Stop when a run of the same work came to another end."""
    if outcome[:2] != expected[:2]:
        raise SystemExit(f"{n_pes} PEs {how}: {outcome[:2]}, not {expected[:2]} (end_ps, checksum)")


def pe_counts(text: str) -> list[int]:
    """Numbers of PEs from ``64,256``: squares of multiples of the block's side."""
    counts = [int(word) for word in text.split(",")]
    for n_pes in counts:
        side = math.isqrt(max(n_pes, 0))
        if not side or side * side != n_pes or side % BLOCK:
            raise argparse.ArgumentTypeError(f"{n_pes} is not the square of a multiple of {BLOCK}")
    return counts


def pairs_at(n_pes: int, n_pairs: int) -> int:
    """Pairs to run: one alone above 256 PEs, where SimPy takes minutes."""
    return n_pairs if n_pes <= 256 else 1


RATIO_WIDTH = len("00.00 of 00.0")


def table(lines: list[Measured], n_pairs: int) -> str:
    """The measurements for people; growth is our CPU time and events against the line above."""
    rows = [
        f"{'PEs':>5} {'events':>9} {'SimPy CPU s':>12} {'KernBench CPU s':>16} {'ratio':>{RATIO_WIDTH}} "
        f"{'us/event':>9}  growth"
    ]
    for i, line in enumerate(lines):
        growth = ""
        if i:
            before = lines[i - 1]
            time_growth = line.kernbench_cpu_s / before.kernbench_cpu_s
            growth = f"{time_growth:.1f}x the time for {line.events / before.events:.1f}x the events"
        us_per_event = line.kernbench_cpu_s / line.events * 1e6
        rows.append(
            f"{line.pes:>5} {line.events:>9,} {line.simpy_cpu_s:>12.2f} {line.kernbench_cpu_s:>16.2f} "
            f"{with_bar(f'{line.ratio:.2f}', line.bar_ratio):>{RATIO_WIDTH}} {us_per_event:>9.2f}  {growth}".rstrip()
        )
    said = ", ".join(f"{pairs_at(line.pes, n_pairs)} at {line.pes} PEs" for line in lines)
    rows.append(f"Medians of interleaved pairs ({said}); same end time and checksum on both sides, no ties.")
    rows.append(
        f"Engine: {running().engine}. {bars_missed([f'{line.pes} PEs' for line in lines if line.is_missed])}"
    )
    return "\n".join(rows)


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--pes",
        type=pe_counts,
        default="64,256,1024",
        help="numbers of PEs, separated by commas (default: %(default)s)",
    )
    parser.add_argument(
        "--pairs", type=int, default=5, help="interleaved pairs up to 256 PEs; above, one (default: 5)"
    )
    args = parser.parse_args()
    if args.pairs < 1:
        parser.error("--pairs: at least 1")
    lines = [measure(n_pes, pairs_at(n_pes, args.pairs)) for n_pes in args.pes]
    write([line._asdict() for line in lines], lambda: table(lines, args.pairs), args.json)


if __name__ == "__main__":
    main()
