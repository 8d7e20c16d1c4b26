"""The queues of a machine, as its PE_IPCQs have them."""

from __future__ import annotations

from kernbench.components.pe.pe_ipcq import PeIpcq, Rings
from kernbench.machine.assemble import Assembly
from kernbench.memory.ipcq_waits import left_over
from kernbench.messages.ipcq import QueueEnd


def ipcqs(assembly: Assembly) -> list[PeIpcq]:
    """Each PE_IPCQ that was ever used, by PE."""
    units = [unit for unit in assembly.components.values() if isinstance(unit, PeIpcq)]
    return sorted(units, key=lambda unit: unit.pe)


def rings_of(assembly: Assembly) -> dict[QueueEnd, Rings]:
    """The rings of all queue ends."""
    return {end: rings for ipcq in ipcqs(assembly) for end, rings in ipcq.rings.items()}


def slots_travel(assembly: Assembly) -> bool:
    """Whether a slot has left and not arrived."""
    rings = rings_of(assembly)
    return any(mine.send_ring.tail != rings[end.peer].recv_ring.tail for end, mine in rings.items())


def credits_travel(assembly: Assembly) -> bool:
    """Whether a credit has left and is not home."""
    rings = rings_of(assembly)
    return any(mine.send_ring.head != rings[end.peer].recv_ring.told for end, mine in rings.items())


def require_received(assembly: Assembly) -> None:
    """QueueError if launches, which are complete, left a message or a slot behind; all that was sent has arrived."""
    left = [found for ipcq in ipcqs(assembly) for found in ipcq.left_over()]
    if left:
        raise left_over(left, assembly.graph.pes)
