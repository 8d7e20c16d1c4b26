"""Whether anything is left to happen in simulated time but what programs do that poll in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kernbench.components.base import Component
from kernbench.components.pe.pe_ipcq import Rings
from kernbench.machine.kernel_runner import Program
from kernbench.machine.underway import Underway
from kernbench.messages.ipcq import QueueEnd

UnitOf = Callable[[int, str], Component]


def standstill(
    launches: Iterable[Underway], unit_of: UnitOf, rings: Mapping[QueueEnd, Rings]
) -> tuple[Any, ...] | None:
    """What is under way, if every program has ended, waits or polls in vain, and no message is on its way; else None.

    What has begun on a PE may yet be moving. Whoever finds the same twice, many polls apart, knows that it is not.
    """
    if any(_travels(mine, rings[end.peer]) for end, mine in rings.items()):
        return None
    found: list[Any] = []
    for launch in launches:
        for pe, programs in launch.programs.items():
            program = first_left(programs)
            if program is not None and program.polls.are_vain:
                continue
            at_front = unit_of(pe, "pe_cpu").standing()
            if at_front is None and program is None:
                continue  # all is done there
            behind = unit_of(pe, "pe_scheduler").standing()
            if at_front is None or behind is None:
                return None
            found.append((pe, at_front, behind))
    return tuple(found)


def first_left(programs: Sequence[Program]) -> Program | None:
    """The first program that has not ended: the one that a PE is at."""
    return next((program for program in programs if not program.has_ended), None)


def _travels(mine: Rings, theirs: Rings) -> bool:
    """Whether a slot or a credit is between the two ends of a queue."""
    is_sent = mine.send_ring.tail != theirs.recv_ring.tail
    return is_sent or mine.send_ring.head != theirs.recv_ring.told
