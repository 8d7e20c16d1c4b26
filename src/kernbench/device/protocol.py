"""All that the host API needs from a machine. A test fakes it on numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kernbench.config.schema import Config, TopologySpec
from kernbench.machine.launch import Launch
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.page_table import Pieces
from kernbench.memory.store import Bytes, MemoryStore
from kernbench.memory.watch import Watch
from kernbench.messages.ipcq import Wiring
from kernbench.topology.address_map import Region
from kernbench.topology.ids import PeId


class Device(Protocol):
    """A machine as its host sees it.

    Host copies advance simulated time over PCIe and fabric (not in mode ``data``); in mode ``timing`` they move no
    bytes, and a read gives unwritten memory.
    """

    @property
    def config(self) -> Config:
        """The whole configuration."""

    @property
    def spec(self) -> TopologySpec:
        """What the machine consists of."""

    @property
    def mode(self) -> str:
        """``timed``, ``data`` or ``timing``."""

    @property
    def store(self) -> MemoryStore:
        """The bytes of its memories."""

    @property
    def watch(self) -> Watch | None:
        """Who is told what is read and written; None: nobody. It may change at a launch."""

    @property
    def pes(self) -> Sequence[PeId]:
        """All PEs by number."""

    @property
    def now_ps(self) -> int:
        """Simulated time."""

    @property
    def is_stopped(self) -> bool:
        """Whether an error stopped it for good."""

    @property
    def is_busy(self) -> bool:
        """Whether something that was launched may not be complete."""

    @property
    def tlb_entries(self) -> int:
        """Pages that the smallest TLB holds."""

    def slice_of(self, pe: int) -> Region:
        """The part of HBM that belongs to PE number ``pe``."""

    def sram_banks(self, pe: int) -> Sequence[Region]:
        """The banks of shared SRAM in the cube of PE number ``pe``."""

    def host_write(self, pieces: Pieces, buffer: Bytes) -> None:
        """Copy ``buffer`` to ``pieces``; returns when the last byte has landed. A byte may have several pieces."""

    def host_read(self, pieces: Pieces, size_bytes: int) -> Bytes:
        """Fetch ``[size_bytes]`` bytes from ``pieces``; returns when the last byte has come."""

    def launch(self, launch: Launch) -> None:
        """Start a kernel when its operands are mapped; returns at once."""

    def tcm_left_bytes(self, pe: int) -> int:
        """TCM of PE number ``pe`` beside the rings of the queues installed there."""

    def install(self, wiring: Wiring) -> None:
        """Install queues, whose rings have their memory, behind all that was launched; returns when they are there."""

    def remove(self, wiring: Wiring) -> None:
        """Remove queues, which are empty; returns when they are gone."""

    def map(self, mapping: TensorMapping) -> None:
        """Begin to make a tensor's pages valid for all PEs; returns at once."""

    def unmap(self, mappings: Sequence[TensorMapping]) -> None:
        """Make the pages of tensors invalid; returns when no PE can reach them any more."""

    def synchronize(self) -> None:
        """Let simulated time pass until every launch and map is complete; raise what a kernel raised."""

    def complete_launches(self) -> None:
        """Let simulated time pass until every launch is complete, then evaluate what was computed."""

    def flush(self) -> None:
        """Evaluate every value up to now (Phase 2)."""
