"""CPU time is booked to one part at a time: parts sum to all of it, none is negative, and each has what it caused."""

import random
import sys
import time
from collections import Counter
from types import ModuleType

import pytest

import kernbench as kb
from kernbench import cpu_time, simulation
from kernbench.cpu_time import REPORT, START, CpuParts, CpuTime, booked, in_force

PARTS = ("start", "configuration", "language", "machine", "values", "report")


class Clock:
    """A clock of CPU time and of wall time, which goes on when it is told to, and knows for what."""

    def __init__(self):
        self.now_ns = 0
        self.spent_ns = Counter({f"{part}_ns": 0 for part in PARTS})

    def spend(self, part, ns):
        self.now_ns += ns
        self.spent_ns[f"{part}_ns"] += ns

    def __call__(self):
        return self.now_ns


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for name in ("cpu_time.process_time_ns", "cpu_time.perf_counter_ns", "memory.replay.perf_counter_ns"):
        monkeypatch.setattr(f"kernbench.{name}", clock)
    return clock


def test_what_is_booked_is_all_that_passed(clock):
    rng = random.Random(7)
    clock.now_ns = 1000
    cpu = CpuTime(rng.randrange(6))
    for _ in range(500):
        cpu.enter(rng.randrange(6))
        clock.now_ns += (passed_ns := rng.randrange(50))
        cpu.values_wall_ns += rng.randrange(passed_ns + 1)
        parts = cpu.parts()
        assert parts.total_ns == clock.now_ns - 1000
        assert min(getattr(parts, f"{part}_ns") for part in PARTS) >= 0


def test_values_within_another_part_take_their_share_of_its_wall_time(clock, monkeypatch):
    wall = Clock()
    monkeypatch.setattr(cpu_time, "perf_counter_ns", wall)
    cpu = CpuTime(START)
    wall.now_ns, clock.now_ns, cpu.values_wall_ns = 4000, 1000, 3000  # the process had a quarter of a core
    assert cpu.parts() == CpuParts(
        start_ns=250, configuration_ns=0, language_ns=0, machine_ns=0, values_ns=750, report_ns=0
    )
    cpu.values_wall_ns = 1  # more than there was
    assert cpu.parts().total_ns == 1000


def test_an_error_within_a_part_ends_it(clock):
    cpu = CpuTime()

    def fail():
        with cpu.on(REPORT):
            clock.now_ns += 5
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    clock.now_ns += 2
    parts = cpu.parts()
    assert (parts.report_ns, parts.values_ns) == (5, 2)


def test_books_in_force_are_those_around():
    with booked(START) as books:
        assert in_force() is books
        with booked(REPORT) as inner:
            assert inner is books
    assert in_force() is not books


USERS_FILE = """
import kernbench as kb
from clock_of_test import spend
from kernbench import tl
from kernbench.components.memory_model import HBM_MODELS
from kernbench.engine import Server
from kernbench.ops.elementwise import elementwise

spend("start", 1)


@HBM_MODELS.register("spending")
class Spending:
    def __init__(self, spec):
        self.latency_ps = spec.flat_latency_ps
        self.server = Server(spec.sustained_rate)

    def serve(self, transaction, head_ps, tail_ps, size_bytes):
        spend("machine", 1000)
        return self.server.stream(head_ps, tail_ps, size_bytes)


def same(x):
    spend("values", 10_000)
    return x


elementwise("same", same, add=1)


def kernel(x):
    import clock_of_test  # not a global: what the host's are at the launch, those of a kernel are

    clock_of_test.spend("language", 100)
    at = x + tl.program_id(0) * 8 + tl.arange(0, 8)
    value = tl.same(tl.load(at))
    tl.store(at, value + bool(tl.sum(value) > 1e9))  # which it waits for
    clock_of_test.spend("language", 100)


@kb.bench("spending")
def run(torch, n: int = 64):
    spend("values", 10_000)
    given = kb.random_values(torch, n, dtype="fp32", name="x")
    x = given.to("ahbm")
    with torch.measure("half"):
        torch.ahbm.launch(kernel, (n // 8,), (x,))

    def expected():
        spend("report", 100_000)
        return kb.Expected(values=given.numpy(), tolerance=0)

    return kb.Outcome(outputs=(x,), expected=expected, reference="the same", flops=n)
"""


@pytest.mark.parametrize("mode", ["timed", "data"])
def test_each_part_has_what_it_caused(clock, mode, tmp_path, monkeypatch):
    def slow_build(topology):
        clock.spend("configuration", 10)
        return build_graph(topology)

    build_graph = simulation.build_graph
    monkeypatch.setattr(simulation, "build_graph", slow_build)
    module = ModuleType("clock_of_test")
    module.spend = clock.spend
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (tmp_path / "spending.py").write_text(USERS_FILE)
    result = kb.run(
        tmp_path / "spending.py", topology="tiny", overrides={"cube.hbm.model": "spending"}, mode=mode
    )
    assert result.check.ok
    assert result.cpu == CpuParts(**clock.spent_ns)
    assert all(clock.spent_ns.values()) == (mode == "timed")  # no time passes on the machine of mode data
    assert result.cpu_s == (clock.now_ns - 1) / 1e9


def test_a_report_has_all_since_the_simulation_was_made():
    before_ns = time.process_time_ns()
    sim = kb.simulate("tiny")
    sim.torch.zeros(1000).to("ahbm")
    parts = sim.report().cpu
    after_ns = time.process_time_ns()
    assert 0 < parts.total_ns <= after_ns - before_ns
    assert min(parts.configuration_ns, parts.machine_ns, parts.values_ns, parts.report_ns) > 0
    assert parts.language_ns == 0  # no kernel ran


def test_a_run_has_all_that_passed_within_it():
    before_ns = time.process_time_ns()
    result = kb.run("vector_add", topology="tiny")
    passed_ns = time.process_time_ns() - before_ns
    assert 0.9 * passed_ns < result.cpu.total_ns <= passed_ns
    assert result.cpu_s == result.cpu.run_ns / 1e9
