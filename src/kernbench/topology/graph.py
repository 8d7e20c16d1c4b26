"""The machine as an immutable graph: nodes with a place in mm, directed edges with latency, rate and buffer.

It knows no time and no values. Everything above finds a node by name, by PE or along an edge.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernbench.config.pe import PeSpec
from kernbench.config.schema import TopologySpec
from kernbench.errors import UnknownNameError
from kernbench.topology.ids import PeId, Position, part_name
from kernbench.topology.levels import Level, count_of, levels_of, number_of
from kernbench.units import Rate
from kernbench.wording import plural, quoted


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A piece of hardware with a name.

    ``at`` is the position of the part that it belongs to, with as many numbers as there are levels down to that;
    ``pe`` the *number* of its PE in the machine (-1: none; ``graph.pes[pe]`` is its id). ``column`` and ``row`` are
    those of the router it is, or sits at, in the router grid of its SIP (-1: none). ``x_mm`` grows to the east,
    ``y_mm`` to the south; both are the centre. ``latency_ps`` is the time to pass through. ``spec`` is its part of the
    configuration, a spec class that follows from ``kind``; ``pe_spec`` that of its whole PE.
    """

    index: int
    name: str
    kind: str
    spec: Any
    x_mm: float
    y_mm: float
    at: Position = ()
    column: int = -1
    row: int = -1
    latency_ps: int = 0
    pe: int = -1
    pe_spec: PeSpec | None = None

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """A directed link from node ``src`` to node ``dst`` (indices).

    ``latency_ps`` is the wire's; ``rate`` is None for the inner edges of a PE, which hand tokens on at once;
    ``buffer_bytes`` is the room per virtual channel at the receiving end.
    """

    index: int
    src: int
    dst: int
    kind: str
    latency_ps: int = 0
    rate: Rate | None = None
    buffer_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TopologyGraph:
    """All nodes and edges of a machine, by index; ``pes`` lists the PEs by number. Nothing of it ever changes.

    ``levels`` is its hierarchy, from the top.
    """

    spec: TopologySpec
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    pes: tuple[PeId, ...]
    levels: tuple[Level, ...] = field(init=False)
    _by_name: dict[str, int] = field(init=False)
    _by_kind: dict[str, tuple[Node, ...]] = field(init=False, default_factory=dict)
    _links: dict[int, dict[int, Edge]] = field(init=False, default_factory=dict)
    _out: list[list[Edge]] = field(init=False)
    _in: list[list[Edge]] = field(init=False)
    _units: list[int] = field(init=False)

    def __post_init__(self) -> None:
        outward: list[list[Edge]] = [[] for _ in self.nodes]
        inward: list[list[Edge]] = [[] for _ in self.nodes]
        for edge in self.edges:
            outward[edge.src].append(edge)
            inward[edge.dst].append(edge)
        indices = {
            "levels": levels_of(self.spec),
            "_by_name": {node.name: node.index for node in self.nodes},
            "_out": outward,
            "_in": inward,
            "_units": [node.index for node in self.nodes if node.kind == "niu"],
        }
        for name, index in indices.items():
            object.__setattr__(self, name, index)

    def node(self, name: str) -> Node:
        """The node called ``name``; UnknownNameError offers the nearest name."""
        index = self._by_name.get(name)
        if index is None:
            raise UnknownNameError(f"unknown node {quoted(name)}; {self.nearest(name)}")
        return self.nodes[index]

    def has_node(self, name: str) -> bool:
        """Whether a node is called ``name``."""
        return name in self._by_name

    def nearest(self, name: str) -> str:
        """The cure for a wrong node name: the nearest one at the step of its path where it goes wrong."""
        path = name.split(".")
        beginning = ""
        for step in path:
            steps = _steps_after(beginning, self._by_name)
            if step not in steps:
                break
            beginning += f"{step}."
        else:
            return f"its parts are {', '.join(_steps_after(beginning, self._by_name))}"
        close = difflib.get_close_matches(step, steps, n=1)
        if not close:
            return f"known{' under ' + beginning[:-1] if beginning else ''}: {', '.join(steps)}"
        corrected = ".".join((beginning + close[0], *path[beginning.count(".") + 1 :]))
        return f"did you mean {corrected if corrected in self._by_name else beginning + close[0]!r}?"

    def of_kind(self, kind: str) -> tuple[Node, ...]:
        """All nodes of one kind, by index."""
        found = self._by_kind.get(kind)
        if found is None:
            found = tuple(node for node in self.nodes if node.kind == kind)
            self._by_kind[kind] = found
        return found

    def out_edges(self, index: int) -> Sequence[Edge]:
        """The edges that leave a node, in the order they were built."""
        return self._out[index]

    def in_edges(self, index: int) -> Sequence[Edge]:
        """The edges that enter a node, in the order they were built."""
        return self._in[index]

    def edge(self, src: int, dst: int) -> Edge:
        """The edge from one node to another; UnknownNameError lists where ``src`` leads."""
        links = self._links.get(src)
        if links is None:
            links = self._links[src] = {edge.dst: edge for edge in self._out[src]}
        found = links.get(dst)
        if found is None:
            leads_to = ", ".join(self.nodes[i].name for i in links) or "nothing"
            raise UnknownNameError(
                f"no link from {self.nodes[src].name} to {self.nodes[dst].name}; it leads to {leads_to}"
            )
        return found

    @property
    def n_pes(self) -> int:
        """PEs in the machine."""
        return len(self.pes)

    def pe_number(self, pe: PeId) -> int:
        """The number of ``pe``; UnknownNameError says how many there are."""
        if not all(0 <= index < level.count for level, index in zip(self.levels, pe, strict=True)):
            counts = " of ".join(plural(level.count, level.title) for level in self.levels)
            raise UnknownNameError(f"unknown PE {str(pe)!r}; there are {counts}")
        return number_of(self.levels, pe)

    def pes_of(self, at: Position) -> range:
        """The numbers of the PEs of the part at ``at``."""
        n_pes = count_of(self.levels[len(at) :])
        first = number_of(self.levels, at) * n_pes
        return range(first, first + n_pes)

    def node_of(self, at: Position, name: str) -> Node:
        """The node ``name`` of the part at ``at``."""
        return self.node(f"{part_name(at)}.{name}")

    def niu_of(self, pe: int) -> int:
        """The node index of PE number ``pe``'s network interface: where its fabric traffic starts and ends."""
        return self._units[pe]

    def units_of(self, pe: int) -> tuple[Node, ...]:
        """The nodes of PE number ``pe``: niu, pe_cpu, pe_scheduler, ..."""
        first = self._units[pe]
        last = first
        while last < len(self.nodes) and self.nodes[last].pe == pe:
            last += 1
        return self.nodes[first:last]

    def unit(self, pe: int, kind: str) -> Node:
        """One unit of PE number ``pe``."""
        return self.node(f"{self.pes[pe]}.{kind}")


def _steps_after(beginning: str, names: Iterable[str]) -> list[str]:
    """The distinct next steps of all ``names`` that start with ``beginning``, in order."""
    steps: dict[str, None] = {}
    for name in names:
        if name.startswith(beginning):
            steps[name[len(beginning) :].split(".", 1)[0]] = None
    return list(steps)
