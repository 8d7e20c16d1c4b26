"""The ideal model of a network, as textbooks on collectives have it: a latency, a rate, and the price of arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple


class Way(NamedTuple):
    """What a message from one rank to another takes: ``alpha`` ps, and ``beta`` ps per byte."""

    alpha: Fraction
    beta: Fraction


class IdealModel(NamedTuple):
    """``alpha`` ps from the last byte sent to its arrival, ``beta`` ps per byte of a link, ``gamma`` per byte of math.

    ``is_crossbar``: a rank has one egress port for all its peers, instead of a link to each. ``ways`` are those that
    differ, by ranks (sender, receiver); a port is as fast as ``beta`` says even so.
    """

    alpha: Fraction
    beta: Fraction
    gamma: Fraction
    is_crossbar: bool = False
    ways: Mapping[tuple[int, int], Way] = MappingProxyType({})

    def way(self, sender: int, receiver: int) -> Way:
        """The way from one rank to another."""
        return self.ways.get((sender, receiver)) or Way(self.alpha, self.beta)
