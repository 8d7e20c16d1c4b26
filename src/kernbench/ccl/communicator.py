"""A group of ranks with the queues of its algorithms: launches a collective on their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernbench.ccl.algorithm import require_served
from kernbench.ccl.kernel_call import call_of, require_claimed
from kernbench.ccl.wiring import install_queues
from kernbench.config.ccl import CclAlgorithmSpec
from kernbench.device.array import DeviceArray
from kernbench.device.open_device import OpenDevice
from kernbench.messages.ipcq import Wiring
from kernbench.theory.group import group_of


class Communicator:
    """The ranks ``pes`` (numbers) of ``device``.

    An algorithm's queues are installed when it is first used. ``rings`` are settings of
    :func:`~kernbench.ccl.wiring.install_queues` that hold for every algorithm here. Launches are a stream of their own:
    they overlap with those on other PEs.
    """

    def __init__(self, device: OpenDevice, pes: Sequence[int], **rings: Any) -> None:
        self.device = device
        self.pes = tuple(pes)
        self.group = group_of(device.spec, device.pes, pes)
        self._rings = rings
        self._wirings: dict[str, Wiring] = {}
        self._elems_sent: list[int] = []

    def install(self, name: str) -> Wiring:
        """The queues of the algorithm ``name``, installed once."""
        wiring = self._wirings.get(name)
        if wiring is None:
            algorithm = require_served(name, self.group)
            wiring = self._wirings[name] = install_queues(
                self.device,
                algorithm.pairs(self.group),
                pes=self.pes,
                directions=algorithm.directions,
                settings=self._settings(name),
                **self._rings,
            )
        return wiring

    def _settings(self, name: str) -> CclAlgorithmSpec | None:
        return self.device.config.ccl.algorithms.get(name)

    def remove(self) -> None:
        """Remove all queues again."""
        for wiring in reversed(self._wirings.values()):
            self.device.remove_queues(wiring)
        self._wirings.clear()

    def run(
        self,
        name: str,
        sources: Sequence[DeviceArray],
        destinations: Sequence[DeviceArray],
        *,
        n_elem: int,
        op: str = "sum",
        root: int = 0,
    ) -> None:
        """Launch the algorithm ``name``: rank r reads ``sources[r]`` and writes ``destinations[r]``; returns at once.

        ``n_elem`` are the elements of the smaller of a rank's buffers.

        Raises:
            UsageError: a slot holds no element, or the kernel wants what nothing gives it.
        """
        wiring = self.install(name)
        self._elems_sent = []
        call = call_of(
            name,
            self.group,
            wiring.ring,
            sources or [None] * self.group.n_ranks,
            destinations or [None] * self.group.n_ranks,
            self._elems_sent,
            item_bytes=sources[0].dtype.size_bytes if sources else 1,
            n_elem=n_elem,
            op=op,
            root=root,
        )
        self.device.launch(call.kernel, (self.group.n_ranks,), call.args, queues=wiring, stream=self.pes)

    def require_claimed(self, name: str, n_elem: int) -> None:
        """Hold what the last launch, which is complete, has sent against what its algorithm ``name`` claims to send.

        Raises:
            UsageError: they differ; says both.
        """
        require_claimed(name, self.group.n_ranks, n_elem, self.n_sent)

    @property
    def n_sent(self) -> int:
        """Elements that all ranks have sent in the last launch, which is complete."""
        return sum(self._elems_sent)
