"""Room for queues: those that were used longest ago give way, so that kernels keep half of each TCM."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kernbench.errors import CapacityError
from kernbench.messages.ipcq import Wiring
from kernbench.runtime.context import Context

KERNELS_SHARE = 2  # rings that are kept for later leave one half of the TCM


class Room:
    """Queues that are installed until others need their room."""

    def __init__(self, torch: Context) -> None:
        self.torch = torch
        self._removers: dict[Wiring, Callable[[], None]] = {}  # the one that was used last is last

    def install(
        self, install: Callable[[], Wiring], remove: Callable[[Wiring], None], keep: Collection[Wiring] = ()
    ) -> Wiring:
        """The queues that ``install`` gives, now or before; ``remove`` takes them away. Those of ``keep`` stay.

        Raises:
            CapacityError: they do not fit, even alone.
        """
        while True:
            try:
                wiring = install()
                break
            except CapacityError:
                if not self._make_room(keep):
                    raise
        self._removers.pop(wiring, None)
        self._removers[wiring] = lambda: remove(wiring)
        if wiring.ring.kind == "tcm":
            while self._is_crowded(wiring) and self._make_room((*keep, wiring)):
                pass
        return wiring

    def forget(self, wiring: Wiring) -> None:
        """These queues are removed."""
        self._removers.pop(wiring, None)

    def _is_crowded(self, wiring: Wiring) -> bool:
        """Whether too little of a TCM is left beside the rings of some PE that has these queues."""
        machine = self.torch.machine
        least = machine.spec.pe.tcm.size_bytes // KERNELS_SHARE
        return any(machine.tcm_left_bytes(pe) < least for pe in wiring.pes)

    def _make_room(self, keep: Collection[Wiring]) -> bool:
        """Remove the queues that were used longest ago and need not stay; False if there are none."""
        oldest = next((wiring for wiring in self._removers if wiring not in keep), None)
        if oldest is None:
            return False
        self._removers.pop(oldest)()
        return True
