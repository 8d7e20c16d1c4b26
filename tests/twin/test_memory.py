"""What was simulated leaves no memory behind: not a simulation that was dropped, and not an event that is over."""

import gc
from pathlib import Path

import pytest

from kernbench.bench import load_bench
from kernbench.engine import Chunk, Server
from kernbench.messages.fabric import PacketKind, Vc
from kernbench.simulation import Simulation
from kernbench.units import Rate
from tests.engine.net_kit import Net, chain
from tests.twin.twins import Twins

STATM = Path("/proc/self/statm")
PAGE_BYTES = 4096
MB = 1_000_000
pytestmark = pytest.mark.skipif(not STATM.exists(), reason="Linux tells what memory a process holds")


def held_bytes():
    """What this process holds of the computer's memory."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * PAGE_BYTES


def left_by_simulations(n):
    """Bytes that ``n`` simulations leave, made, run and dropped behind the first of this process.

    Behind each, Python searches for cycles: what waits for that is not left, and would be the most of it.
    """
    bench = load_bench("vector_add")

    def simulate():
        simulation = Simulation.of("tiny")
        bench.run(simulation.torch, **bench.params_on(simulation.graph, bench.small_params))
        simulation.torch.synchronize()

    simulate()
    before = held_bytes()
    gc.freeze()  # the modules are not searched again each time
    for _ in range(n):
        simulate()
        gc.collect()
    return held_bytes() - before


def busy_net():
    """A net with a process on each side of a queue, which take turns, and send a chunk in each."""
    net = Net(*chain(["57.33", "64"], [1000, 7], buffer=2112))
    engine, queue, budget = net.engine, net.engine.queue(2), net.engine.credits(3)
    net.sink(2).taken = Forgetful()
    port = Server(Rate.of("13.7"))

    def gives():
        while True:
            yield queue.put(Chunk(PacketKind.CONTROL, None, 64, 64, 2, True))
            yield budget.take(1)

    def takes():
        while True:
            chunk = yield queue.get()
            _, end_ps = port.reserve(engine.now_ps, 64)
            yield end_ps - engine.now_ps
            budget.give(1)
            net.fabric.post(chunk, 0, 2, Vc.RESP, engine.now_ps, 0)

    engine.process(gives(), "gives")
    engine.process(takes(), "takes")
    return net


class Forgetful:
    """Keeps no note."""

    def append(self, note):
        """Forget it."""


class ReachedError(Exception):
    """So many events are over."""


def left_by_events(n):
    """Bytes that ``n`` events leave, behind the first 100,000."""
    net = busy_net()
    engine = net.engine

    def until(count):
        def stop():
            if engine.events >= count:
                raise ReachedError

        def look():
            while True:
                yield 100_000_000
                stop()

        engine.process(look(), "looks")
        with pytest.raises(ReachedError):
            engine.run()

    until(100_000)
    before = held_bytes()
    until(n)
    return held_bytes() - before


@pytest.fixture
def fresh_twins(twins):
    """Processes that have simulated nothing yet."""
    both = Twins()
    yield both
    both.close()


def test_simulations_that_were_dropped_leave_nothing(fresh_twins):
    assert max(fresh_twins.ask(left_by_simulations, 50)) < 1 * MB


def test_events_leave_nothing(twins, some):
    n_events = 1_000_000 * len(some(range(10)))
    assert max(twins.ask(left_by_events, n_events)) < 0.5 * MB
