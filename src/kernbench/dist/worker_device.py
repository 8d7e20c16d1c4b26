"""The device as the workers of ``torch.multiprocessing`` have it: what lets time pass is done by their hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from kernbench.device.protocol import Device
from kernbench.machine.launch import Launch
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.page_table import Pieces
from kernbench.memory.store import Bytes
from kernbench.memory.watch import Watch
from kernbench.messages.ipcq import Wiring

T = TypeVar("T")


class Do(Protocol):
    """Who calls a function on behalf of a worker, and gives it the answer."""

    def __call__(self, what: Callable[..., T], *args: Any) -> T:
        """What ``what(*args)`` gives; raises what it raises."""


# No subclass of Device: it would inherit an empty body for a method that is missing here. Where one is handed to an
# open device, mypy holds it against the protocol.
class WorkerDevice:
    """A device whose callers are workers, each a greenlet that may stand still in the middle of a call.

    What asks the machine something is asked at once. What lets simulated time pass, and so may run a kernel, is called
    by ``do``, on the greenlet of the hub: a kernel is a greenlet too, and where it ends, who began it goes on.
    """

    def __init__(self, behind: Device, do: Do) -> None:
        self._behind = behind
        self._do = do
        # Asked at once: what never changes, and what a question takes no time for.
        self.config, self.spec, self.mode, self.store = behind.config, behind.spec, behind.mode, behind.store
        self.pes, self.tlb_entries = behind.pes, behind.tlb_entries
        self.slice_of, self.sram_banks = behind.slice_of, behind.sram_banks
        self.tcm_left_bytes = behind.tcm_left_bytes

    @property
    def watch(self) -> Watch | None:
        return self._behind.watch

    @property
    def now_ps(self) -> int:
        return self._behind.now_ps

    @property
    def is_stopped(self) -> bool:
        return self._behind.is_stopped

    @property
    def is_busy(self) -> bool:
        return self._behind.is_busy

    # -- done by the hub, since time may pass -------------------------------------------------------------

    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        self._do(self._behind.host_write, pieces, buffer)

    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        return self._do(self._behind.host_read, pieces, size_bytes)

    def launch(self, launch: Launch) -> None:
        self._do(self._behind.launch, launch)

    def install(self, wiring: Wiring) -> None:
        self._do(self._behind.install, wiring)

    def remove(self, wiring: Wiring) -> None:
        self._do(self._behind.remove, wiring)

    def map(self, mapping: TensorMapping) -> None:
        self._do(self._behind.map, mapping)

    def unmap(self, mappings: Sequence[TensorMapping]) -> None:
        self._do(self._behind.unmap, mappings)

    def synchronize(self) -> None:
        self._do(self._behind.synchronize)

    def complete_launches(self) -> None:
        self._do(self._behind.complete_launches)

    def flush(self) -> None:
        self._do(self._behind.flush)
