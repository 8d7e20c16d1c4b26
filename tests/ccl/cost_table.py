"""What collectives that ship send, by hand: not any code's claim. Claims of others are counted.

``p`` ranks are a grid of ``a`` columns and ``b`` rows; ``n`` are the bytes of a rank's smaller buffer: of all-gather
and reduce-scatter one block. Numbers that do not divide are fractions.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

F = Fraction


class Cost(NamedTuple):
    """Bytes of all messages, and of the busiest link; of an algorithm for a crossbar, of the busiest egress port."""

    total: F
    busiest: F


class Ranks(NamedTuple):
    """``p`` ranks, a grid of ``a`` columns and ``b`` rows."""

    p: int
    a: int
    b: int

    @property
    def n_steps(self) -> int:
        """log2 of ``p``, rounded up."""
        return (self.p - 1).bit_length()


Row = Callable[[Ranks, F], Cost]


def all_reduce(busiest: Callable[[Ranks, F], F]) -> Row:
    """Everybody's vector but one must come together, and go back: ``2 (p-1) n`` in all, of every algorithm but one."""
    return lambda ranks, n: Cost(2 * (ranks.p - 1) * n, busiest(ranks, n))


def ring(ranks: Ranks, n: F) -> F:
    return 2 * n * (ranks.p - 1) / ranks.p


def bucket(ranks: Ranks, n: F) -> F:
    """Columns first: n a part of each column's; along a row of one, all is left to the column."""
    return 2 * n * F(ranks.a - 1, ranks.a) if ranks.a > 1 else 2 * n * F(ranks.b - 1, ranks.b)


def blocks(along_first: Callable[[Ranks], int], along_second: Callable[[Ranks], int]) -> Row:
    """Every block goes to, or comes from, all others; ``a`` or ``b`` blocks at a time on the second axis."""
    return lambda ranks, n: Cost(
        ranks.p * (ranks.p - 1) * n, max(along_first(ranks), along_second(ranks)) * n
    )


def halving_doubling(ranks: Ranks, n: F) -> Cost:
    """Ranks beyond the largest power of two, q, give and get a whole vector."""
    q = 1 << (ranks.p.bit_length() - 1)
    folded = ranks.p - q
    return Cost(2 * (q - 1) * n + 2 * folded * n, 2 * n * F(q - 1, q) + (n if folded else 0))


COSTS: dict[str, Row] = {
    "ring_allreduce": all_reduce(ring),
    "ring_sliced_allreduce": all_reduce(ring),
    "ring_bidirectional_allreduce": all_reduce(lambda ranks, n: ring(ranks, n) / 2),
    "recursive_doubling_allreduce": lambda ranks, n: Cost(ranks.p * ranks.n_steps * n, ranks.n_steps * n),
    "halving_doubling_allreduce": halving_doubling,
    "tree_allreduce": all_reduce(lambda ranks, n: n),
    "double_binary_tree_allreduce": all_reduce(lambda ranks, n: n / 2),
    "torus_bucket_allreduce": all_reduce(bucket),
    "mesh_allreduce": all_reduce(bucket),
    "hierarchical_allreduce": all_reduce(ring),  # of the PEs of one cube
    "ring_reduce_scatter": blocks(lambda ranks: ranks.p - 1, lambda ranks: 0),
    "ring_all_gather": blocks(lambda ranks: ranks.p - 1, lambda ranks: 0),
    "bucket_reduce_scatter": blocks(lambda ranks: (ranks.a - 1) * ranks.b, lambda ranks: ranks.b - 1),
    "bucket_all_gather": blocks(lambda ranks: ranks.b - 1, lambda ranks: (ranks.a - 1) * ranks.b),
    "chain_broadcast": lambda ranks, n: Cost((ranks.p - 1) * n, n),
    "chain_reduce": lambda ranks, n: Cost((ranks.p - 1) * n, n),
    "binomial_broadcast": lambda ranks, n: Cost((ranks.p - 1) * n, ranks.n_steps * n),
    "binomial_reduce": lambda ranks, n: Cost((ranks.p - 1) * n, n),
    "pairwise_all_to_all": lambda ranks, n: Cost((ranks.p - 1) * n, n * F(ranks.p - 1, ranks.p)),
    "dissemination_barrier": lambda ranks, n: Cost(F(0), F(0)),
    "hello_send": lambda ranks, n: Cost(n, n),
}


def cost(name: str, n_ranks: int, grid: tuple[int, int], size_bytes: int) -> Cost | None:
    """The algorithm's, if the table has it; one rank sends nothing."""
    if n_ranks == 1:
        return Cost(F(0), F(0))
    return COSTS[name](Ranks(n_ranks, *grid), F(size_bytes)) if name in COSTS else None
