"""What is sent: what is claimed, on every topology; and on every link what the routes of all messages add up to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from kernbench.analysis.breakdown import column
from kernbench.bench.collectives.bench import CclBench
from kernbench.bench.collectives.recording import record
from kernbench.bench.collectives.request import Request
from kernbench.ccl.algorithm import ALGORITHMS, load_algorithms
from kernbench.ccl.communicator import Communicator
from kernbench.config.load import load_config
from kernbench.device.placement import DPPolicy
from kernbench.machine.ideal_machine import IdealQueues
from kernbench.messages.fabric import Vc
from kernbench.messages.ipcq import parts_of
from kernbench.messages.oplog import OpCode
from kernbench.simulation import simulate
from kernbench.theory.ideal import IdealModel
from kernbench.theory.max_plus import Send, evaluate
from kernbench.theory.traffic import busiest, link_bytes
from kernbench.topology.routes import Routes
from kernbench.torch.context import Context
from kernbench.units import ceil_div
from tests.ccl.collective_kit import cube_of, n_in, n_out, serves, sides
from tests.ccl.cost_table import cost

pytestmark = [
    pytest.mark.usefixtures("rare_garbage"),
    pytest.mark.filterwarnings("ignore::kernbench.errors.UninitialisedWarning"),
]
load_algorithms()
NAMES = sorted(ALGORITHMS)
F = Fraction
ITEM = 4  # bytes of an fp32
WORLDS = (1, 2, 3, 7, 8, 12, 16)


def even_elems(p):
    """A size that all algorithms divide evenly among ``p`` ranks: in halves of parts, and in powers of two."""
    return 16 * p


def run(communicator, name, n_elem):
    """One launch on empty tensors; waits for its end."""
    torch = Context(communicator.device, seed=0)
    sources, results = (
        [
            torch.empty(n(name, n_elem, len(communicator.pes)), policy=DPPolicy(only=pe))
            for pe in communicator.pes
        ]
        for n in (n_in, n_out)
    )
    communicator.run(name, sources, results, n_elem=n_elem)
    torch.synchronize()


# -- the ideal machine ------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch):
    """Bytes of all sends by their end of a queue, as the kernels issue them on the ideal machine."""
    counted = Counter()
    send = IdealQueues.send

    def counting(self, command):
        counted[command.queue] += command.operands[0].size_bytes
        send(self, command)

    monkeypatch.setattr(IdealQueues, "send", counting)
    return counted


def by_pair(ways):
    """From whom to whom, what their ways carry: a kernel has names for them, a schedule numbers."""
    found = {}
    for (sender, receiver, _), size_bytes in ways.items():
        found.setdefault((sender, receiver), []).append(size_bytes)
    return {pair: sorted(sizes) for pair, sizes in found.items()}


@pytest.mark.parametrize(("name", "p"), [(name, p) for name in NAMES for p in WORLDS if serves(name, p)])
def test_kernel_schedule_claim_and_table_agree_on_what_each_link_of_the_ideal_machine_carries(name, p, sent):
    n_elem, is_crossbar = even_elems(p), ALGORITHMS[name].is_crossbar
    model = IdealModel(F(11), F(3, 2), F(1, 3), is_crossbar)
    simulation = simulate("tiny", mode="data", overrides=cube_of(p), ideal=model)
    communicator = Communicator(simulation.device, range(p))
    run(communicator, name, n_elem)
    config, graph = simulation.config, simulation.graph
    scheduled = evaluate(record(config, graph, range(p), name, n_elem).schedule, model)
    carried = {(end.rank, end.peer.rank, end.name): size_bytes for end, size_bytes in sent.items()}
    assert by_pair(carried) == by_pair(scheduled.traffic)
    assert simulation.machine.time == scheduled.time
    assert sum(carried.values()) == ALGORITHMS[name].elems_sent(p, n_elem) * ITEM
    found = (sum(carried.values()), busiest(carried, is_crossbar=is_crossbar))
    assert cost(name, p, sides(p), n_elem * ITEM) in (None, found)


@pytest.mark.parametrize("name", [name for name in NAMES if serves(name, 8)])
def test_kernbench_ccl_says_on_the_ideal_machine_what_the_table_says(name):
    request = Request(collective=ALGORITHMS[name].collective, algorithm=name, is_ideal=True, n_warmup=0)
    bench = CclBench(load_config("tiny", cube_of(8)), request)
    row = bench.row(4096)
    smaller = 4096 // 8 if request.collective in ("reduce_scatter", "all_gather") else row.size_bytes
    assert cost(name, 8, (4, 2), smaller) in (None, (row.total_bytes, row.max_link_bytes))
    assert {half.error_ps for half in row.halves} == {0}
    assert row.n_wrong == 0


# -- machines ---------------------------------------------------------------------------------------------------------

TWO_BY_TWO = Path(__file__).parents[1] / "laws" / "two_by_two.yaml"
ONE_CUBE = (
    "system.sips={count: 1, grid: [1, 1]}",
    "sip.cubes={count: 1, grid: [1, 1]}",
    "sip.io_die.ucie_ports.attach=[[0, 0]]",
)


class Where(NamedTuple):
    """A machine, the PEs of its ranks, the elements of a rank's larger buffer, and what its rings are like."""

    topology: str | Path
    overrides: tuple[str, ...]
    pes: Sequence[int]
    n_elem: int
    rings: Mapping[str, int] = MappingProxyType({})


