"""The hierarchy of a machine: levels from the package down to the PE, each a grid of equal parts of the one above.

Everything above asks for them here or by ``graph.levels``: how many parts there are, where they lie, and what joins
those of one parent. The position of a part has a number for each level down to its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from kernbench.config.schema import TopologySpec
from kernbench.topology.ids import PeId, Position
from kernbench.wording import plural

Coords = tuple[int, int]
TITLES = {"sip": "SIP", "cube": "cube", "pe": "PE"}
"""The levels in words, by their name in the names of nodes."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level: ``grid`` is the columns and rows of its parts in one of the level above.

    Those of one parent are joined by edges of the kind ``link``.
    """

    name: str
    grid: Coords
    link: str

    @property
    def count(self) -> int:
        """Parts of the level in one part of the level above."""
        return prod(self.grid)

    @property
    def title(self) -> str:
        """The level in words."""
        return TITLES[self.name]


def levels_of(spec: TopologySpec) -> tuple[Level, ...]:
    """The levels of the machine that ``spec`` describes, from the top."""
    grids = (spec.system.sips.grid, spec.sip.cubes.grid, spec.cube.pes.grid)
    return tuple(map(Level, TITLES, grids, ("sip_link", "d2d", "mesh")))


def count_of(levels: Sequence[Level]) -> int:
    """How many parts the last of ``levels``, which start at the top, has in the whole machine."""
    return prod(level.count for level in levels)


def parts_of(levels: Sequence[Level]) -> Iterator[Position]:
    """The positions of all parts of the last of ``levels``, in the order of their numbers."""
    return product(*(range(level.count) for level in levels))


def number_of(levels: Sequence[Level], at: Position) -> int:
    """The number of the part at ``at`` among all of its level, those of one parent in a row.

    >>> from kernbench.config.load import load_config
    >>> number_of(levels_of(load_config("default").topology), (1, 2))
    6
    """
    number = 0
    for level, index in zip(levels, at, strict=False):
        number = number * level.count + index
    return number


def size_in_words(levels: Sequence[Level]) -> str:
    """How many of what: ``2 SIPs x 4 cubes x 16 PEs = 128 PEs``."""
    counts = " x ".join(plural(level.count, level.title) for level in levels)
    return f"{counts} = {plural(count_of(levels), levels[-1].title)}"


def coords_of(spec: TopologySpec, pe: PeId) -> Coords:
    """``(x, y)`` of a PE in the grid of all PEs: the parts of each level side by side as they lie."""
    x = y = 0
    for level, index in zip(levels_of(spec), pe, strict=True):
        columns, rows = level.grid
        x, y = x * columns + index % columns, y * rows + index // columns
    return x, y


def grid_extents(spec: TopologySpec) -> Coords:
    """Columns and rows of the grid of all PEs."""
    columns, rows = zip(*(level.grid for level in levels_of(spec)), strict=True)
    return prod(columns), prod(rows)
