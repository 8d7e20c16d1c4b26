"""One size, done in one way, on a machine with its queues."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm
from kernbench.ccl.communicator import Communicator
from kernbench.ccl_bench.ranks import Ranks
from kernbench.ccl_bench.request import TYPES, Request
from kernbench.ccl_bench.volume import Volume
from kernbench.components.pe.pe_ipcq import PeIpcq
from kernbench.machine.machine import Machine
from kernbench.memory.ipcq_ring import SendRing
from kernbench.messages.ipcq import Wiring
from kernbench.simulation import Simulation


class Case:
    """One size of a request, done in one way, on a machine with its queues."""

    def __init__(self, request: Request, ranks: Ranks, name: str, size_bytes: int) -> None:
        self.request = request
        self.ranks = ranks
        self.name = name
        self.algorithm: Algorithm = ALGORITHMS[name]
        self.volume = Volume(request, ranks.group.n_ranks, size_bytes)
        self.dtype = TYPES[request.dtype]
        self.model = ranks.model_of(name)
        mode, model = ("data", self.model) if request.is_ideal else (request.mode, None)
        reads = "warn" if request.n_checks else "ignore"  # what is not checked is not filled either
        self.simulation = Simulation(ranks.config, mode=mode, ideal=model, uninitialised=reads)
        self.communicator = Communicator(self.simulation.torch, ranks.pes, buffer_kind=request.buffer)
        self.wiring: Wiring = self.communicator.install(name)
        self.rings = send_rings(self.simulation.machine)


def send_rings(machine: Any) -> list[SendRing]:
    """Those of all queue ends; none without simulated time."""
    if not isinstance(machine, Machine):
        return []
    units = [unit for unit in machine.assembly.components.values() if isinstance(unit, PeIpcq)]
    return [rings.send_ring for unit in units for rings in unit.rings.values()]
