"""What theory says of a case."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

from kernbench.ccl.bounds import Network, ideal_network, lower_bound, machine_network
from kernbench.ccl.communicator import usable_slots
from kernbench.ccl.inputs import REDUCING
from kernbench.ccl.max_plus import Outcome
from kernbench.ccl.oracles import Oracle, oracle, outcome
from kernbench.ccl.schedules import Problem
from kernbench.ccl.traffic import busiest, link_bytes
from kernbench.ccl_bench.case import Case


class Theory:
    """The schedule of a case, how long it takes on the ideal machine, and what no algorithm can beat."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.request = case.request
        self.ranks = case.ranks

    @cached_property
    def problem(self) -> Problem:
        """What the oracle is asked."""
        case, group = self.case, self.ranks.group
        ring, item_bytes = case.wiring.ring, case.dtype.size_bytes
        return Problem(
            n_ranks=group.n_ranks,
            n_elem=case.volume.n_elem,
            item_bytes=item_bytes,
            slice_elems=ring.slot_bytes // item_bytes,
            slots=usable_slots(case.name, ring),
            root=self.request.root,
            layout=case.algorithm.layout(group),
        )

    @cached_property
    def oracle(self) -> Oracle | None:
        """What theory says; nothing of an average, which divides as it likes."""
        if self.request.op == "avg" and self.request.collective in REDUCING:
            return None
        return oracle(self.case.name, self.problem, self.case.model)

    @cached_property
    def outcome(self) -> Outcome | None:
        """What the algorithm's schedule comes to."""
        return outcome(self.case.name, self.problem, self.case.model)

    @cached_property
    def max_link_bytes(self) -> int | None:
        """Payload on the busiest link: of the machine's by the routes, or of the ideal machine's."""
        if self.outcome is None:
            return None
        traffic = self.outcome.traffic
        if self.request.is_ideal:
            return busiest(traffic, is_crossbar=self.case.model.is_crossbar)
        return max(link_bytes(traffic, self.ranks.pes, self.ranks.routes).values(), default=0)

    @cached_property
    def bound(self) -> Fraction:
        """No algorithm is faster on these links."""
        return lower_bound(self.request.collective, self.problem, self._network())

    def _network(self) -> Network:
        case, ranks = self.case, self.ranks
        if self.request.is_ideal:
            return ideal_network(case.wiring, case.model)
        return machine_network(ranks.group, ranks.pes, ranks.routes, case.model.gamma, self.request.root)
