"""Runs that cannot go on: who waits for what, whether anything is left to happen, and what programs are doing."""

from __future__ import annotations

from collections.abc import Mapping
from types import FrameType

from kernbench.components.base import Component
from kernbench.components.pe.pe_ipcq import PeIpcq, Rings
from kernbench.machine.assemble import Assembly
from kernbench.machine.queue_ends import rings_of
from kernbench.machine.underway import Launches
from kernbench.memory.ipcq_waits import Waiter, cycle_line


def waits_map(head: str, assembly: Assembly, polls: Mapping[int, str] | None = None) -> str:
    """Who waits where and for what, below ``head``; of the PEs that poll, ``polls`` has lines already."""
    pes, rings, polls = assembly.graph.pes, rings_of(assembly), polls or {}
    lines = [polls[pe] for pe in sorted(polls)]
    waiters: list[Waiter] = []
    for _, unit in sorted(assembly.components.items()):
        found = list(unit.waiters(rings)) if isinstance(unit, PeIpcq) else []
        waiters += found
        waiting = [] if unit.pe in polls else list(unit.waiting())
        waiting += (waiter.text(pes) for waiter in found)
        lines += [f"{unit.node.name}  {line}" for line in waiting]
    cycle = cycle_line(waiters, pes)
    return "\n  ".join([head, *lines, *assembly.fabric.stuck(), *([cycle] if cycle else [])])


def polled_map(head: str, assembly: Assembly, launches: Launches) -> str:
    """Which programs poll in vain, and who else waits, below ``head``."""
    lines = {
        pe: f"{assembly.graph.pes[pe]}.pe_cpu  {left[0].poll_text(len(left) - 1)}"
        for launch in launches
        for pe, left in launch.left()
        if left[0].polls.are_vain
    }
    return waits_map(head, assembly, lines)


def doing(assembly: Assembly, launches: Launches, frame: FrameType | None) -> list[str]:
    """Where the programs of ``launches`` are, and what waits for what; ``frame`` is the innermost one now."""
    lines = [
        f"{assembly.graph.pes[pe]}.pe_cpu  {left[0].doing(left[0].kernel, frame, len(left) - 1)}"
        for launch in launches
        for pe, left in launch.left()
    ]
    return [*lines, *waits_map("", assembly).split("\n  ")[1:]]


def standstill(launches: Launches, assembly: Assembly) -> tuple[object, ...] | None:
    """What is under way, if every program has ended, waits or polls in vain, and no message is on its way; else None.

    What has begun on a PE may yet be moving. Whoever finds the same twice, many polls apart, knows that it is not.
    """
    rings = rings_of(assembly)
    if any(_travels(mine, rings[end.peer]) for end, mine in rings.items()):
        return None
    found: list[object] = []
    for launch in launches:
        left = dict(launch.left())
        for pe in launch.programs:
            if pe in left and left[pe][0].polls.are_vain:
                continue
            at_front = _unit(assembly, pe, "pe_cpu").standing()
            if at_front is None and pe not in left:
                continue  # all is done there
            behind = _unit(assembly, pe, "pe_scheduler").standing()
            if at_front is None or behind is None:
                return None
            found.append((pe, at_front, behind))
    return tuple(found)


def _unit(assembly: Assembly, pe: int, kind: str) -> Component:
    return assembly.component(assembly.graph.unit(pe, kind).index)


def _travels(mine: Rings, theirs: Rings) -> bool:
    """Whether a slot or a credit is between the two ends of a queue."""
    is_sent = mine.send_ring.tail != theirs.recv_ring.tail
    return is_sent or mine.send_ring.head != theirs.recv_ring.told
