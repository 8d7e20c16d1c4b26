"""Collectives as nccl-tests measures them: size by size, out of place and in place, checked, and against theory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from kernbench.ccl.algorithm import (
    ALGORITHMS,
    OPS,
    Algorithm,
    Collective,
    Group,
    load_algorithms,
    require_served,
)
from kernbench.ccl.bounds import Network, ideal_network, lower_bound, machine_network
from kernbench.ccl.communicator import Communicator, usable_slots
from kernbench.ccl.inputs import REDUCING, Inputs, expected
from kernbench.ccl.lines import Line, lines_of
from kernbench.ccl.max_plus import Outcome
from kernbench.ccl.oracles import Oracle, oracle, outcome
from kernbench.ccl.schedules import Problem
from kernbench.ccl.traffic import busiest, link_bytes
from kernbench.ccl.wiring import coords_of
from kernbench.components.pe.pe_ipcq import PeIpcq
from kernbench.components.pe.pe_math import lanes_for
from kernbench.config.schema import Config, size_ranges
from kernbench.dtypes import (
    DType,
    bfloat16,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    uint8,
    uint32,
    uint64,
)
from kernbench.errors import UnknownNameError, UsageError
from kernbench.machine.ideal_machine import IdealMachine, IdealModel
from kernbench.machine.machine import Machine
from kernbench.memory.ipcq_ring import SendRing
from kernbench.messages.ipcq import Wiring
from kernbench.messages.oplog import OpCode
from kernbench.registry import did_you_mean
from kernbench.reports.breakdown import column, kernel_span
from kernbench.runtime.placement import DPPolicy
from kernbench.runtime.tensor import DeviceTensor
from kernbench.simulation import Simulation
from kernbench.topology.builder import build_graph
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.routes import Routes
from kernbench.units import PS_PER_NS, Rate

Array = npt.NDArray[Any]
COLLECTIVES: tuple[Collective, ...] = get_args(Collective)
ROOTED: frozenset[Collective] = frozenset(("broadcast", "reduce"))
SHARDED: frozenset[Collective] = frozenset(("all_gather", "reduce_scatter", "all_to_all"))
TYPES: dict[str, DType] = {
    "int8": int8,
    "uint8": uint8,
    "int32": int32,
    "uint32": uint32,
    "int64": int64,
    "uint64": uint64,
    "half": float16,
    "float": float32,
    "double": float64,
    "bfloat16": bfloat16,
}
"""nccl-tests' names of types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to measure. ``buffer`` is the memory of the rings (None: as configured)."""

    collective: Collective
    algorithm: str | None = None
    n_ranks: int | None = None
    dtype: str = "float"
    op: str = "sum"
    root: int = 0
    n_iters: int = 1
    n_warmup: int = 1
    is_checked: bool = True
    buffer: Any = None
    mode: str = "timed"
    is_ideal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One half of a row: out of place, or in place. ``time_ps`` is exact (a fraction on the ideal machine).

    ``iteration_ps`` are those of all timed iterations, the last of which is ``time_ps``. ``n_wrong`` is None where
    nothing was checked. ``lines`` are what each level of the machine allows ``busbw``.
    """

    time_ps: Fraction
    iteration_ps: tuple[Fraction, ...]
    algbw: float
    busbw: float
    n_wrong: int | None
    error_ps: Fraction | None
    stall_ps: int | None
    credits_min: int | None
    lines: tuple[Line, ...]

    @property
    def bottleneck(self) -> Line | None:
        """The lowest line; of equal ones the first; None if nothing moved."""
        return min(self.lines, key=lambda line: line.busbw, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CclRow:
    """One size. ``n_elem`` are those that nccl-tests counts; ``root`` and ``op`` are None where there is none."""

    algorithm: str
    size_bytes: int
    n_elem: int
    dtype: str
    op: str | None
    root: int | None
    out_of_place: Half
    in_place: Half | None
    n_steps: int | None
    max_link_bytes: int | None
    total_bytes: int
    bound_ps: Fraction
    bound_share: float | None
    oracle: Oracle | None
    host_s: float

    @property
    def halves(self) -> tuple[Half, ...]:
        """Those that there are."""
        return (self.out_of_place,) if self.in_place is None else (self.out_of_place, self.in_place)

    @property
    def n_wrong(self) -> int:
        """Wrong values of both halves."""
        return sum(half.n_wrong or 0 for half in self.halves)

    @property
    def has_error(self) -> bool:
        """Whether a half differs from the oracle."""
        return any(half.error_ps for half in self.halves)


class CclBench:
    """Runs one request at any size, each on a machine of its own: no row depends on another."""

    def __init__(self, config: Config, request: Request) -> None:
        self.config = config
        self.request = request
        require_known(request)
        self.graph: TopologyGraph = build_graph(config.topology)
        self.routes = Routes(self.graph)
        self.pes = tuple(range(self._n_ranks()))
        names = tuple(self.graph.pes[pe] for pe in self.pes)
        self.group = Group(tuple(coords_of(config.topology, name) for name in names), names)
        if not 0 <= request.root < len(self.pes):
            raise UsageError(f"-r {request.root}: ranks are 0..{len(self.pes) - 1}; name one of them")
        self.able = self._able()
        self.dtype = TYPES[request.dtype]

    def _n_ranks(self) -> int:
        n_pes, asked = self.graph.n_pes, self.request.n_ranks
        if asked is None:
            settings = self.config.ccl.algorithms.get(self.request.algorithm or "")
            return (settings and settings.world_size) or self.config.topology.cube.pes.count
        if not 1 <= asked <= n_pes:
            raise UsageError(f"--ranks {asked}: the machine has {n_pes} PEs; give 1 to {n_pes}")
        return asked

    def _able(self) -> tuple[str, ...]:
        """The algorithms of the collective that can serve the ranks: the one asked for, or all."""
        request, of_it = self.request, algorithms_of(self.request.collective)
        if request.algorithm is not None:
            asked = require_served(request.algorithm, self.group)
            if asked.collective != request.collective:
                raise UsageError(
                    f"--algo {request.algorithm}: is a way to do {asked.collective}; of {request.collective} there are "
                    f"{', '.join(of_it)}"
                )
            return (request.algorithm,)
        refused = {name: reason for name in of_it if (reason := ALGORITHMS[name].refuses(self.group))}
        if len(refused) == len(of_it):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
            raise UsageError(
                f"no algorithm of {request.collective} can serve {self.group.n_ranks} ranks ({reasons}); give another "
                "number with --ranks"
            )
        return tuple(name for name in of_it if name not in refused)

    def algorithm_at(self, size_bytes: int) -> str:
        """Its name: as asked for; else as ``ccl.yaml`` selects for the size, if that can serve; else the first."""
        n_bytes = Volume(self, size_bytes).smaller_bytes
        for found in size_ranges(getattr(self.config.ccl.selection, self.request.collective, self.able[0])):
            if (found.last_bytes is None or n_bytes <= found.last_bytes) and found.algorithm in self.able:
                return found.algorithm
        return self.able[0]

    def model_of(self, name: str) -> IdealModel:
        """The machine's data sheet as the model of closed forms, for an algorithm."""
        return data_sheet(self.graph, self.routes, is_crossbar=ALGORITHMS[name].is_crossbar)

    def row(self, size_bytes: int, name: str | None = None) -> CclRow:
        """Measure at ``size_bytes``, or the nearest size below that the ranks can share."""
        request, begin_s = self.request, time.perf_counter()
        case = Case(self, name or self.algorithm_at(size_bytes), Volume(self, size_bytes))
        first = case.measure(is_in_place=False)
        second = None if request.collective == "barrier" else case.measure(is_in_place=True)
        found, bound, volume = case.outcome, case.bound, case.volume
        return CclRow(
            algorithm=case.name,
            size_bytes=volume.larger_bytes,
            n_elem=volume.count,
            dtype=request.dtype,
            op=request.op if request.collective in REDUCING else None,
            root=request.root if request.collective in ROOTED else None,
            out_of_place=first,
            in_place=second,
            n_steps=None if found is None else found.n_steps,
            max_link_bytes=case.max_link_bytes,
            total_bytes=case.algorithm.elems_sent(self.group.n_ranks, volume.n_elem) * self.dtype.size_bytes,
            bound_ps=bound,
            bound_share=float(bound / first.time_ps) if first.time_ps else None,
            oracle=case.oracle,
            host_s=time.perf_counter() - begin_s,
        )


