"""A server: one resource of a fixed rate, first come, first served, without events of its own."""

from __future__ import annotations

from kernbench.units import PS_PER_NS, Rate


class Server:
    """Serves bytes at ``rate``; it keeps its free time exactly and rounds up only what it answers.

    ``free`` counts in units of ``1 / scale`` ps, in which ``rate`` makes whole numbers.
    """

    __slots__ = ("busy", "free", "per_byte", "scale", "size_bytes")

    def __init__(self, rate: Rate) -> None:
        ps_per_byte = PS_PER_NS / rate.fraction
        self.scale = ps_per_byte.denominator
        self.per_byte = ps_per_byte.numerator
        self.free = 0
        self.busy = 0
        self.size_bytes = 0

    def reserve(self, ready_ps: int, size_bytes: int) -> tuple[int, int]:
        """Serve ``size_bytes`` that are ready at ``ready_ps``: ``(start_ps, end_ps)``, both rounded up."""
        scale = self.scale
        start = ready_ps * scale
        if self.free > start:
            start = self.free
        spent = size_bytes * self.per_byte
        self.free = end = start + spent
        self.busy += spent
        self.size_bytes += size_bytes
        return -(-start // scale), -(-end // scale)

    @property
    def busy_ps(self) -> int:
        """Time spent serving, rounded up once."""
        return -(-self.busy // self.scale)

    @property
    def free_ps(self) -> int:
        """When it will be free, rounded up."""
        return -(-self.free // self.scale)
