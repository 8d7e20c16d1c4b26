"""The machine of a case, with its queues."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from kernbench.bench.collectives.case import Case
from kernbench.ccl.communicator import Communicator
from kernbench.components.pe.pe_ipcq import PeIpcq
from kernbench.machine.machine import Machine
from kernbench.memory.ipcq_ring import SendRing
from kernbench.simulation import Simulation


class Setup:
    """A case on a fresh machine, which is made when it is asked for; it computes values if it ``has_values``."""

    def __init__(self, case: Case, *, has_values: bool) -> None:
        self.case = case
        self.has_values = has_values

    @cached_property
    def simulation(self) -> Simulation:
        """A fresh machine."""
        request, config = self.case.request, self.case.ranks.config
        reads = (
            "warn" if self.has_values and request.n_checks else "ignore"
        )  # what is not checked is not filled either
        if request.is_ideal:
            mode = "data" if self.has_values else "timing"
            return Simulation(config, mode=mode, ideal=self.case.model, uninitialised=reads)
        return Simulation(config, mode="timed" if self.has_values else "timing", uninitialised=reads)

    @cached_property
    def communicator(self) -> Communicator:
        """The ranks on that machine, with their queues installed; CapacityError if they do not fit."""
        case = self.case
        made = Communicator(self.simulation.device, case.ranks.pes, buffer_kind=case.request.buffer)
        made.install(case.name)
        return made

    @cached_property
    def rings(self) -> list[SendRing]:
        """The rings of all ends of the installed queues; none without simulated time."""
        return send_rings(self.simulation.machine)


def send_rings(machine: Any) -> list[SendRing]:
    """The send rings of all queue ends; none without simulated time."""
    if not isinstance(machine, Machine):
        return []
    units = [unit for unit in machine.assembly.components.values() if isinstance(unit, PeIpcq)]
    return [rings.send_ring for unit in units for rings in unit.rings.values()]
