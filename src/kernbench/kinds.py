"""One description of each kind of node: made in the file of its component, read by all that speaks of hardware.

The configuration's schema, the graph, the way of tiles, op codes, the breakdown and the drawings follow from the rows
of this table, so that a unit is one file. It lies below them all; the files that fill it are loaded by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from kernbench.errors import UsageError
from kernbench.registry import Registry, did_you_mean
from kernbench.wording import quoted

HARDWARE = "kernbench.components"  # above this floor: its files describe what they implement
ROLES = ("host", "io", "ucie", "control", "move", "store", "memory", "compute")
OpName = IntEnum | str
"""An op code that every log has, or the name of an op that a unit beyond the built-in ones brings along."""
Point = tuple[float, float]


class Cause(NamedTuple):
    """What time goes to, what that means, and what to do about it ("": nothing is known).

    ``cures`` fit better where they name what pays: a unit, or an op. The alternatives of a cure have commas between
    them.
    """

    name: str
    meaning: str
    cure: str = ""
    cures: Mapping[str, str] = {}

    @property
    def says_what_to_do(self) -> bool:
        """Whether there is any advice."""
        return bool(self.cure or self.cures)


class Op(NamedTuple):
    """What a unit finishes and logs, and what the time of its records goes to.

    ``cause`` is that of a record's own time; None for what no kernel waits for. ``marks`` are the causes that begin at
    the record's marks, in their order. ``waits`` says whether waiting is its work: never, "always", or "for other PEs".
    """

    what: OpName
    cause: Cause | None = None
    marks: tuple[Cause, ...] = ()
    waits: str = ""

    @property
    def name(self) -> str:
        """Name of the op in the op log's header."""
        return self.what if isinstance(self.what, str) else self.what.name

    @property
    def causes(self) -> Iterator[Cause]:
        """All causes of its records' time."""
        return (cause for cause in (self.cause, *self.marks) if cause is not None)


class Kind(NamedTuple):
    """One kind of node, as the file of its component describes it.

    Args:
        name: the kind, last in the name of each such node and the key in ``components.yaml``.
        spec: its part of the configuration; None where a node has that of what it belongs to.
        shared: keys of that part which no single node can have otherwise.
        part: of a unit of a PE, the key below ``pe`` in ``topology.yaml``; "" for a unit that has none.
        gives_to: kinds of the same PE that it hands work to, in the order of its links.
        fed_by: kinds of the same PE that hand work to it and do not say so themselves.
        stages: what it does to the tiles of commands, and logs; a token finds its unit by its next stage.
        records: what else it logs.
        visits: rate classes whose element visits are its work instead of PE_MATH's.
        role: one of :data:`ROLES`; the colour in drawings.
        place: where it lies in drawings: shares of the PE's block, or of the router's cell, from the north-west.
        size: its extent beside a router, in shares of the cell.
        title: what the legend calls it.
        figures: lines of its data sheet, from its own spec and its PE's.
    """

    name: str
    spec: type[Any] | None = None
    shared: tuple[str, ...] = ()
    part: str | None = None
    gives_to: tuple[str, ...] = ()
    fed_by: tuple[str, ...] = ()
    stages: tuple[Op, ...] = ()
    records: tuple[Op, ...] = ()
    visits: tuple[str, ...] = ()
    role: str = ""
    place: Point | None = None
    size: Point | None = None
    title: str = ""
    figures: Callable[[Any, Any], tuple[str, ...]] = lambda spec, pe: ()

    @property
    def ops(self) -> tuple[Op, ...]:
        """All that it logs."""
        return self.records + self.stages

    def mistakes(self) -> Iterator[str]:
        """What is missing or wrong in the description, a line each; nothing for one that is whole."""
        if self.part and self.spec is None:
            yield f"describes no spec; write Kind({self.name!r}, spec), the class of what pe.{self.part} says"
        yield from self.mistakes_in_links()
        yield from self.mistakes_in_drawing()
        yield from self.mistakes_in_causes()

    def mistakes_in_links(self) -> Iterator[str]:
        """What keeps a PE that has such a unit from being joined together."""
        if self.stages and not self.gives_to:
            yield "it hands its tiles to no unit; write gives_to=, kinds of units of a PE"
        for name in (*self.gives_to, *self.fed_by):
            if name not in KINDS:
                yield f"there is no unit {quoted(name)} that it could be joined to; {did_you_mean(name, KINDS)}"

    def mistakes_in_drawing(self) -> Iterator[str]:
        """What a drawing of the PE misses."""
        if self.part is not None and self.place is None:
            yield "it has no place in the drawing; write place=(x, y), shares of the PE's block"
        if self.part is not None and self.role not in ROLES:
            yield f"{quoted(self.role)} is no role in the drawing; write role=, one of: {', '.join(ROLES)}"

    def mistakes_in_causes(self) -> Iterator[str]:
        """What a breakdown of a kernel's time misses."""
        for op in self.stages:
            if op.cause is None:
                yield f"its stage {op.name} has no cause; write Op({op.name!r}, Cause(name, meaning, cure))"
            elif not op.cause.says_what_to_do:
                yield f"its cause {quoted(op.cause.name)} has no cure; write Cause({op.cause.name!r}, meaning, cure)"

    def refuse(self, mistakes: Iterator[str]) -> None:
        """Raise UsageError with the first of ``mistakes``, if there is one."""
        for mistake in mistakes:
            raise UsageError(f"kind {self.name}: {mistake}")

    def declare(self) -> str:
        """Enter the kind into the table; its name, which the component's class keeps as its ``kind``.

        Raises:
            UsageError: the kind is described already, or another kind does one of its stages.
        """
        for op in self.stages:
            if UNIT_OF.setdefault(op.what, self.name) != self.name:
                raise UsageError(
                    f"kind {self.name}: the stage {op.name} is that of {UNIT_OF[op.what]}; give yours another name"
                )
        return KINDS.register(self.name)(self).name


KINDS: Registry[Kind] = Registry("kind of node", "a Kind", lambda thing: isinstance(thing, Kind))
UNIT_OF: dict[OpName, str] = {}  # which kind of unit does a stage; looked up once per stage of a tile


def load_kinds() -> Mapping[str, str]:
    """Import every file of built-in hardware, so that its kinds are in the table; a line for each that cannot be."""
    mistakes: Mapping[str, str] = importlib.import_module(HARDWARE).load_components()
    return mistakes


def kinds() -> Iterator[Kind]:
    """All kinds, by name."""
    return (KINDS[name] for name in KINDS)


def unit_kinds(pe: Any) -> list[Kind]:
    """The kinds of units that a PE with the spec ``pe`` has: those without a part, then by the parts' order."""
    order = ["", *pe.fields()]
    units = [
        kind
        for kind in kinds()
        if kind.part == "" or (kind.part and getattr(pe, kind.part, None) is not None)
    ]
    return sorted(units, key=lambda kind: order.index(kind.part or ""))
