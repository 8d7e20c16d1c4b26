"""The tensors of a case, and a launch of its collective on them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from kernbench.analysis.breakdown import kernel_spans
from kernbench.bench.collectives.inputs import Inputs, expected
from kernbench.bench.collectives.setup import Setup
from kernbench.cpu_time import VALUES, booked
from kernbench.device.placement import DPPolicy
from kernbench.machine.ideal_machine import IdealMachine
from kernbench.machine.machine import Machine
from kernbench.torch.tensor import DeviceTensor

Array = npt.NDArray[Any]


class OverLimitError(Exception):
    """A run was stopped since it takes longer than it may."""


class Run:
    """The tensors of one case on its machine, whose queues are installed. ``window_ps`` is what the last run took.

    That is from the launch to the last completion, the host's part included.
    """

    def __init__(self, setup: Setup, *, is_in_place: bool) -> None:
        self.communicator = setup.communicator
        self.simulation = setup.simulation
        self.window_ps = 0
        self.case = case = setup.case
        self.request = case.request
        self.is_in_place = is_in_place
        self.n_checks = case.request.n_checks if setup.has_values else 0
        self.has_tensors = case.request.collective != "barrier"
        with booked(VALUES):
            self.sources, self.destinations = (
                self._tensors(self.simulation.torch) if self.has_tensors else ([], [])
            )

    def _tensors(self, torch: Any) -> tuple[list[DeviceTensor], list[DeviceTensor]]:
        pes, volume, dtype = self.case.ranks.pes, self.case.volume, self.case.dtype

        def of_each(n: int, name: str) -> list[DeviceTensor]:
            return [
                torch.empty(n, dtype=dtype, policy=DPPolicy(only=pe), name=f"{name}{rank}")
                for rank, pe in enumerate(pes)
            ]

        if not self.is_in_place:
            return of_each(volume.sent, "send"), of_each(volume.received, "recv")
        whole = of_each(max(volume.sent, volume.received), "buffer")
        if volume.sent == volume.received:
            return whole, whole
        parts = [x.narrow(0, rank * volume.n_elem, volume.n_elem) for rank, x in enumerate(whole)]
        return (parts, whole) if volume.sent < volume.received else (whole, parts)

    def once(self, turn: int = 0, limit_ps: int | None = None) -> Fraction:
        """Fill the tensors with the values of ``turn``, launch, and give the time of the kernel in ps.

        Raises:
            OverLimitError: simulated time has passed by ``limit_ps`` from the launch on; the machine is of no use then.
        """
        machine = self.simulation.machine
        if self.n_checks:
            with booked(VALUES):
                self._fill(self._inputs(turn))
        self.simulation.torch.synchronize()
        self.simulation.begin_window()
        from_ps = machine.now_ps if isinstance(machine, Machine) else 0
        self.communicator.run(
            self.case.name,
            self.sources,
            self.destinations,
            n_elem=self.case.volume.n_elem,
            op=self.request.op,
            root=self.request.root,
        )
        with _stopped_after(machine, limit_ps):
            self.simulation.torch.synchronize()
        self.communicator.require_claimed(self.case.name, self.case.volume.n_elem)
        if isinstance(machine, IdealMachine):
            return machine.time
        assert isinstance(machine, Machine)
        self.window_ps = machine.now_ps - from_ps
        (span,) = kernel_spans(machine.log.table(), machine.graph, machine.spans[-1:])
        return Fraction(span.time_ps)

    def _inputs(self, turn: int) -> Sequence[Array]:
        """What each rank puts in at ``turn``."""
        case, request = self.case, self.request
        inputs = Inputs(case.ranks.group.n_ranks, case.dtype, request.op, turn)
        return [inputs.of(request.collective, rank, case.volume.sent) for rank in range(inputs.n_ranks)]

    def _fill(self, inputs: Sequence[Array]) -> None:
        """What is no result into destinations, then inputs into sources, which may be the same or part of them."""
        for rank, source in enumerate(self.sources):
            if self.destinations[rank] is not source:
                fill(self.destinations[rank], np.full(self.case.volume.received, 99, self.case.dtype.numpy))
            fill(source, inputs[rank])

    def n_wrong(self) -> int | None:
        """Values that are not what they should be, on all ranks in all checked runs; None if there is none to check.

        The run that is complete is the first of them.
        """
        if not self.n_checks or not self.case.volume.n_elem:
            return None
        n_wrong = self._n_wrong(0)
        for turn in range(1, self.n_checks):
            self.once(turn)
            n_wrong += self._n_wrong(turn)
        return n_wrong

    def _n_wrong(self, turn: int) -> int:
        request = self.request
        return sum(
            int(np.count_nonzero(self.destinations[rank].numpy() != wanted))
            for rank, wanted in expected(request.collective, request.op, request.root, self._inputs(turn))
        )


@contextmanager
def _stopped_after(machine: Any, limit_ps: int | None) -> Iterator[None]:
    """Let what is within take no longer than ``limit_ps`` of the machine's time (None: as long as it takes)."""
    is_running = [True]

    def stop(_: None) -> None:
        if is_running:
            raise OverLimitError

    if limit_ps is not None:
        machine.engine.at(machine.now_ps + limit_ps, sys.maxsize, stop, None)
    try:
        yield
    finally:
        is_running.clear()


def fill(tensor: DeviceTensor, values: Array) -> None:
    """Copy ``values`` over, if there are any."""
    if values.size:
        tensor.copy_(values)
