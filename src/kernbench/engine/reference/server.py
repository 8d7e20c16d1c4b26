"""A server: one resource of a fixed rate, first come, first served, without events of its own."""

from __future__ import annotations

from kernbench.units import Rate, transfer_ps


class Server:
    """Serves bytes at ``rate``; it keeps its free time exactly and rounds up only what it answers.

    It is free ``_free_part / scale`` ps after ``_free_ps``: the rate is whole in ``1 / scale`` ps.
    """

    __slots__ = ("_free_part", "_free_ps", "per_byte", "rate", "scale", "size_bytes")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.per_byte, self.scale = rate.ps_per_byte.as_integer_ratio()
        self.size_bytes = 0
        self._free_ps = 0
        self._free_part = 0

    def reserve(self, ready_ps: int, size_bytes: int) -> tuple[int, int]:
        """Serve ``size_bytes`` that are ready at ``ready_ps``: ``(start_ps, end_ps)``, both rounded up."""
        start_ps, part = self._free_ps, self._free_part
        if start_ps < ready_ps:
            start_ps, part = ready_ps, 0
        spent = size_bytes * self.per_byte + part
        whole_ps = spent // self.scale
        self._free_ps = end_ps = start_ps + whole_ps
        self._free_part = rest = spent - whole_ps * self.scale
        self.size_bytes += size_bytes
        if part:
            start_ps += 1
        if rest:
            end_ps += 1
        return start_ps, end_ps

    def stream(self, head_ps: int, tail_ps: int, size_bytes: int) -> tuple[int, int]:
        """Serve bytes that stream in from ``head_ps`` to ``tail_ps``: as soon as may be, but not faster."""
        lead_ps = tail_ps - size_bytes * self.per_byte // self.scale
        return self.reserve(lead_ps if lead_ps > head_ps else head_ps, size_bytes)

    @property
    def busy_ps(self) -> int:
        """Time spent serving, rounded up once."""
        return transfer_ps(self.size_bytes, self.rate)

    @property
    def free_ps(self) -> int:
        """When it will be free, rounded up."""
        return self._free_ps + (self._free_part > 0)