class Volume:
    """How much a size is, as nccl-tests counts: elements that a rank sends, that it receives, and ``count``.

    The size is that of the larger buffer of a rank. ``n_elem`` are the elements of the smaller one.
    """

    def __init__(self, bench: CclBench, size_bytes: int) -> None:
        collective, p = bench.request.collective, bench.group.n_ranks
        count = 0 if collective == "barrier" else size_bytes // bench.dtype.size_bytes
        shard = count // p
        whole = shard * p if collective in SHARDED else count
        self.count = shard if collective in SHARDED else count
        self.sent = shard if collective == "all_gather" else whole
        self.received = shard if collective == "reduce_scatter" else whole
        self.n_elem = min(self.sent, self.received)
        self.larger_bytes = max(self.sent, self.received) * bench.dtype.size_bytes
        self.smaller_bytes = self.n_elem * bench.dtype.size_bytes


class Case:
    """One size of a request, done in one way, on a machine with its queues."""

    def __init__(self, bench: CclBench, name: str, volume: Volume) -> None:
        self.bench = bench
        self.request = bench.request
        self.name = name
        self.algorithm: Algorithm = ALGORITHMS[name]
        self.volume = volume
        self.model = bench.model_of(name)
        self.inputs = Inputs(bench.group.n_ranks, bench.dtype, bench.request.op)
        mode, model = ("data", self.model) if self.request.is_ideal else (self.request.mode, None)
        self.simulation = Simulation(bench.config, mode=mode, ideal=model)
        self.communicator = Communicator(self.simulation.torch, bench.pes, buffer_kind=self.request.buffer)
        self.wiring: Wiring = self.communicator.install(name)
        self.rings = send_rings(self.simulation.machine)

    # -- theory -------------------------------------------------------------------------------------------

    @cached_property
    def problem(self) -> Problem:
        """What the oracle is asked."""
        ring, item_bytes, bench = self.wiring.ring, self.bench.dtype.size_bytes, self.bench
        return Problem(
            n_ranks=bench.group.n_ranks,
            n_elem=self.volume.n_elem,
            item_bytes=item_bytes,
            slice_elems=ring.slot_bytes // item_bytes,
            slots=usable_slots(self.name, ring),
            root=self.request.root,
            layout=self.algorithm.layout(bench.group),
        )

    @cached_property
    def oracle(self) -> Oracle | None:
        """What theory says; nothing of an average, which divides as it likes."""
        if self.request.op == "avg" and self.request.collective in REDUCING:
            return None
        return oracle(self.name, self.problem, self.model)

    @cached_property
    def outcome(self) -> Outcome | None:
        """What the algorithm's schedule comes to."""
        return outcome(self.name, self.problem, self.model)

    @cached_property
    def max_link_bytes(self) -> int | None:
        """Payload on the busiest link: of the machine's by the routes, or of the ideal machine's."""
        if self.outcome is None:
            return None
        traffic = self.outcome.traffic
        if self.request.is_ideal:
            return busiest(traffic, is_crossbar=self.model.is_crossbar)
        return max(link_bytes(traffic, self.bench.pes, self.bench.routes).values(), default=0)

    def lines(self) -> tuple[Line, ...]:
        """What each level allows ``busbw``: by what the last run moved, or of the ideal machine, its busiest link."""
        collective, machine = self.request.collective, self.simulation.machine
        bus_bytes = self.volume.larger_bytes * bus_factor(collective, self.bench.group.n_ranks)
        if isinstance(machine, Machine):
            moved = machine.spans[-1].moved
            return lines_of(machine.graph, moved.links, moved.memories, bus_bytes)
        if not bus_bytes or not self.max_link_bytes:
            return ()
        return (Line("link", Rate.of(PS_PER_NS / self.model.beta), self.max_link_bytes / bus_bytes),)

    @cached_property
    def bound(self) -> Fraction:
        """No algorithm is faster on these links."""
        return lower_bound(self.request.collective, self.problem, self._network())

    def _network(self) -> Network:
        bench = self.bench
        if self.request.is_ideal:
            return ideal_network(self.wiring, self.model)
        return machine_network(bench.group, bench.pes, bench.routes, self.model.gamma, self.request.root)

    # -- measurement --------------------------------------------------------------------------------------

    def measure(self, *, is_in_place: bool) -> Half:
        """One half of the row."""
        request = self.request
        run = Run(self, is_in_place=is_in_place)
        for _ in range(request.n_warmup):
            run.once()
        times = []
        for _ in range(request.n_iters):
            for ring in self.rings:
                ring.least_credits = ring.depth
            times.append(run.once())
        time_ps = times[-1]
        algbw = self.volume.larger_bytes * PS_PER_NS / time_ps if time_ps else Fraction(0)
        theory = self.oracle
        return Half(
            time_ps=time_ps,
            iteration_ps=tuple(times),
            algbw=float(algbw),
            busbw=float(algbw * bus_factor(request.collective, self.bench.group.n_ranks)),
            n_wrong=run.n_wrong(),
            error_ps=None if theory is None else time_ps - theory.time,
            stall_ps=stall_ps(self.simulation.machine),
            credits_min=self._least_credits(),
            lines=self.lines(),
        )

    def _least_credits(self) -> int | None:
        """The fewest slots that any sender had left in the last run; None if nobody sent."""
        used = [ring.least_credits for ring in self.rings if ring.least_credits < ring.depth]
        return min(used, default=None)


