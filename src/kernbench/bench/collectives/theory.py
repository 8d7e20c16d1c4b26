"""What theory says of a case."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

from kernbench.bench.collectives.case import Case
from kernbench.bench.collectives.inputs import REDUCING
from kernbench.ccl.communicator import usable_slots
from kernbench.theory.bounds import Network, ideal_network, lower_bound, machine_network
from kernbench.theory.closed_forms import Oracle, oracle
from kernbench.theory.ideal import IdealModel
from kernbench.theory.max_plus import Finish, Schedule, Send, evaluate
from kernbench.theory.schedules import SCHEDULES, Problem
from kernbench.theory.traffic import busiest, link_bytes
from kernbench.units import PS_PER_NS


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
    def schedule(self) -> Schedule | None:
        """What the algorithm sends and receives; None for one of the user's."""
        make = SCHEDULES.get(self.case.name)
        return None if make is None else make(self.problem)

    @cached_property
    def model(self) -> IdealModel:
        """What messages and sums take: on the ideal machine by its data sheet, on the real one by the routes."""
        if self.request.is_ideal or self.schedule is None:
            return self.case.model
        pairs = {
            (rank, step.to)
            for rank, steps in enumerate(self.schedule.programs)
            for step in steps
            if isinstance(step, Send)
        }
        return self.ranks.machine_model_of(self.case.name, pairs)

    @cached_property
    def outcome(self) -> Finish | None:
        """What the schedule comes to."""
        return None if self.schedule is None else evaluate(self.schedule, self.model)

    @cached_property
    def oracle(self) -> Oracle | None:
        """What theory says; nothing of an average, which divides as it likes."""
        if self.request.op == "avg" and self.request.collective in REDUCING:
            return None
        return oracle(self.case.name, self.problem, self.model)

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
    def estimate_ps(self) -> Fraction | None:
        """What the case takes at least, by theory: its oracle, or what its busiest link needs; None without an oracle.

        An oracle gives every pair of ranks links of its own; on the machine they share those of their routes.
        """
        if self.oracle is None or self.outcome is None or self.request.is_ideal:
            return None if self.oracle is None else self.oracle.time
        edges = self.ranks.graph.edges
        moved = link_bytes(self.outcome.traffic, self.ranks.pes, self.ranks.routes)
        rated = ((size_bytes, edges[index].rate) for index, size_bytes in moved.items())
        shared = (size_bytes * PS_PER_NS / rate.fraction for size_bytes, rate in rated if rate is not None)
        return max([self.oracle.time, *shared])

    @cached_property
    def bound(self) -> Fraction:
        """No algorithm is faster on these links."""
        return lower_bound(self.request.collective, self.problem, self._network())

    def _network(self) -> Network:
        case, ranks = self.case, self.ranks
        if self.request.is_ideal:
            return ideal_network(case.wiring, case.model)
        return machine_network(ranks.group, ranks.pes, ranks.routes, case.model.gamma, self.request.root)
