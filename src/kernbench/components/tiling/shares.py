"""A tile's share of what its command moves or works."""

from __future__ import annotations


def share(total: int, done: tuple[int, int], so_far: tuple[int, int]) -> int:
    """What of ``total`` lies between the fractions ``done`` and ``so_far``, in whole units."""
    return total * so_far[0] // so_far[1] - total * done[0] // done[1]