class Run:
    """The tensors of one case on its machine."""

    def __init__(self, case: Case, *, is_in_place: bool) -> None:
        self.simulation = case.simulation
        self.case = case
        self.request = case.request
        self.is_in_place = is_in_place
        self.has_tensors = case.request.collective != "barrier"
        self.sources, self.destinations = (
            self._tensors(case.simulation.torch) if self.has_tensors else ([], [])
        )

    def _tensors(self, torch: Any) -> tuple[list[DeviceTensor], list[DeviceTensor]]:
        case, pes, volume = self.case, self.case.bench.pes, self.case.volume
        dtype = case.bench.dtype

        def of_each(n: int, name: str) -> list[DeviceTensor]:
            return [
                torch.empty(n, dtype=dtype, policy=DPPolicy(only=pe), name=f"{name}{rank}")
                for rank, pe in enumerate(pes)
            ]

        if not self.is_in_place:
            return of_each(volume.sent, "send"), of_each(volume.received, "recv")
        whole = of_each(max(volume.sent, volume.received), "buffer")
        if volume.sent == volume.received:
            return whole, whole
        parts = [x.narrow(0, rank * volume.n_elem, volume.n_elem) for rank, x in enumerate(whole)]
        return (parts, whole) if volume.sent < volume.received else (whole, parts)

    def once(self) -> Fraction:
        """Fill the tensors, launch, and give the time of the kernel in ps."""
        machine = self.simulation.machine
        if machine.mode != "timing" and self.request.is_checked:
            self._fill()
        self.simulation.torch.synchronize()
        self.simulation.begin_window()
        self.case.communicator.run(
            self.case.name,
            self.sources,
            self.destinations,
            n_elem=self.case.volume.n_elem,
            op=self.request.op,
            root=self.request.root,
        )
        self.simulation.torch.synchronize()
        if isinstance(machine, IdealMachine):
            return machine.time
        assert isinstance(machine, Machine)
        span = kernel_span(machine.log.table(), machine.graph, machine.spans[-1])
        assert span is not None
        return Fraction(span.time_ps)

    def _fill(self) -> None:
        """What is no result into destinations, then inputs into sources, which may be the same or part of them."""
        case, volume = self.case, self.case.volume
        for rank, source in enumerate(self.sources):
            if self.destinations[rank] is not source:
                fill(self.destinations[rank], np.full(volume.received, 99, case.bench.dtype.numpy))
            fill(source, case.inputs.of(self.request.collective, rank, volume.sent))

    def n_wrong(self) -> int | None:
        """Values that are not what they should be, on all ranks; None if they are not checked."""
        case, request, volume = self.case, self.request, self.case.volume
        if not self.has_tensors or not request.is_checked or request.mode == "timing":
            return None
        inputs = [
            case.inputs.of(request.collective, rank, volume.sent) for rank in range(case.bench.group.n_ranks)
        ]
        return sum(
            int(np.count_nonzero(self.destinations[rank].numpy() != wanted))
            for rank, wanted in expected(request.collective, request.op, request.root, inputs)
        )


