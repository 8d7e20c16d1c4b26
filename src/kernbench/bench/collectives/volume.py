"""How much a size is, and what a link carries of it."""

from __future__ import annotations

from fractions import Fraction

from kernbench.bench.collectives.request import TYPES, Request
from kernbench.theory.group import Collective
from kernbench.units import PS_PER_NS

SHARDED: frozenset[Collective] = frozenset(("all_gather", "reduce_scatter", "all_to_all"))


class Volume:
    """How much a size is, as nccl-tests counts: elements that a rank sends, that it receives, and ``count``.

    The size is that of the larger buffer of a rank. ``n_elem`` are the elements of the smaller one.
    """

    def __init__(self, request: Request, n_ranks: int, size_bytes: int) -> None:
        collective, item_bytes = request.collective, TYPES[request.dtype].size_bytes
        count = 0 if collective == "barrier" else size_bytes // item_bytes
        shard = count // n_ranks
        whole = shard * n_ranks if collective in SHARDED else count
        self.count = shard if collective in SHARDED else count
        self.sent = shard if collective == "all_gather" else whole
        self.received = shard if collective == "reduce_scatter" else whole
        self.n_elem = min(self.sent, self.received)
        self.larger_bytes = max(self.sent, self.received) * item_bytes
        self.smaller_bytes = self.n_elem * item_bytes


def bus_factor(collective: Collective, n_ranks: int) -> Fraction:
    """nccl-tests' factor from algbw to busbw: what a link carries of each byte."""
    if collective == "all_reduce":
        return Fraction(2 * (n_ranks - 1), n_ranks)
    return Fraction(n_ranks - 1, n_ranks) if collective in SHARDED else Fraction(1)


def bandwidths(
    volume: Volume, collective: Collective, n_ranks: int, time_ps: Fraction
) -> tuple[float, float]:
    """``algbw`` and ``busbw`` in GB/s, as nccl-tests has them; 0 of what takes no time."""
    algbw = volume.larger_bytes * PS_PER_NS / time_ps if time_ps else Fraction(0)
    return float(algbw), float(algbw * bus_factor(collective, n_ranks))
