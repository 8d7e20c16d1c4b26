"""One half of a row: a case run, timed and compared with theory."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from kernbench.analysis.breakdown import column
from kernbench.bench.collectives.case import Case
from kernbench.bench.collectives.row import Half
from kernbench.bench.collectives.run import OverLimitError, Run
from kernbench.bench.collectives.setup import Setup
from kernbench.bench.collectives.theory import Theory
from kernbench.bench.collectives.volume import bandwidths, bus_factor
from kernbench.machine.machine import Machine
from kernbench.memory.ipcq_ring import SendRing
from kernbench.messages.oplog import OpCode
from kernbench.theory.ceilings import Line, lines_of
from kernbench.units import PS_PER_NS, Rate


def measure(setup: Setup, theory: Theory, *, is_in_place: bool) -> Half:
    """Run a case in one way and time it."""
    case = setup.case
    request = case.request
    run = Run(setup, is_in_place=is_in_place)
    for _ in range(request.n_warmup):
        run.once()
    times = []
    for _ in range(request.n_iters):
        for ring in setup.rings:
            ring.least_credits = ring.depth
        times.append(run.once())
    time_ps = times[-1]
    algbw, busbw = bandwidths(case.volume, request.collective, case.ranks.group.n_ranks, time_ps)
    window_ps, stalled_ps = run.window_ps, stall_ps(setup.simulation.machine)
    credits_min, allowed = least_credits(setup.rings), lines(setup, theory)
    return Half(
        time_ps=time_ps,
        window_ps=window_ps,
        iteration_ps=tuple(times),
        algbw=algbw,
        busbw=busbw,
        n_wrong=run.n_wrong(),  # runs again, if more than one is to be checked
        error_ps=time_ps - theory.oracle.time,
        stall_ps=stalled_ps,
        credits_min=credits_min,
        lines=allowed,
    )


class Timing(NamedTuple):
    """The kernel's time of a case's last run in ps, and what that run took from its launch to the last completion."""

    time_ps: Fraction
    window_ps: int


FIRST_SLACK, SLACK = 8, Fraction(5, 4)  # of runs that fill TLBs, and of the one that counts


def time_of(case: Case, against: Timing | None) -> Timing | None:
    """Time a case out of place; None as soon as it is certain that it takes longer than ``against``.

    All algorithms are launched alike, so that one that takes a quarter longer in all has the slower kernel too.
    """
    run, time_ps = Run(Setup(case, has_values=False), is_in_place=False), Fraction(0)
    slacks = [*[Fraction(FIRST_SLACK)] * case.request.n_warmup, SLACK]
    try:
        for slack in slacks:
            time_ps = run.once(limit_ps=None if against is None else int(slack * against.window_ps))
    except OverLimitError:
        return None
    return Timing(time_ps, run.window_ps)


def lines(setup: Setup, theory: Theory) -> tuple[Line, ...]:
    """What each level allows ``busbw``: by what the last run moved, or of the ideal machine, its busiest link."""
    case, machine = setup.case, setup.simulation.machine
    bus_bytes = case.volume.larger_bytes * bus_factor(case.request.collective, case.ranks.group.n_ranks)
    if isinstance(machine, Machine):
        moved = machine.spans[-1].moved
        return lines_of(machine.graph, moved.links, moved.memories, bus_bytes)
    if not bus_bytes or not theory.max_link_bytes:
        return ()
    return (Line("link", Rate.of(PS_PER_NS / case.model.beta), theory.max_link_bytes / bus_bytes),)


def least_credits(rings: Sequence[SendRing]) -> int | None:
    """The fewest slots that any sender had left in the last run; None if nobody sent."""
    return min((ring.least_credits for ring in rings if ring.least_credits < ring.depth), default=None)


def stall_ps(machine: Any) -> int | None:
    """Time that the sends of one PE waited for credits, of the PE where it was longest; None without simulated time."""
    if not isinstance(machine, Machine):
        return None
    table = machine.log.table()
    slots = column(table, "op") == OpCode.SLOT
    nodes, waits = column(table, "node")[slots], (column(table, "end_ps") - column(table, "start_ps"))[slots]
    return max((int(waits[nodes == node].sum()) for node in np.unique(nodes)), default=0)
