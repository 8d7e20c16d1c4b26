"""A launch as its host saw it: when it was sent and known to be complete, and what moved meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes by edge index, by memory controller (node index), and through the ports of all TCMs."""

    links: Mapping[int, int]
    memories: Mapping[int, int]
    tcm_bytes: int

    def __sub__(self, before: Moved) -> Moved:
        return Moved(
            _difference(self.links, before.links),
            _difference(self.memories, before.memories),
            self.tcm_bytes - before.tcm_bytes,
        )

    def __add__(self, other: Moved) -> Moved:
        return Moved(
            dict(Counter(self.links) + Counter(other.links)),
            dict(Counter(self.memories) + Counter(other.memories)),
            self.tcm_bytes + other.tcm_bytes,
        )


NOTHING_MOVED = Moved({}, {}, 0)


def _difference(after: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    return {key: moved for key, size in after.items() if (moved := size - before.get(key, 0))}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpan:
    """When one launch left the host, when the host learnt of its completion, what moved between, on which PEs.

    What moves while several are under way counts with the first of them.
    """

    name: str
    grid: tuple[int, int, int]
    sent_ps: int
    done_ps: int
    moved: Moved
    pes: frozenset[int]
