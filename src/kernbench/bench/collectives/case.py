"""One size, done in one way, on a machine with its queues."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from kernbench.bench.collectives.ranks import Ranks
from kernbench.bench.collectives.request import TYPES, Request
from kernbench.bench.collectives.volume import Volume
from kernbench.ccl.algorithm import ALGORITHMS, Algorithm
from kernbench.ccl.communicator import Communicator
from kernbench.ccl.wiring import ring_of, wire
from kernbench.components.pe.pe_ipcq import PeIpcq
from kernbench.machine.machine import Machine
from kernbench.memory.ipcq_ring import SendRing
from kernbench.messages.ipcq import Wiring
from kernbench.simulation import Simulation


class Case:
    """One size of a request, done in one way; its machine is made when it is asked for."""

    def __init__(self, request: Request, ranks: Ranks, name: str, size_bytes: int) -> None:
        self.request = request
        self.ranks = ranks
        self.name = name
        self.algorithm: Algorithm = ALGORITHMS[name]
        self.volume = Volume(request, ranks.group.n_ranks, size_bytes)
        self.dtype = TYPES[request.dtype]
        self.model = ranks.model_of(name)

    @cached_property
    def wiring(self) -> Wiring:
        """The queues of the algorithm on the ranks, as the configuration says."""
        config, ranks = self.ranks.config, self.ranks
        settings = config.ccl.algorithms.get(self.name)
        ring = ring_of(config.topology, config.ccl.defaults, settings, {"kind": self.request.buffer}, first=0)
        queues, directions = self.algorithm.queues(ranks.group), self.algorithm.directions
        return wire(config.topology, ranks.graph.pes, ring, queues, pes=ranks.pes, directions=directions)

    @cached_property
    def simulation(self) -> Simulation:
        """A fresh machine."""
        request = self.request
        mode, model = ("data", self.model) if request.is_ideal else (request.mode, None)
        reads = "warn" if request.n_checks else "ignore"  # what is not checked is not filled either
        return Simulation(self.ranks.config, mode=mode, ideal=model, uninitialised=reads)

    @cached_property
    def communicator(self) -> Communicator:
        """The ranks on that machine, with their queues installed; CapacityError if they do not fit."""
        made = Communicator(self.simulation.device, self.ranks.pes, buffer_kind=self.request.buffer)
        made.install(self.name)
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
