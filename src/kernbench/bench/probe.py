"""Transfers on an idle machine, one at a time, and queues: what the simulator says, and what the closed form says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from kernbench.analysis.breakdown import column
from kernbench.ccl.wiring import QueuePair, install_queues
from kernbench.config.load import Overrides
from kernbench.config.rules.memory import directory_bytes
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import int8
from kernbench.errors import UsageError
from kernbench.given import whole
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.machine.machine import Machine
from kernbench.memory.mapping import ENTRY_BYTES
from kernbench.messages.fabric import Piece
from kernbench.messages.oplog import OpCode
from kernbench.records import Hidden
from kernbench.registry import require_listed
from kernbench.simulation import Simulation
from kernbench.theory.idle_path import stages
from kernbench.theory.idle_queue import IdleQueue, idle_queue
from kernbench.theory.idle_transfer import (
    EndPoint,
    host_requester,
    idle_transfer_ps,
    memory_rate,
    pe_requester,
)
from kernbench.topology.routes import Routes
from kernbench.units import KIB, MIB, PS_PER_US, ceil_div, format_bytes, transfer_ps
from kernbench.wording import quoted

HOST_CASES = ("host-to-device", "device-to-host")
PE_CASES = ("pe-to-local", "pe-to-same-cube", "pe-to-other-cube", "pe-to-other-sip")
CASES = (*HOST_CASES, *PE_CASES)
SIZES = tuple(4 * KIB << i for i in range(9))
assert SIZES[-1] == MIB
QUEUE_CASE = "queue"
QUEUE_SIZES = (256, KIB, 4 * KIB)
DEPTHS = tuple(range(1, 17))
N_BLOCKS = 4  # of a load that TCM does not hold at once: what is in flight, and room to spare
LAPS = 4  # round the ring; as many are measured as are waited for before
START_MESSAGES = 16  # and what the first messages may bunch up to


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A link of the data's route: its latency with that of the node before it, and the time it serialises."""

    name: str
    latency_ps: int
    serial_ps: int
    bytes_per_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow:
    """One transfer. ``error_ps`` is simulated minus closed form: 0, or one of the two is wrong.

    Both are None where the TLB does not hold the pages of a PE's load, which walks for them in between, or TCM not the
    blocks that are in flight.
    """

    case: str
    src: str
    dst: str
    size_bytes: int
    simulated_ps: int
    closed_form_ps: int | None
    error_ps: int | None
    bytes_per_ns: float
    bottleneck_bytes_per_ns: float
    share: float
    hops: tuple[Hop, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A stream of messages of ``size_bytes``, each in a slot of its own, through a queue of ``depth`` slots.

    ``simulated_ps`` and ``closed_form_ps`` (rounded up) are the time of ``n_messages`` in the steady state;
    ``error_ps`` is their difference beyond rounding: 0, or one of the two is wrong. ``limits`` says where the closed
    form is from.
    """

    src: str
    dst: str
    size_bytes: int
    depth: int
    n_messages: int
    simulated_ps: int
    closed_form_ps: int
    error_ps: int
    limits: Hidden[IdleQueue]

    @property
    def messages_per_us(self) -> float:
        """Throughput, simulated."""
        return self.n_messages * PS_PER_US / self.simulated_ps

    @property
    def is_knee(self) -> bool:
        """Whether this is the least depth at which more slots are of no use."""
        return self.depth == self.limits.knee


@jit
def load_kernel(ptr: Any, BYTES: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """Loads blocks of bytes, one after the other, and keeps none."""
    for at in range(0, BYTES, BLOCK):
        n: Any = min(BLOCK, BYTES - at)
        tl.load(ptr + at, shape=(n,))


@jit
def stream_kernel(ptr: Any, MESSAGES: tl.constexpr, BYTES: tl.constexpr) -> None:
    """Rank 0 sends one block MESSAGES times, as fast as it can; rank 1 receives them one after the other."""
    if tl.rank() == 0:
        block = tl.load(ptr, shape=(BYTES,))
        for _ in range(MESSAGES):
            tl.send_async("next", block)
        return
    for _ in range(MESSAGES):
        tl.recv("previous", (BYTES,), tl.int8)


def run_probe(
    cases: Sequence[str] = CASES,
    sizes: Sequence[int] = SIZES,
    *,
    topology: str = "default",
    overrides: Overrides = (),
) -> tuple[ProbeRow, ...]:
    """Every case at every size, each transfer on a machine that does nothing else.

    A PE loads what its TCM does not hold in blocks, one behind the other. A case that the machine has no place for is
    left out; UsageError for a size that the PE's slice of HBM does not hold.
    """
    for what, given, kind in (("cases", cases, "names"), ("sizes", sizes, "bytes")):
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise UsageError(f"run_probe: {what}={quoted(given)}; give a tuple of {kind}")
    sizes = tuple(whole(size, "run_probe: a size", least=1) for size in sizes)
    for case in cases:
        require_listed("probe case", case, CASES)
    return tuple(row for case in cases for row in _Probe(topology, overrides).rows(case, sizes))


class _Probe:
    """Transfers of one case on one machine, one after the other."""

    def __init__(self, topology: str, overrides: Overrides) -> None:
        self.simulation = Simulation.of(topology, overrides=overrides, mode="timing")
        assert isinstance(self.simulation.machine, Machine)
        self.machine = self.simulation.machine
        self.graph = self.machine.graph
        self.routes = Routes(self.graph)

    def rows(self, case: str, sizes: Sequence[int]) -> Iterator[ProbeRow]:
        owner = 0 if case in HOST_CASES else self._other_pe(case)
        if owner is None:
            return
        most = self._most_bytes(owner)
        for size in sizes:
            if size > most:
                raise UsageError(
                    f"probe {case}: {format_bytes(size)} do not fit {self.graph.pes[owner]}'s slice of HBM beside the "
                    f"page table; the largest size is {most} B"
                )
            yield self._row(case, owner, size)

    def _most_bytes(self, owner: int) -> int:
        """The largest tensor that a PE's slice surely holds, with page directories and the tensor's own entries."""
        spec, room = self.machine.spec, self.machine.slice_of(owner).size_bytes
        page, burst = spec.pe.mmu.page_bytes, spec.cube.hbm.timing.burst_bytes
        if spec.pe.mmu.miss == "walk":
            room = (room - directory_bytes(spec.pe.mmu) - ENTRY_BYTES) * page // (page + ENTRY_BYTES)
        return max(0, room // burst * burst)

    def _is_held(self, size: int, pe: EndPoint) -> bool:
        """Whether the TLB holds all pages of a tensor, and TCM what is in flight and two blocks more."""
        mmu, block = self.graph.unit(0, "pe_mmu").spec, pe.descriptor_bytes
        has_room = block == size or pe.max_inflight_bytes + 2 * block <= self.machine.tcm_left_bytes(0)
        has_pages = mmu.miss == "preload" or ceil_div(size, mmu.page_bytes) <= mmu.tlb_entries
        return bool(has_room and has_pages)

    def _block_bytes(self, size: int) -> int:
        """What a load of ``size`` takes at a time: all that TCM holds at once, else a quarter of TCM."""
        left_bytes = self.machine.tcm_left_bytes(0)
        return size if size <= left_bytes else max(1, left_bytes // N_BLOCKS)

    def _other_pe(self, case: str) -> int | None:
        """The last PE that is in the same cube as PE 0, or in another one, or in another SIP."""
        pes = self.graph.pes
        at = pes[0]
        is_there = {
            "pe-to-local": [pe == at for pe in pes],
            "pe-to-same-cube": [pe[:-1] == at[:-1] and pe != at for pe in pes],
            "pe-to-other-cube": [pe[:1] == at[:1] and pe[:-1] != at[:-1] for pe in pes],
            "pe-to-other-sip": [pe[:1] != at[:1] for pe in pes],
        }[case]
        return max((i for i, there in enumerate(is_there) if there), default=None)

    def _row(self, case: str, owner: int, size: int) -> ProbeRow:
        memory = self.machine.slice_of(owner).owner
        if case in HOST_CASES:
            is_write = case == "host-to-device"
            end, setup_ps = host_requester(self.graph), 0
            simulated_ps = self._copy(owner, size, is_write=is_write)
        else:
            is_write, block = False, self._block_bytes(size)
            end = pe_requester(self.graph, 0, descriptor_bytes=block)
            setup_ps = end.setup_ps
            simulated_ps = self._load(owner, size, block)
        closed_ps = None
        if case in HOST_CASES or self._is_held(size, end):
            idle_ps = idle_transfer_ps(self.graph, self.routes, end, memory, size, is_write=is_write)
            closed_ps = setup_ps + idle_ps
        src, dst = (end.node, memory) if is_write else (memory, end.node)
        hops = tuple(self._hops(src, dst, size))
        slowest = min(float(memory_rate(self.graph, memory)), *(hop.bytes_per_ns for hop in hops))
        return ProbeRow(
            case=case,
            src=self.graph.nodes[src].name,
            dst=self.graph.nodes[dst].name,
            size_bytes=size,
            simulated_ps=simulated_ps,
            closed_form_ps=closed_ps,
            error_ps=None if closed_ps is None else simulated_ps - closed_ps,
            bytes_per_ns=size * 1000 / simulated_ps,
            bottleneck_bytes_per_ns=slowest,
            share=size * 1000 / simulated_ps / slowest,
            hops=hops,
        )

    def _copy(self, owner: int, size: int, *, is_write: bool) -> int:
        """Simulated time of a copy between the host and the beginning of a PE's slice."""
        node, base, _ = self.machine.slice_of(owner)
        piece = Piece(node, base, size, size, 1, 0, size)
        start_ps = self.machine.now_ps
        if is_write:
            self.machine.host_write((piece,), np.empty(size, np.uint8))
        else:
            self.machine.host_read((piece,), size)
        return self.machine.now_ps - start_ps

    def _load(self, owner: int, size: int, block: int) -> int:
        """Simulated time that PE 0 takes to load from a PE's slice: from the first descriptor's start to the last byte.

        It is the second of two times, so that the TLB holds its pages.
        """
        torch = self.simulation.torch
        tensor = torch.empty(size, dtype=int8, policy=DPPolicy(only=owner), name="block")
        for _ in range(2):
            self.simulation.begin_window()  # the log of what was before is not needed
            torch.launch(load_kernel, (1,), (tensor,), {"BYTES": size, "BLOCK": block}, place=[0])
            torch.synchronize()
        table = self.machine.log.table()
        loads = column(table, "op") == OpCode.DMA_READ
        return int(column(table, "end_ps")[loads].max() - column(table, "start_ps")[loads].min())

    def _hops(self, src: int, dst: int, size: int) -> Iterator[Hop]:
        route = self.routes.route(src, dst)
        for edge, stage in zip(route, stages(self.graph, route), strict=True):
            yield Hop(
                name=f"{self.graph.nodes[edge.src].name} -> {self.graph.nodes[edge.dst].name}",
                latency_ps=stage.latency_ps,
                serial_ps=transfer_ps(size, stage.rate),
                bytes_per_ns=float(stage.rate),
            )


def run_queue_probe(
    sizes: Sequence[int] = QUEUE_SIZES,
    depths: Sequence[int] = DEPTHS,
    *,
    pes: tuple[int, int] = (0, 1),
    topology: str = "default",
    overrides: Overrides = (),
) -> tuple[QueueRow, ...]:
    """A queue from one of ``pes`` to the other, at every size and depth, on a machine that does nothing else.

    A ring that TCM does not hold beside one more message is left out; UsageError if it holds none.
    """
    for what, numbers in (("sizes are bytes", sizes), ("depths are slots", depths)):
        if any(number < 1 for number in numbers):
            raise UsageError(f"probe queue: {what} above 0, not {min(numbers)}")
    simulation = Simulation.of(topology, overrides=overrides, mode="timing")
    graph = simulation.graph
    if pes[0] == pes[1] or not all(0 <= pe < graph.n_pes for pe in pes):
        raise UsageError(
            f"probe queue: a queue joins two PEs of 0..{graph.n_pes - 1}, not PE {pes[0]} and PE {pes[1]}"
        )
    src, dst = pes
    tcm_bytes = min(graph.unit(pe, "pe_tcm").spec.size_bytes for pe in pes)
    if (min(depths) + 1) * min(sizes) > tcm_bytes:
        raise UsageError(
            f"probe queue: no ring of these depths and sizes fits a TCM of {tcm_bytes} B beside one more message; of "
            f"depth {min(depths)} a message has {tcm_bytes // (min(depths) + 1)} B at most"
        )
    routes = Routes(graph)
    rows = []
    for size in sizes:
        limits = idle_queue(graph, routes, src, dst, size)
        for depth in depths:
            if (depth + 1) * size > tcm_bytes:
                continue
            n_messages = LAPS * depth
            simulated_ps = _stream(simulation, pes, size, depth, n_messages)
            rows.append(
                QueueRow(
                    src=str(graph.pes[src]),
                    dst=str(graph.pes[dst]),
                    size_bytes=size,
                    depth=depth,
                    n_messages=n_messages,
                    simulated_ps=simulated_ps,
                    closed_form_ps=ceil(LAPS * limits.lap_ps(depth)),
                    error_ps=limits.error_ps(depth, LAPS, simulated_ps),
                    limits=limits,
                )
            )
    return tuple(rows)


def _stream(simulation: Simulation, pes: tuple[int, int], size: int, depth: int, n_messages: int) -> int:
    """Simulated time of the last ``n_messages`` of a stream of so many more that it is steady."""
    torch, machine = simulation.torch, simulation.machine
    assert isinstance(machine, Machine)
    wiring = install_queues(
        torch,
        [QueuePair("next", "previous", lambda rank, n_ranks: 1 if rank == 0 else None)],
        pes=pes,
        directions=(),
        buffer_kind="tcm",
        slots=depth,
        slot_bytes=size,
        backpressure="sleep",
        credit_batch=1,
    )
    simulation.begin_window()  # the log of what was before is not needed
    block = torch.empty(size, dtype=int8, name="block")
    meta = {"MESSAGES": START_MESSAGES + 2 * n_messages, "BYTES": size}
    torch.launch(stream_kernel, (2,), (block,), meta, queues=wiring)
    torch.synchronize()
    table = machine.log.table()
    received_ps = column(table, "end_ps")[column(table, "op") == OpCode.RECV]
    torch.ahbm.remove_queues(wiring)
    return int(received_ps[-1] - received_ps[-1 - n_messages])
