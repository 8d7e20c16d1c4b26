"""Where the parts of a machine lie, in mm from the north-west: for drawings; no time follows from it.

Places in the descriptions of kinds are shares: of the IO die, of a router's cell, or of a PE, which fills the rectangle
``PE_BLOCK`` of a cell.
"""

from __future__ import annotations

from kernbench.config.schema import TopologySpec
from kernbench.kinds import KINDS, Point
from kernbench.topology.levels import levels_of

HBM_STEP = 0.12  # from one channel controller to the next beside a router
PE_BLOCK = (0.21, 0.36, 0.92, 0.92)


def place_of(kind: str) -> Point:
    """The place of nodes of ``kind`` in what they lie in; its north-west corner for a kind that describes none."""
    return KINDS[kind].place or (0.0, 0.0)


class Geometry:
    """Sizes of cells, dies and packages, and where they begin."""

    def __init__(self, spec: TopologySpec) -> None:
        self.pitch = float(spec.geometry.router_pitch_mm)
        self.gap = float(spec.geometry.die_gap_mm)
        self.io_depth = float(spec.geometry.io_die_mm)
        self.sip_gap = float(spec.geometry.sip_gap_mm)
        (self.sip_columns, _), (self.columns, self.rows), (self.width, self.height) = (
            level.grid for level in levels_of(spec)
        )
        self.cube_w, self.cube_h = self.width * self.pitch, self.height * self.pitch
        self.sip_w = self.columns * (self.cube_w + self.gap) - self.gap
        self.sip_h = self.io_depth + self.rows * (self.cube_h + self.gap)
        self._router = place_of("router")
        self.across = self.sip_columns * (self.sip_w + self.sip_gap) - self.sip_gap

    def sip_corner(self, sip: int) -> Point:
        """Where the dies of a SIP begin."""
        row, column = divmod(sip, self.sip_columns)
        return column * (self.sip_w + self.sip_gap), self.sip_gap + row * (self.sip_h + self.sip_gap)

    def cube_corner(self, sip_corner: Point, cube: int) -> Point:
        """Where a cube of the SIP that begins at ``sip_corner`` does."""
        row, column = divmod(cube, self.columns)
        return (
            sip_corner[0] + column * (self.cube_w + self.gap),
            sip_corner[1] + self.io_depth + self.gap + row * (self.cube_h + self.gap),
        )

    def in_io_die(self, sip_corner: Point, kind: str) -> Point:
        """The place of a node of the IO die."""
        x, y = place_of(kind)
        return sip_corner[0] + x * self.sip_w, sip_corner[1] + y * self.io_depth

    def router(self, cube_corner: Point, column: int, row: int) -> Point:
        """The place of a router of a cube."""
        x, y = self._router
        return cube_corner[0] + (column + x) * self.pitch, cube_corner[1] + (row + y) * self.pitch

    def beside(self, router: Point, place: Point) -> Point:
        """``place`` in the cell of the router that lies at ``router``."""
        x, y = self._router
        dx, dy = place[0] - x, place[1] - y
        return router[0] + dx * self.pitch, router[1] + dy * self.pitch

    def in_pe(self, router: Point, place: Point) -> Point:
        """``place`` in the PE at that router."""
        left, top, right, bottom = PE_BLOCK
        x, y = place
        return self.beside(router, (left + x * (right - left), top + y * (bottom - top)))
