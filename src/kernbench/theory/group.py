"""The PEs that do a collective together, and which collectives there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from kernbench.config.schema import TopologySpec
from kernbench.topology.ids import PeId
from kernbench.topology.levels import Coords, coords_of

Collective = Literal[
    "all_reduce",
    "reduce_scatter",
    "all_gather",
    "broadcast",
    "reduce",
    "all_to_all",
    "barrier",
    "send_recv",
]
COLLECTIVES: tuple[Collective, ...] = get_args(Collective)


@dataclass(frozen=True, slots=True)
class Group:
    """The PEs that take part, by rank: ``coords[r]`` is rank r's place in the grid of all PEs, ``pes[r]`` its PE."""

    coords: tuple[Coords, ...]
    pes: tuple[PeId, ...]

    @property
    def n_ranks(self) -> int:
        """The number of PEs that take part."""
        return len(self.pes)


def group_of(spec: TopologySpec, machine_pes: Sequence[PeId], pes: Sequence[int]) -> Group:
    """The group whose rank r is PE number ``pes[r]`` of a machine."""
    names = tuple(machine_pes[pe] for pe in pes)
    return Group(tuple(coords_of(spec, name) for name in names), names)
