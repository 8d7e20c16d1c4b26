"""The problem that a closed form or a bound is asked about: one collective, its size, and the rings it goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One collective: how many ranks, how much, in slots of what size, how many in a ring.

    ``n_elem`` are the elements of the smaller buffer of a rank, ``slice_elems`` those that one slot holds. ``layout``
    is the algorithm's order of ranks, as its kernel is told.
    """

    n_ranks: int
    n_elem: int
    item_bytes: int
    slice_elems: int
    slots: int
    root: int = 0
    layout: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of ``n_elem`` elements."""
        return self.n_elem * self.item_bytes
