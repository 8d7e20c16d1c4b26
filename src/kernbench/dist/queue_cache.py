"""Room for the queues of ``torch.distributed``: they are installed until others, or kernels, need their memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable

from kernbench.device.open_device import OpenDevice
from kernbench.errors import CapacityError
from kernbench.messages.ipcq import RingSpec, Wiring

Key = tuple[tuple[int, ...], str]  # whose queues: of which PEs, and for what


class QueueCache:
    """Queues that may be removed between any two launches, since they come back at their next use.

    Invariant: their rings leave half of each TCM to kernels, or they are those of one launch alone.
    """

    def __init__(self, device: OpenDevice) -> None:
        self.device = device
        # What is installed and how to remove it, by age.
        self._installed: dict[Key, tuple[Wiring, Callable[[Wiring], None]]] = {}

    def install(
        self,
        key: Key,
        install: Callable[[], Wiring],
        remove: Callable[[Wiring], None],
        keep: Collection[Key] = (),
    ) -> Wiring:
        """The queues of ``key``: ``install`` gives them once, until ``remove`` has taken them away.

        Where they would not fit, or not leave half of a TCM to kernels, all others but those of ``keep`` are removed.

        Raises:
            CapacityError: they do not fit beside those of ``keep``.
        """
        if key in self._installed:
            return self._installed[key][0]
        try:
            wiring = install()
        except CapacityError:
            if not self._make_room(keep):
                raise
            wiring = install()
        self._installed[key] = wiring, remove
        if self._is_crowded(wiring):
            self._make_room((*keep, key))
        return wiring

    def remove(self, keys: Iterable[Key]) -> None:
        """Remove those of these queues that are installed, when what was launched is complete.

        Raises:
            QueueError: a launch has left a message in a queue; nothing is removed then.
        """
        for key in keys:
            if key in self._installed:
                wiring, remove = self._installed[key]
                remove(wiring)
                del self._installed[key]

    def clear(self) -> None:
        """Remove all."""
        self._make_room(())

    def n_rings(self, pe: int, ring: RingSpec) -> int:
        """How many such rings of a PE leave half of its TCM to kernels; one in any case."""
        left_bytes, taken_bytes = self._tcm(pe)
        if ring.kind != "tcm":
            return sys.maxsize
        return max(1, (left_bytes + taken_bytes) // 2 // ring.size_bytes)

    def _make_room(self, keep: Collection[Key]) -> bool:
        """Remove all but those of ``keep``, the youngest first; False if there are none."""
        kept = set(keep)
        leaving = [key for key in reversed(self._installed) if key not in kept]
        self.remove(leaving)
        return bool(leaving)

    def _is_crowded(self, wiring: Wiring) -> bool:
        """Whether rings take more of a TCM than they leave, on some PE that has these queues."""
        return any(left_bytes < taken_bytes for left_bytes, taken_bytes in map(self._tcm, wiring.pes))

    def _tcm(self, pe: int) -> tuple[int, int]:
        """The bytes of a PE's TCM that rings leave, and those that they take."""
        taken_bytes = sum(wiring.tcm_bytes(pe) for wiring in self.device.wirings if pe in wiring.sites)
        return self.device.machine.tcm_left_bytes(pe), taken_bytes
