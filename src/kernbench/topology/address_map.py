"""The one physical address space of a machine: which memory controller owns which byte.

A physical address is ``PA_BASE | window | offset``: the window number is that of the cube among all, its
size the power of two that holds a cube's memory. Within a window the HBM comes first, channel after channel, PE slice
after PE slice; then the shared SRAM, bank after bank; the rest of a window is owned by nobody.
"""

from __future__ import annotations

from typing import NamedTuple

from kernbench.errors import PageFaultError
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.hbm import HbmLayout
from kernbench.topology.ids import Position, part_name
from kernbench.topology.levels import count_of, number_of, parts_of

PA_BASE = 1 << 47
"""Bit 47 is set in every physical address and clear in every virtual one: neither is ever taken for the other."""


class Region(NamedTuple):
    """Bytes ``base .. base + size_bytes`` of physical memory, all at one controller (a node index)."""

    owner: int
    base: int
    size_bytes: int


class AddressMap:
    """Physical address to owner and back, for one graph. Every byte of every memory has exactly one address."""

    def __init__(self, graph: TopologyGraph) -> None:
        cube = graph.spec.cube
        self._graph = graph
        self._layout = HbmLayout.of(cube)
        self._channels = [node.index for node in graph.of_kind("hbm_ctrl")]
        self._banks = [node.index for node in graph.of_kind("sram")]
        self._hbm_bytes = self._layout.used_bytes
        self._bank_bytes = cube.sram.size_bytes // cube.sram.banks
        self._n_banks = cube.sram.banks
        self._end = self._hbm_bytes + cube.sram.size_bytes
        self._window_bits = (self._end - 1).bit_length()
        self._levels = graph.levels[:-1]  # down to what has a window
        self._n_cubes = count_of(self._levels)

    @property
    def size(self) -> int:
        """The bytes of all windows: the space ends at ``PA_BASE + size``."""
        return self._n_cubes << self._window_bits

    def owner(self, pa: int) -> int:
        """The node index of the controller of ``pa``."""
        return self.region(pa).owner

    def region(self, pa: int) -> Region:
        """The channel or bank that ``pa`` lies in. Raises PageFaultError where there is no memory."""
        cube, offset = divmod(pa - PA_BASE, 1 << self._window_bits)
        if not 0 <= cube < self._n_cubes or offset >= self._end:
            raise PageFaultError(f"physical address {pa:#x} belongs to no memory; {self._nearest(pa)}")
        if offset < self._hbm_bytes:
            return self._channel(cube, offset // self._layout.channel_bytes)
        return self._bank(cube, (offset - self._hbm_bytes) // self._bank_bytes)

    def slice_of(self, pe: int) -> Region:
        """The slice of HBM that belongs to PE number ``pe``: all or part of its local channel."""
        cube, local = divmod(pe, self._layout.n_pes)
        channel, offset = self._layout.slice_of(local)
        whole = self._channel(cube, channel)
        return Region(whole.owner, whole.base + offset, self._layout.slice_bytes)

    def sram_bank(self, at: Position, bank: int) -> Region:
        """A bank of the shared SRAM of the cube at ``at``."""
        return self._bank(number_of(self._levels, at), bank)

    def regions(self) -> tuple[Region, ...]:
        """All channels and banks, by address."""
        return tuple(
            region
            for cube in range(self._n_cubes)
            for region in (
                *(self._channel(cube, channel) for channel in range(self._layout.n_channels)),
                *(self._bank(cube, bank) for bank in range(self._n_banks)),
            )
        )

    def _channel(self, cube: int, channel: int) -> Region:
        size = self._layout.channel_bytes
        base = self._window(cube) + channel * size
        return Region(self._channels[cube * self._layout.n_channels + channel], base, size)

    def _bank(self, cube: int, bank: int) -> Region:
        base = self._window(cube) + self._hbm_bytes + bank * self._bank_bytes
        return Region(self._banks[cube * self._n_banks + bank], base, self._bank_bytes)

    def _window(self, cube: int) -> int:
        return PA_BASE + (cube << self._window_bits)

    def _nearest(self, pa: int) -> str:
        cube = min(max((pa - PA_BASE) >> self._window_bits, 0), self._n_cubes - 1)
        base, at = self._window(cube), list(parts_of(self._levels))[cube]
        return f"{part_name(at)} has {base:#x}..{base + self._end - 1:#x}"