def bus_factor(collective: Collective, n_ranks: int) -> Fraction:
    """nccl-tests' factor from algbw to busbw: what a link carries of each byte."""
    if collective == "all_reduce":
        return Fraction(2 * (n_ranks - 1), n_ranks)
    return Fraction(n_ranks - 1, n_ranks) if collective in SHARDED else Fraction(1)


def fill(tensor: DeviceTensor, values: Array) -> None:
    """Copy ``values`` over, if there are any."""
    if values.size:
        tensor.copy_(values)


def send_rings(machine: Any) -> list[SendRing]:
    """Those of all queue ends; none without simulated time."""
    if not isinstance(machine, Machine):
        return []
    units = [unit for unit in machine.assembly.components.values() if isinstance(unit, PeIpcq)]
    return [rings.send_ring for unit in units for rings in unit.rings.values()]


def stall_ps(machine: Any) -> int | None:
    """Time that the sends of one PE waited for credits, of the PE where it was longest; None without simulated time."""
    if not isinstance(machine, Machine):
        return None
    table = machine.log.table()
    slots = column(table, "op") == OpCode.SLOT
    nodes, waits = column(table, "node")[slots], (column(table, "end_ps") - column(table, "start_ps"))[slots]
    return max((int(waits[nodes == node].sum()) for node in np.unique(nodes)), default=0)


