"""Routes between end points: deterministic, computed on demand from the grid, so that full buffers cannot form a cycle.

Within a SIP: X first, then Y, over the router grid of all its cubes; a crossing keeps the row (column) it is in. To
the IO die, the host or another SIP: north in the own column, and in again through the destination's column, south.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from kernbench.errors import UsageError
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.topology.ids import Position
from kernbench.units import Rate

_IN_CUBE = ("niu", "hbm_ctrl", "sram", "m_cpu")
_ENDS = (*_IN_CUBE, "io_cpu", "host")
_CROSSING = {(1, 0): ("e", "w"), (-1, 0): ("w", "e"), (0, 1): ("s", "n"), (0, -1): ("n", "s")}
_CACHED_ROUTES = 1 << 16


class _End(NamedTuple):
    """An end point in a cube: the SIP and the place of its router, and the edges to that and from it."""

    within: Position
    place: tuple[int, int]
    leave: Edge
    enter: Edge


class _WayOut(NamedTuple):
    """From an end point to where its SIP, or the host, meets the others: the edges to ``gate``, and those back."""

    gate: Node
    leave: tuple[Edge, ...]
    enter: tuple[Edge, ...]


class Routes:
    """Routes of one graph; a route is a tuple of edges, empty from a node to itself."""

    def __init__(self, graph: TopologyGraph) -> None:
        self.graph = graph
        spec = graph.spec
        *_, cubes, pes = graph.levels
        self._width, self._height = pes.grid
        self._columns = cubes.grid[0]
        self._grid: dict[tuple[Position, int, int], int] = {
            (router.at[:1], router.column, router.row): router.index for router in graph.of_kind("router")
        }
        self._ends: dict[int, _End | None] = {}
        self._ways_out: dict[int, _WayOut] = {}
        self._io_ports = [column for column, _ in spec.sip.io_die.ucie_ports.attach]
        self._cached = lru_cache(maxsize=_CACHED_ROUTES)(self._route)
        self._straight = lru_cache(maxsize=_CACHED_ROUTES)(self._line)
        self._beside = lru_cache(maxsize=_CACHED_ROUTES)(self._step)
        self._across = lru_cache(maxsize=_CACHED_ROUTES)(self._between)

    def route(self, src: int, dst: int) -> tuple[Edge, ...]:
        """The edges from end point ``src`` to end point ``dst``; UsageError if either is none."""
        return self._cached(src, dst)

    def hops(self, src: int, dst: int) -> tuple[Node, ...]:
        """The nodes a chunk visits, both ends included."""
        nodes = self.graph.nodes
        return (nodes[src], *(nodes[edge.dst] for edge in self.route(src, dst)))

    def latency_ps(self, src: int, dst: int) -> int:
        """The sum of the latencies of a route: its wires, and the nodes it passes through."""
        nodes = self.graph.nodes
        route = self.route(src, dst)
        passed = sum(nodes[edge.src].latency_ps for edge in route[1:])
        return passed + sum(edge.latency_ps for edge in route)

    def bottleneck(self, src: int, dst: int) -> Rate:
        """The rate of the slowest link on a route that has at least one."""
        rates = (edge.rate for edge in self.route(src, dst) if edge.rate is not None)
        return min(rates, key=lambda rate: rate.fraction)

    def _route(self, src: int, dst: int) -> tuple[Edge, ...]:
        start, end = self._end(src), self._end(dst)
        if src == dst:
            return ()
        if start is not None and end is not None and start.within == end.within:
            return self._xy(start, end)
        out, into = self._way_out(src), self._way_out(dst)
        return (*out.leave, *self._across(out.gate, into.gate), *into.enter)

    def _end(self, index: int) -> _End | None:
        """The end point of that index, found once; None for one outside of the cubes. UsageError if it is none."""
        if index not in self._ends:
            node, edge = self.graph.nodes[index], self.graph.edge
            if node.kind not in _ENDS:
                raise UsageError(f"{node.name} is no end point; routes lead between {', '.join(_ENDS)}")
            found = None
            if node.kind in _IN_CUBE:
                within, place = node.at[:1], (node.column, node.row)
                router = self._grid[within, *place]
                found = _End(within, place, edge(index, router), edge(router, index))
            self._ends[index] = found
        return self._ends[index]

    def _edges(self, path: list[int]) -> tuple[Edge, ...]:
        """The edges along a path."""
        edge = self.graph.edge
        return tuple([edge(here, there) for here, there in pairwise(path)])

    def _xy(self, start: _End, end: _End) -> tuple[Edge, ...]:
        """Along the row of ``start`` to the column of ``end``, then along that."""
        turn = (end.place[0], start.place[1])
        return (
            start.leave,
            *self._straight(start.within, start.place, turn),
            *self._straight(start.within, turn, end.place),
            end.enter,
        )

    def _line(self, sip: Position, here: tuple[int, int], there: tuple[int, int]) -> tuple[Edge, ...]:
        """The edges between two routers of one row or column, through the ports where it crosses cubes."""
        (x, y), (to_x, to_y) = here, there
        east, south = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
        edges: list[Edge] = []
        while here != there:
            beside = (here[0] + east, here[1] + south)
            edges += self._beside(sip, here, beside)
            here = beside
        return tuple(edges)

    def _step(self, sip: Position, here: tuple[int, int], there: tuple[int, int]) -> tuple[Edge, ...]:
        """The edges between two neighbouring routers."""
        grid = self._grid
        return self._edges([grid[sip, *here], *self._ports_between(sip, here, there), grid[sip, *there]])

    def _ports_between(self, sip: Position, here: tuple[int, int], there: tuple[int, int]) -> list[int]:
        """The UCIe ports between two neighbouring routers: none in one cube, else the port of either."""
        cube_here, cube_there = self._cube(*here), self._cube(*there)
        if cube_here == cube_there:
            return []
        east, south = there[0] - here[0], there[1] - here[1]
        leave, enter = _CROSSING[east, south]
        return [self._port(sip, cube_here, leave), self._port(sip, cube_there, enter)]

    def _cube(self, column: int, row: int) -> int:
        return row // self._height * self._columns + column // self._width

    def _port(self, sip: Position, cube: int, side: str) -> int:
        return self.graph.node_of((*sip, cube), f"ucie_{side}").index

    def _way_out(self, index: int) -> _WayOut:
        """The way out of the end point of that index, found once: most are of many routes."""
        found = self._ways_out.get(index)
        if found is None:
            path = self._path_out(self.graph.nodes[index])
            gate = self.graph.nodes[path[-1]]
            found = self._ways_out[index] = _WayOut(gate, self._edges(path), self._edges(path[::-1]))
        return found

    def _path_out(self, node: Node) -> list[int]:
        """Nodes from an end point to the IO NoC of its SIP, by its own column; the host is its own way out."""
        if node.kind == "host":
            return [node.index]
        sip = node.at[:1]
        noc = self.graph.node_of(sip, "io_noc").index
        if node.kind == "io_cpu":
            return [node.index, noc]
        path, row = [node.index, self._grid[sip, node.column, node.row]], node.row
        while row:
            path += self._ports_between(sip, (node.column, row), (node.column, row - 1))
            row -= 1
            path.append(self._grid[sip, node.column, row])
        cube_column = node.column // self._width
        io_port = self.graph.node_of(sip, f"io_ucie{self._io_ports.index(cube_column)}").index
        return [*path, self._port(sip, cube_column, "n"), io_port, noc]

    def _between(self, a: Node, b: Node) -> tuple[Edge, ...]:
        """The edges from one gate to another: none where both ways out meet in one."""
        node_of, here, there = self.graph.node_of, a.at[:1], b.at[:1]
        if a is b:
            return ()
        if "host" in (a.kind, b.kind):
            passed = [node_of(here or there, "pcie_ep").index]
        else:
            switch = self.graph.node("sip_switch").index
            passed = [node_of(here, "sip_port").index, switch, node_of(there, "sip_port").index]
        return self._edges([a.index, *passed, b.index])