MACHINES = {
    "tiny": Where("tiny", (), range(4), 192),
    "slots of two packets": Where(
        "tiny", ("pe.tcm.size=1 MiB",), range(4), 4800, MappingProxyType({"slots": 3, "slot_bytes": 6 << 10})
    ),
    "a cube of default": Where("default", ONE_CUBE, range(16), 720),
    "2 SIPs of 2 cubes": Where(TWO_BY_TWO, (), range(16), 720),
    "two PEs of each cube in any order": Where(TWO_BY_TWO, (), (9, 4, 13, 0, 12, 5, 1, 8), 384),
}


def flits(simulation, size_bytes):
    """Flits of a message: its packets, each with a header, in chunks."""
    noc = simulation.config.topology.cube.noc
    return sum(
        ceil_div(chunk + (noc.header_bytes if i == 0 else 0), noc.flit_bytes)
        for packet in parts_of(size_bytes, noc.packet_bytes)
        for i, chunk in enumerate(parts_of(packet, noc.chunk_bytes))
    )


@cache
def machine(where):
    """One for all algorithms."""
    return simulate(MACHINES[where].topology, mode="timing", overrides=MACHINES[where].overrides)


class Carried(NamedTuple):
    """Since the beginning of time: payload of all messages, and flits by edge on the virtual channel of queues."""

    size_bytes: int
    flits: Counter

    @classmethod
    def by(cls, machine):
        table = machine.log.table()
        copies = column(table, "op") == OpCode.IPCQ_COPY
        links = machine.fabric.links.items()
        sent = {index: link.queues[Vc.COMM].sent for index, link in links if Vc.COMM in link.queues}
        return cls(int(column(table, "size_bytes")[copies].sum()), Counter(sent))

    def __sub__(self, before):
        return Carried(self.size_bytes - before.size_bytes, self.flits - before.flits)


@pytest.mark.parametrize("where", MACHINES)
@pytest.mark.parametrize("name", NAMES)
def test_a_machine_carries_the_tables_total_and_on_each_link_the_sum_of_messages_over_the_routes(name, where):
    simulation, _, _, pes, n_elem, rings = machine(where), *MACHINES[where]
    communicator = Communicator(simulation.device, pes, **rings)
    if reason := ALGORITHMS[name].refuses(communicator.group):
        pytest.skip(reason)
    p = len(pes)
    if ALGORITHMS[name].collective in ("reduce_scatter", "all_gather"):
        n_elem //= p
    planned = record(simulation.config, simulation.graph, pes, name, n_elem, **rings).schedule
    before = Carried.by(simulation.machine)
    run(communicator, name, n_elem)
    carried = Carried.by(simulation.machine) - before
    communicator.remove()
    assert carried.size_bytes == ALGORITHMS[name].elems_sent(p, n_elem) * ITEM

    graph, routes, wanted, payload = simulation.graph, Routes(simulation.graph), Counter(), Counter()
    for rank, steps in enumerate(planned):
        for send in (step for step in steps if isinstance(step, Send)):
            for edge in routes.route(graph.niu_of(pes[rank]), graph.niu_of(pes[send.to])):
                wanted[edge.index] += flits(simulation, send.size_bytes)
                payload[edge.index] += send.size_bytes
    assert carried.flits == wanted
    assert link_bytes(evaluate(planned, IdealModel(F(1), F(1), F(1))).traffic, pes, routes) == payload
