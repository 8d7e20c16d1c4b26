"""PeId: which PE of which cube of which SIP; prints and parses as ``sip0.cube1.pe3``."""

from __future__ import annotations

import re
from typing import NamedTuple

from kernbench.errors import UnknownNameError
from kernbench.wording import quoted

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
        return f"sip{self.sip}.cube{self.cube}.pe{self.pe}"
