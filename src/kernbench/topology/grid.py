"""The grid of all PEs of a machine, and where each lies in it."""

from __future__ import annotations

from kernbench.config.schema import TopologySpec
from kernbench.topology.ids import PeId

Coords = tuple[int, int]


def coords_of(spec: TopologySpec, pe: PeId) -> Coords:
    """``(x, y)`` of a PE in the grid of all PEs: SIPs, cubes and PEs side by side as they lie."""
    x = y = 0
    for index, (columns, rows) in (
        (pe.sip, spec.system.sips.grid),
        (pe.cube, spec.sip.cubes.grid),
        (pe.pe, spec.cube.pes.grid),
    ):
        x, y = x * columns + index % columns, y * rows + index // columns
    return x, y


def grid_extents(spec: TopologySpec) -> Coords:
    """Columns and rows of the grid of all PEs."""
    grids = (spec.system.sips.grid, spec.sip.cubes.grid, spec.cube.pes.grid)
    columns = rows = 1
    for x, y in grids:
        columns, rows = columns * x, rows * y
    return columns, rows
