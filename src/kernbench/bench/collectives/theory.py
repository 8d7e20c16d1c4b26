"""What theory says of a case."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

from kernbench.bench.collectives.case import Case
from kernbench.bench.collectives.inputs import REDUCING
from kernbench.bench.collectives.rehearsal import Recorded, TooManyMessagesError, rehearse
from kernbench.bench.collectives.row import Oracle
from kernbench.ccl.kernel_call import require_claimed, usable_slots
from kernbench.cpu_time import LANGUAGE, booked
from kernbench.errors import UsageError
from kernbench.theory.bounds import Network, ideal_network, lower_bound, machine_network
from kernbench.theory.ideal import IdealModel
from kernbench.theory.max_plus import Finish, Schedule, Send, evaluate
from kernbench.theory.problem import Problem
from kernbench.theory.traffic import busiest, link_bytes
from kernbench.units import PS_PER_NS

MOST_MESSAGES = 1_000_000  # of a schedule, where no machine runs the algorithm


class Theory:
    """The schedule of a case, how long it takes on the ideal machine, and what no algorithm can beat."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.request = case.request
        self.ranks = case.ranks

    @cached_property
    def problem(self) -> Problem:
        """Problem that the closed form and the bound are asked about."""
        case, group = self.case, self.ranks.group
        ring, item_bytes = case.ring, case.dtype.size_bytes
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
    def recorded(self) -> Recorded:
        """What the algorithm's kernel does on each rank."""
        with booked(LANGUAGE):
            found = self._rehearsed() if self.request.is_oracle else None
            return found or self._recorded_on_machine()

    def _recorded_on_machine(self) -> Recorded:
        from kernbench.bench.collectives.recording import record  # here: theory alone needs no machine

        case, request = self.case, self.request
        return record(
            self.ranks.config,
            self.ranks.graph,
            self.ranks.pes,
            case.name,
            case.volume.n_elem,
            dtype=case.dtype,
            op=request.op,
            root=request.root,
            buffer_kind=request.buffer,
        )

    def _rehearsed(self) -> Recorded | None:
        """What the kernel does, without a machine; None if it needs one.

        Raises:
            UsageError: there are too many messages, or others than the algorithm claims.
        """
        case, ranks = self.case, self.ranks
        n_ranks, n_elem = ranks.group.n_ranks, case.volume.n_elem
        # Known before a queue is made: there may be one for each pair of ranks.
        least = case.algorithm.elems_sent(n_ranks, n_elem) * case.dtype.size_bytes // case.ring.slot_bytes
        n_queues = len(case.algorithm.queues(ranks.group)) * n_ranks
        for what, n in (("messages", least), ("queues", n_queues)):
            if n > MOST_MESSAGES:
                raise self._too_many(what, n)
        try:
            found = rehearse(
                case.name,
                ranks.group,
                case.wiring,
                n_elem,
                dtype=case.dtype,
                op=self.request.op,
                root=self.request.root,
                tcm_bytes=ranks.config.topology.pe.tcm.size_bytes,
                most_messages=MOST_MESSAGES,
            )
        except TooManyMessagesError as error:
            raise self._too_many("messages", error.n) from None
        if found is not None:
            require_claimed(case.name, n_ranks, n_elem, found.elems_sent)
        return found

    def _too_many(self, what: str, n: int) -> UsageError:
        case = self.case
        return UsageError(
            f"--mode oracle: no closed form of {case.name} holds for {case.volume.larger_bytes} B on "
            f"{self.ranks.group.n_ranks} ranks, and its {what}, {n:,} or so, are more than the {MOST_MESSAGES:,} that "
            "max-plus works through; give fewer --ranks"
        )

    @property
    def schedule(self) -> Schedule:
        """The steps alone."""
        return self.recorded.schedule

    @cached_property
    def model(self) -> IdealModel:
        """What messages and sums take: on the ideal machine by its data sheet, on the real one by the routes."""
        if self.request.is_by_data_sheet:
            return self.case.model
        pairs = {
            (rank, step.to)
            for rank, steps in enumerate(self.schedule)
            for step in steps
            if isinstance(step, Send)
        }
        return self.ranks.machine_model_of(self.case.name, pairs)

    @cached_property
    def outcome(self) -> Finish:
        """What the schedule comes to."""
        return evaluate(self.schedule, self.model)

    @cached_property
    def oracle(self) -> Oracle:
        """The closed form if one holds, else what the schedule comes to; no closed form knows an average's division."""
        is_average = self.request.op == "avg" and self.request.collective in REDUCING
        closed = None if is_average else self.case.algorithm.closed_time(self.problem, self.model)
        return Oracle(self.outcome.time, "max-plus") if closed is None else Oracle(closed, "closed form")

    @cached_property
    def max_link_bytes(self) -> int:
        """Payload on the busiest link: of the machine's by the routes, or of the ideal machine's."""
        traffic = self.outcome.traffic
        if self.request.is_by_data_sheet:
            return busiest(traffic, is_crossbar=self.case.model.is_crossbar)
        return max(link_bytes(traffic, self.ranks.pes, self.ranks.routes).values(), default=0)

    @cached_property
    def estimate_ps(self) -> Fraction:
        """What the case takes at least, by theory: its oracle, or what its busiest link needs.

        An oracle gives every pair of ranks links of its own; on the machine they share those of their routes.
        """
        if self.request.is_by_data_sheet:
            return self.oracle.time
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
        if self.request.is_by_data_sheet:
            return ideal_network(case.wiring, case.model)
        return machine_network(ranks.group, ranks.pes, ranks.routes, case.model.gamma, self.request.root)
