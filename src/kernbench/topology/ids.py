"""Positions and names of parts: a number for each level from the top, and PeId, the position of a PE.

A part is called by its path: the cube at ``(0, 1)`` is ``sip0.cube1``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kernbench.errors import UnknownNameError
from kernbench.wording import quoted

Position = tuple[int, ...]
"""Where a part belongs: its number within its parent at each level, from the top down to its own."""
_PE_NAME = re.compile(r"sip(\d{1,9})\.cube(\d{1,9})\.pe(\d{1,9})", re.ASCII)


class PeId(NamedTuple):
    """One PE; ``pe`` counts within its cube. PEs are numbered in the order of these tuples.

    >>> str(PeId(sip=0, cube=1, pe=3))
    'sip0.cube1.pe3'
    """

    sip: int
    cube: int
    pe: int

    @classmethod
    def parse(cls, name: str) -> PeId:
        """The id that prints as ``name``.

        >>> PeId.parse("sip0.cube1.pe3")
        PeId(sip=0, cube=1, pe=3)
        """
        match = _PE_NAME.fullmatch(name)
        if not match:
            raise UnknownNameError(f"{quoted(name)} is not the name of a PE; write it like 'sip0.cube1.pe3'")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return part_name(self)


def part_name(at: Position) -> str:
    """The name of the part at ``at``: the beginning of the names of all nodes in it.

    >>> part_name((0, 1))
    'sip0.cube1'
    """
    return ".".join(f"{level}{index}" for level, index in zip(PeId._fields, at, strict=False))
