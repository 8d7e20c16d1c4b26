"""A server: one resource of a fixed rate, first come, first served, without events of its own."""

from __future__ import annotations

from kernbench.units import PS_PER_NS, Rate


class Server:
    """Serves bytes at ``rate``; it keeps its free time exactly and rounds up only what it answers.

    ``free`` counts in units of ``1 / scale`` ps, in which ``rate`` makes whole numbers.
    """

    __slots__ = ("free", "per_byte", "scale", "size_bytes")

    def __init__(self, rate: Rate) -> None:
        ps_per_byte = PS_PER_NS / rate.fraction
        self.scale = ps_per_byte.denominator
        self.per_byte = ps_per_byte.numerator
        self.free = 0
        self.size_bytes = 0

    def reserve(self, ready_ps: int, size_bytes: int) -> tuple[int, int]:
        """Serve ``size_bytes`` that are ready at ``ready_ps``: ``(start_ps, end_ps)``, both rounded up."""
        scale, start, start_ps = self.scale, self.free, ready_ps
        if start > ready_ps * scale:
            start_ps = -(-start // scale)
        else:
            start = ready_ps * scale
        self.size_bytes += size_bytes
        self.free = end = start + size_bytes * self.per_byte
        return start_ps, -(-end // scale)

    def stream(self, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """Serve bytes that stream in from ``head_ps`` to ``tail_ps``: as soon as may be, but not faster."""
        lead_ps = tail_ps - size_bytes * self.per_byte // self.scale
        return self.reserve(lead_ps if lead_ps > head_ps else head_ps, size_bytes)

    @property
    def busy_ps(self) -> int:
        """Time spent serving, rounded up once."""
        return -(-self.size_bytes * self.per_byte // self.scale)

    @property
    def free_ps(self) -> int:
        """When it will be free, rounded up."""
        return -(-self.free // self.scale)
