"""The tensors of a case, and a launch of its collective on them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from kernbench.ccl.inputs import expected
from kernbench.ccl_bench.case import Case
from kernbench.machine.ideal_machine import IdealMachine
from kernbench.machine.machine import Machine
from kernbench.reports.breakdown import kernel_span
from kernbench.runtime.placement import DPPolicy
from kernbench.runtime.tensor import DeviceTensor

Array = npt.NDArray[Any]


class Run:
    """The tensors of one case on its machine."""

    def __init__(self, case: Case, *, is_in_place: bool) -> None:
        self.simulation = case.simulation
        self.case = case
        self.request = case.request
        self.is_in_place = is_in_place
        self.has_tensors = case.request.collective != "barrier"
        self.sources, self.destinations = (
            self._tensors(case.simulation.torch) if self.has_tensors else ([], [])
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

    def once(self) -> Fraction:
        """Fill the tensors, launch, and give the time of the kernel in ps."""
        machine = self.simulation.machine
        if machine.mode != "timing" and self.request.is_checked:
            self._fill()
        self.simulation.torch.synchronize()
        self.simulation.begin_window()
        self.case.communicator.run(
            self.case.name,
            self.sources,
            self.destinations,
            n_elem=self.case.volume.n_elem,
            op=self.request.op,
            root=self.request.root,
        )
        self.simulation.torch.synchronize()
        self.case.communicator.require_claimed(self.case.name, self.case.volume.n_elem)
        if isinstance(machine, IdealMachine):
            return machine.time
        assert isinstance(machine, Machine)
        span = kernel_span(machine.log.table(), machine.graph, machine.spans[-1])
        assert span is not None
        return Fraction(span.time_ps)

    def _fill(self) -> None:
        """What is no result into destinations, then inputs into sources, which may be the same or part of them."""
        case, volume = self.case, self.case.volume
        for rank, source in enumerate(self.sources):
            if self.destinations[rank] is not source:
                fill(self.destinations[rank], np.full(volume.received, 99, case.dtype.numpy))
            fill(source, case.inputs.of(self.request.collective, rank, volume.sent))

    def n_wrong(self) -> int | None:
        """Values that are not what they should be, on all ranks; None if they are not checked."""
        case, request, volume = self.case, self.request, self.case.volume
        if not self.has_tensors or not request.is_checked or request.mode == "timing":
            return None
        inputs = [
            case.inputs.of(request.collective, rank, volume.sent) for rank in range(case.ranks.group.n_ranks)
        ]
        return sum(
            int(np.count_nonzero(self.destinations[rank].numpy() != wanted))
            for rank, wanted in expected(request.collective, request.op, request.root, inputs)
        )


def fill(tensor: DeviceTensor, values: Array) -> None:
    """Copy ``values`` over, if there are any."""
    if values.size:
        tensor.copy_(values)
