"""Which HBM channel sits beside which router, and which share of which channel is a PE's slice."""

from __future__ import annotations

from dataclasses import dataclass

from kernbench.config.machine import CubeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class HbmLayout:
    """The HBM of a cube. ``attach`` says which routers may have controllers (``per_router``: all; ``per_2_routers``:
    those with even x); the channels are spread over them evenly, in row-major order. PE ``p`` of ``n`` has its
    slice in channel ``p * channels // n``; PEs that share a channel divide it. Slices are equal, of whole bursts; what
    is left of the capacity stays idle.
    """

    sites: tuple[tuple[int, int], ...]
    n_channels: int
    n_pes: int
    channel_bytes: int

    @classmethod
    def of(cls, cube: CubeSpec) -> HbmLayout:
        """The layout ``cube`` asks for; its rules have been checked."""
        width, height = cube.pes.grid
        n_slices, burst = max(cube.hbm.channels, cube.pes.count), cube.hbm.timing.burst_bytes
        slice_bytes = cube.hbm.capacity_bytes // n_slices // burst * burst
        step = 2 if cube.hbm.attach == "per_2_routers" else 1
        return cls(
            sites=tuple((x, y) for y in range(height) for x in range(0, width, step)),
            n_channels=cube.hbm.channels,
            n_pes=cube.pes.count,
            channel_bytes=slice_bytes * n_slices // cube.hbm.channels,
        )

    @property
    def pes_per_channel(self) -> int:
        """PEs whose slices divide one channel."""
        return max(1, self.n_pes // self.n_channels)

    @property
    def used_bytes(self) -> int:
        """Bytes of the cube's HBM that channels divide among them."""
        return self.n_channels * self.channel_bytes

    @property
    def slice_bytes(self) -> int:
        """Bytes of one PE's slice."""
        return self.channel_bytes // self.pes_per_channel

    def router_of(self, channel: int) -> tuple[int, int]:
        """The router (x, y) that ``channel``'s controller sits beside."""
        return self.sites[channel * len(self.sites) // self.n_channels]

    def slice_of(self, pe: int) -> tuple[int, int]:
        """``(channel, offset within it)`` of the slice of PE ``pe`` of the cube."""
        channel = pe * self.n_channels // self.n_pes
        return channel, pe % self.pes_per_channel * self.slice_bytes
