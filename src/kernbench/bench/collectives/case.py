"""One size, done in one way: what theory asks about, and what a machine is set up for."""

from __future__ import annotations

from functools import cached_property

from kernbench.bench.collectives.ranks import Ranks
from kernbench.bench.collectives.request import TYPES, Request
from kernbench.bench.collectives.volume import Volume
from kernbench.ccl.algorithm import ALGORITHMS, Algorithm
from kernbench.ccl.wiring import ring_of, wire
from kernbench.messages.ipcq import RingSpec, Wiring


class Case:
    """One size of a request, done in one way."""

    def __init__(self, request: Request, ranks: Ranks, name: str, size_bytes: int) -> None:
        self.request = request
        self.ranks = ranks
        self.name = name
        self.algorithm: Algorithm = ALGORITHMS[name]
        self.volume = Volume(request, ranks.group.n_ranks, size_bytes)
        self.dtype = TYPES[request.dtype]
        self.model = ranks.model_of(name)

    @cached_property
    def ring(self) -> RingSpec:
        """The receive rings of its queues, as the configuration says."""
        config = self.ranks.config
        settings, given = config.ccl.algorithms.get(self.name), {"kind": self.request.buffer}
        return ring_of(config.topology, config.ccl.defaults, settings, given, first=0)

    @cached_property
    def wiring(self) -> Wiring:
        """The queues of the algorithm on the ranks."""
        ranks, algorithm = self.ranks, self.algorithm
        return wire(
            ranks.config.topology,
            ranks.group.pes,
            self.ring,
            algorithm.pairs(ranks.group),
            directions=algorithm.directions,
        )
