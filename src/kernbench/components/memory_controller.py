"""A memory behind the fabric, as a component: what serves requests is the engine's, how long they take a model's."""

from __future__ import annotations

from collections.abc import Iterator

from kernbench.components.base import Component, Site
from kernbench.components.meter import Meter
from kernbench.engine.api import MemoryModel, MemoryServer


class MemoryController(Component):
    """Serves requests in the order they arrive; ``n_entries`` of them at a time, the rest wait in the fabric.

    A read holds its entry until its last answer has left, so a congested way back slows the memory down; a
    chunk of a write holds one until the memory has taken it. A write commits, and is acknowledged, when its last
    byte is in memory.
    """

    def __init__(self, site: Site, model: MemoryModel, n_entries: int) -> None:
        super().__init__(site)
        self.server = site.fabric.memory(site.node.index, self.rank, model, n_entries)

    @property
    def end_point(self) -> MemoryServer:
        """The server itself: a chunk costs no call of this component."""
        return self.server

    @property
    def moved_bytes(self) -> int:
        """Payload bytes read and written."""
        return self.server.moved_bytes

    def meters(self) -> Iterator[tuple[str, Meter]]:
        """The only one."""
        self.meter.busy_ps = self.server.busy_ps
        yield "", self.meter