def algorithms_of(collective: Collective) -> list[str]:
    """The names of all ways to do it."""
    algorithms = load_algorithms()
    return [name for name in algorithms if algorithms[name].collective == collective]


def require_known(request: Request) -> None:
    """Raise where a request names what there is not."""
    for what, name, known in (
        ("collective", request.collective, COLLECTIVES),
        ("type", request.dtype, TYPES),
        ("op", request.op, OPS),
    ):
        if name not in known:
            raise UnknownNameError(f"unknown {what} {name!r}; {did_you_mean(name, known)}")
    if not algorithms_of(request.collective):
        have = sorted({ALGORITHMS[name].collective for name in ALGORITHMS})
        raise UsageError(
            f"no algorithm is registered for {request.collective}; there are some for {', '.join(have)}"
        )


def data_sheet(graph: TopologyGraph, routes: Routes, *, is_crossbar: bool) -> IdealModel:
    """A machine as a model: the latency of a route between neighbours, a mesh link's rate, PE_MATH's fp32 additions."""
    spec = graph.spec
    neighbour = min(1, graph.n_pes - 1)
    alpha = routes.latency_ps(graph.niu_of(0), graph.niu_of(neighbour)) if neighbour else 0
    math = spec.pe.math
    bytes_per_cycle = lanes_for(float32, math.lanes) * Fraction(math.rate["add"]) * float32.size_bytes
    return IdealModel(
        alpha=Fraction(alpha),
        beta=1000 / spec.cube.noc.link_rate.fraction,
        gamma=Fraction(1_000_000, spec.pe.clock_mhz) / bytes_per_cycle,
        is_crossbar=is_crossbar,
    )
