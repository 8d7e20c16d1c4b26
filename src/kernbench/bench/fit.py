"""What a machine has room for, and the one rule by which the sizes of a bench follow from it (ADR-0034).

A problem grows with the machine, up to :data:`MOST_PES` PEs, the first ones. A block is as large as the bench wants it,
and no larger than the problem; its largest extent is halved until each of these PEs has a program, and until what a
program holds at once fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kernbench.device.placement import DPPolicy
from kernbench.errors import UsageError
from kernbench.given import MOST_COUNT, told, whole
from kernbench.topology.graph import TopologyGraph
from kernbench.wording import plural, quoted

MOST_PES = 128  # those of `default`: a run of more takes minutes of CPU time
LEAST_BLOCK = 32  # no block becomes smaller for the sake of more programs: an array of this side would idle

Extents = dict[str, int]
Count = Callable[..., int]  # of the extents by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many PEs a machine has, and what the least of them can hold."""

    n_pes: int
    tcm_bytes: int
    accumulator_bytes: int

    @classmethod
    def of(cls, graph: TopologyGraph) -> Room:
        """The room of a machine, single nodes that are overridden among them."""
        return cls(
            n_pes=graph.n_pes,
            tcm_bytes=min(node.spec.size_bytes for node in graph.of_kind("pe_tcm")),
            accumulator_bytes=graph.spec.pe.regfile.accumulators_bytes,
        )

    @told("Room.pes")
    def pes(self, given: Mapping[str, Any]) -> int:
        """How many PEs a bench works on: what ``given`` says with ``pes``; all, up to :data:`MOST_PES`, if it does not.

        Raises:
            UsageError: the machine does not have so many.
        """
        pes: int = given.get("pes", min(self.n_pes, MOST_PES))
        _require_has(self.n_pes, pes)
        return pes

    def blocks(
        self,
        wanted: Mapping[str, int],
        given: Mapping[str, Any],
        *,
        holds: Count,
        accumulates: Count = lambda **extents: 0,
        programs: Count = lambda **extents: MOST_PES,
    ) -> Extents:
        """The extents of a block: ``wanted`` ones, of which those not ``given`` are halved until the block fits.

        ``holds`` says how many bytes of TCM a program takes at most, ``accumulates`` how many of accumulators, and
        ``programs`` how many programs there are, each of all extents by name. Each PE should have one, of those that
        ``given`` names with ``pes``. Of equal extents the first is halved.

        >>> room = Room(n_pes=4, tcm_bytes=64 << 10, accumulator_bytes=64 << 10)
        >>> room.blocks({"rows": 128, "columns": 128}, {}, holds=lambda rows, columns: 8 * rows * columns)
        {'rows': 64, 'columns': 128}

        Raises:
            UsageError: a given extent is less than 1.
        """
        for what, counts in (("holds", holds), ("accumulates", accumulates), ("programs", programs)):
            if not callable(counts):
                raise UsageError(
                    f"Room.blocks: {what} must be a function of the extents, not {quoted(counts)}"
                )
        for what, named in (("wanted", wanted), ("given", given)):
            if not isinstance(named, Mapping):
                raise UsageError(
                    f"Room.blocks: {what} must be a dict of extents by name, not {quoted(named)}"
                )
        extents = {name: given.get(name, extent) for name, extent in wanted.items()}
        for name, extent in extents.items():
            if extent < 1:
                raise UsageError(f"{name}={extent}: a block holds 1 or more")
        free = [name for name in wanted if name not in given]
        needs: tuple[tuple[Count, int, int], ...] = (
            (lambda **extents: -programs(**extents), -self.pes(given), LEAST_BLOCK),
            (accumulates, self.accumulator_bytes, 1),
            (holds, self.tcm_bytes, 1),
        )
        for lacks, has, least in needs:
            while lacks(**extents) > has:
                halvings = _halvings(extents, free, least)
                smaller = next((halved for halved in halvings if lacks(**halved) < lacks(**extents)), None)
                if smaller is None:
                    break
                extents = smaller
        return extents


@told()
def on_first(pes: int, torch: Any, policy: DPPolicy) -> DPPolicy:
    """``policy`` if ``pes`` are all PEs of the machine; else rows over the first of them.

    Raises:
        UsageError: the machine does not have so many.
    """
    _require_has(len(torch.ahbm.pes), pes)
    return policy if pes == len(torch.ahbm.pes) else DPPolicy(only=range(pes))


@told()
def block_of(extent: int, most: int) -> int:
    """The power of two that covers ``extent`` elements, at most ``most``.

    >>> block_of(100, 1024), block_of(5000, 1024), block_of(0, 8)
    (128, 1024, 1)
    """
    return min(most, 1 << max(0, extent - 1).bit_length())


@told()
def side(n_elem: int) -> int:
    """The side of a square of about ``n_elem`` elements: a power of two, rounded down.

    >>> [side(pes * 128 * 128) for pes in (1, 3, 4, 128)]
    [128, 128, 256, 1024]
    """
    return 1 << (math.isqrt(n_elem).bit_length() - 1)


def _require_has(n_pes: int, pes: int) -> None:
    """UsageError unless a machine of ``n_pes`` PEs has ``pes`` of them."""
    if not 1 <= whole(pes, "pes", least=-MOST_COUNT) <= n_pes:
        raise UsageError(
            f"pes={quoted(pes)}: this machine has {plural(n_pes, 'PE')}; give a number from 1 to that"
        )


def _halvings(extents: Extents, free: list[str], least: int) -> Iterator[Extents]:
    """``extents`` with one of ``free`` halved, but not below ``least``: the largest first."""
    for name in sorted(free, key=lambda name: -extents[name]):
        if extents[name] >= 2 * least:
            yield extents | {name: extents[name] // 2}
