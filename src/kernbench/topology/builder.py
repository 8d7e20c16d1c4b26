"""Specs to graph: SIPs, IO dies, cubes, meshes and PEs, each with its place in mm.

Nodes come in a fixed order (host, switch, then SIP by SIP: IO die, cubes with ports, routers, memories, PEs), so that
indices are the same in every process. ``overrides`` of single nodes and links are applied on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from kernbench.config.explain import explain, line
from kernbench.config.pe import PeSpec
from kernbench.config.plain import yaml_values
from kernbench.config.quantities import Side, Spec
from kernbench.config.schema import LinkOverrideSpec, TopologySpec
from kernbench.errors import ConfigError
from kernbench.kinds import KINDS, Kind, Point, unit_kinds
from kernbench.topology.geometry import HBM_STEP, Geometry, place_of
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.topology.hbm import HbmLayout
from kernbench.topology.ids import PeId, Position, part_name
from kernbench.topology.levels import levels_of
from kernbench.units import Rate
from kernbench.wording import quoted

_SpecT = TypeVar("_SpecT", bound=Spec)


class _Wire(NamedTuple):
    latency_ps: int
    rate: Rate
    buffer_bytes: int


class _Where(NamedTuple):
    """Where a node belongs; see :class:`Node`."""

    at: Position = ()
    column: int = -1
    row: int = -1


NOWHERE = _Where()


def inner_links(units: Sequence[Kind]) -> Iterator[tuple[str, str]]:
    """Which of a PE's ``units`` hands commands and tile tokens to which, by name, in the order of their edges."""
    names = {unit.name for unit in units}
    for unit in units:
        unit.refuse(unit.mistakes_in_links())
        yield from ((unit.name, to) for to in unit.gives_to if to in names)
    for unit in units:
        yield from ((by, unit.name) for by in unit.fed_by if by in names)


def build_graph(spec: TopologySpec) -> TopologyGraph:
    """The machine that ``spec`` describes. Raises ConfigError for an override that names nothing."""
    builder = _Builder(spec)
    builder.build()
    graph = TopologyGraph(spec, tuple(builder.nodes), tuple(builder.edges), tuple(builder.pes))
    return builder.with_link_overrides(graph) if builder.overrides else graph


class _Builder:
    def __init__(self, spec: TopologySpec) -> None:
        self.spec = spec
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.pes: list[PeId] = []
        self.overrides = dict(spec.overrides)
        self._wires: dict[tuple[Any, ...], _Wire] = {}
        self.geometry = Geometry(spec)
        self.sips, self.cubes, self.routers = levels_of(spec)
        self.hbm = HbmLayout.of(spec.cube)
        self.units = unit_kinds(spec.pe)
        names = [unit.name for unit in self.units]
        self.inner_edges = [
            (names.index(src), names.index(dst), f"{src}->{dst}") for src, dst in inner_links(self.units)
        ]

    def build(self) -> None:
        """Add everything, in the order of indices."""
        across, n_sips = self.geometry.across, self.sips.count
        host = self._add("host", "host", self.spec.host, (across * (0.5 if n_sips == 1 else 0.25), 0.0))
        switch = None
        if n_sips > 1:
            switch = self._add("sip_switch", "sip_switch", self.spec.system.sip_link, (across * 0.75, 0.0))
        for sip in range(n_sips):
            self._add_sip(sip, host, switch)

    # -- one SIP ---------------------------------------------------------------------------------------------

    def _add_sip(self, sip: int, host: Node, switch: Node | None) -> None:
        corner, columns = self.geometry.sip_corner(sip), self.cubes.grid[0]
        io_ports = self._add_io_die(sip, corner, host, switch)
        ports = [self._add_cube((sip, cube), corner) for cube in range(self.cubes.count)]
        for column, io_port in io_ports.items():
            self._join(self.cubes.link, io_port, ports[column]["N"])
        for cube, here in enumerate(ports):
            if (cube + 1) % columns:
                self._join(self.cubes.link, here["E"], ports[cube + 1]["W"])
            if cube + columns < len(ports):
                self._join(self.cubes.link, here["S"], ports[cube + columns]["N"])

    def _add_io_die(self, sip: int, corner: Point, host: Node, switch: Node | None) -> dict[int, Node]:
        """The IO die; returns its UCIe ports by the column of cubes they are joined to."""
        io, ucie, site, geometry = self.spec.sip.io_die, self.spec.sip.ucie, _Where((sip,)), self.geometry
        name, at = part_name(site.at), partial(geometry.in_io_die, corner)
        pcie = self._add(f"{name}.pcie_ep", "pcie_ep", io.pcie_ep, at("pcie_ep"), site)
        self._join("pcie", host, pcie)
        sip_port = None
        if switch is not None:
            link = self.spec.system.sip_link
            sip_port = self._add(f"{name}.sip_port", "sip_port", link, at("sip_port"), site)
            self._join(self.sips.link, switch, sip_port)
        cpu = self._add(f"{name}.io_cpu", "io_cpu", io.io_cpu, at("io_cpu"), site)
        noc = self._add(f"{name}.io_noc", "io_noc", io.noc, at("io_noc"), site)
        ports = {}
        for i, (column, _) in enumerate(io.ucie_ports.attach):
            x = corner[0] + column * (geometry.cube_w + geometry.gap) + geometry.cube_w / 2
            place = (x, corner[1] + geometry.io_depth)
            ports[column] = self._add(f"{name}.io_ucie{i}", "io_ucie", ucie, place, site)
        for end in (pcie, sip_port, cpu, *ports.values()):
            if end is not None:
                self._join("io", end, noc)
        return ports

    # -- one cube --------------------------------------------------------------------------------------------

    def _add_cube(self, at: Position, sip_corner: Point) -> dict[Side, Node]:
        """The cube at ``at``; returns its UCIe ports."""
        spec, (width, height) = self.spec.cube, self.routers.grid
        row, column = divmod(at[-1], self.cubes.grid[0])
        corner = self.geometry.cube_corner(sip_corner, at[-1])
        ports = self._add_ports(at, corner)
        mesh: dict[tuple[int, int], Node] = {}
        cells = [(i, j) for j in range(height) for i in range(width)]
        for i, j in cells:
            mesh[i, j] = self._add(
                f"{part_name(at)}.r{i}_{j}",
                "router",
                spec.noc,
                self.geometry.router(corner, i, j),
                _Where(at, column * width + i, row * height + j),
            )
        self._add_router_mesh(mesh)
        for side, port in ports.items():
            for cell in self._edge_of_cube(side):
                self._join("port", mesh[cell], port)
        self._add_memories(mesh)
        self._add_beside(mesh[spec.m_cpu.at], "m_cpu", "m_cpu", spec.m_cpu)
        for pe, cell in enumerate(cells):
            self._add_pe(PeId._make((*at, pe)), mesh[cell])
        return ports

    def _add_ports(self, at: Position, corner: Point) -> dict[Side, Node]:
        middles: dict[Side, Point] = {"N": (0.5, 0.0), "S": (0.5, 1.0), "E": (1.0, 0.5), "W": (0.0, 0.5)}
        ports: dict[Side, Node] = {}
        for side, (x, y) in middles.items():
            if self.spec.cube.ucie_ports.get(side) == "edge":
                place = (corner[0] + x * self.geometry.cube_w, corner[1] + y * self.geometry.cube_h)
                name = f"{part_name(at)}.ucie_{side.lower()}"
                ports[side] = self._add(name, "ucie", self.spec.sip.ucie, place, _Where(at))
        return ports

    def _edge_of_cube(self, side: Side) -> list[tuple[int, int]]:
        """The routers that share the port of a side."""
        width, height = self.routers.grid
        if side in ("N", "S"):
            return [(i, 0 if side == "N" else height - 1) for i in range(width)]
        return [(0 if side == "W" else width - 1, j) for j in range(height)]

    def _add_router_mesh(self, mesh: dict[tuple[int, int], Node]) -> None:
        for (i, j), router in mesh.items():
            for beside in ((i + 1, j), (i, j + 1)):
                if beside in mesh:
                    self._join(self.routers.link, router, mesh[beside])

    def _add_memories(self, mesh: dict[tuple[int, int], Node]) -> None:
        spec = self.spec.cube
        beside: dict[tuple[int, int], int] = {}
        for channel in range(spec.hbm.channels):
            at = self.hbm.router_of(channel)
            self._add_beside(mesh[at], f"hbm{channel}", "hbm_ctrl", spec.hbm, beside.get(at, 0) * HBM_STEP)
            beside[at] = beside.get(at, 0) + 1
        for bank, at in enumerate(spec.sram.at):
            self._add_beside(mesh[at], f"sram{bank}", "sram", spec.sram)

    def _add_beside(self, router: Node, name: str, kind: str, spec: Spec, east: float = 0.0) -> None:
        """A unit in the cell of ``router``, joined to it, so far to the ``east`` of where its kind lies."""
        x, y = place_of(kind)
        place = self.geometry.beside((router.x_mm, router.y_mm), (x + east, y))
        site = _Where(router.at, router.column, router.row)
        self._join("port", router, self._add(f"{part_name(router.at)}.{name}", kind, spec, place, site))

    # -- one PE ----------------------------------------------------------------------------------------------

    def _add_pe(self, pe: PeId, router: Node) -> None:
        number, first, name = len(self.pes), len(self.nodes), str(pe)
        self.pes.append(pe)
        pe_spec = self._pe_spec(name)
        site = _Where(pe, router.column, router.row)
        for unit in self.units:
            place = self.geometry.in_pe((router.x_mm, router.y_mm), unit.place or (0.0, 0.0))
            spec = getattr(pe_spec, unit.part) if unit.part else self.spec.cube.noc
            self._add(f"{name}.{unit.name}", unit.name, spec, place, site, number, pe_spec)
        self._join("niu", router, self.nodes[first])
        self._add_pe_internal_edges(first)

    def _add_pe_internal_edges(self, first: int) -> None:
        """The edges along which the units of the PE whose NIU has index ``first`` pass work on: no rate, no latency."""
        edges = self.edges
        for src, dst, kind in self.inner_edges:
            edges.append(Edge(len(edges), first + src, first + dst, kind))

    def _pe_spec(self, name: str) -> PeSpec:
        spec = self.spec.pe
        if not self.overrides:
            return spec
        parts = {}
        for unit in self.units:
            path = f"{name}.{unit.name}"
            if unit.part and path in self.overrides:
                changes = self.overrides.pop(path)
                parts[unit.part] = self._changed(path, unit.name, getattr(spec, unit.part), changes)
        return spec.model_copy(update=parts) if parts else spec

    # -- nodes, links and what is special about single ones ---------------------------------------------------

    def _add(
        self,
        name: str,
        kind: str,
        spec: Any,
        place: Point,
        site: _Where = NOWHERE,
        pe: int = -1,
        pe_spec: PeSpec | None = None,
    ) -> Node:
        if name in self.overrides:
            spec = self._changed(name, kind, spec, self.overrides.pop(name))
        latency_ps = spec.router_ps if kind in ("router", "io_noc") else 0
        node = Node(
            len(self.nodes), name, kind, spec, *place, site.at, site.column, site.row, latency_ps, pe, pe_spec
        )
        self.nodes.append(node)
        return node

    def _join(self, kind: str, a: Node, b: Node) -> None:
        """Links both ways."""
        for src, dst in ((a, b), (b, a)):
            key = (kind, src.kind, id(src.spec), id(dst.spec), id(src.pe_spec), id(dst.pe_spec))
            wire = self._wires.get(key)
            if wire is None:
                wire = self._wires[key] = _WIRES[kind](src, dst)
            self.edges.append(Edge(len(self.edges), src.index, dst.index, kind, *wire))

    def _changed(self, name: str, kind: str, spec: Spec, changes: dict[str, Any]) -> Any:
        path = ("overrides", name)
        for key in changes:
            if key in KINDS[kind].shared:
                raise self._error((*path, key), "is the same for the whole machine; change it there")
        return self._checked(type(spec), _merged(yaml_values(spec), changes), path)

    def _checked(self, kind: type[_SpecT], values: dict[str, Any], path: tuple[str, ...]) -> _SpecT:
        """What the file says at ``path``; ConfigError where that is wrong."""
        from pydantic import ValidationError

        try:
            return kind.model_validate(values)
        except ValidationError as error:
            raise ConfigError(explain(error, kind, self._place_of, path)) from None

    def with_link_overrides(self, graph: TopologyGraph) -> TopologyGraph:
        """``graph`` with the overridden links; an override that is left then names nothing."""
        edges = list(graph.edges)
        for name, changes in self.overrides.items():
            if "->" not in name:
                raise self._error(("overrides", name), f"unknown node; {graph.nearest(name)}")
            edge = self._link_called(graph, name)
            edges[edge.index] = self._changed_link(name, edge, changes)
        return replace(graph, edges=tuple(edges))

    def _link_called(self, graph: TopologyGraph, name: str) -> Edge:
        path = ("overrides", name)
        src, _, dst = (end.strip() for end in name.partition("->"))
        for end in (src, dst):
            if not graph.has_node(end):
                raise self._error(path, f"unknown node {quoted(end)}; {graph.nearest(end)}")
        targets = {graph.nodes[edge.dst].name: edge for edge in graph.out_edges(graph.node(src).index)}
        if dst not in targets:
            raise self._error(path, f"no such link; {src} leads to {', '.join(targets)}")
        return targets[dst]

    def _changed_link(self, name: str, edge: Edge, changes: dict[str, Any]) -> Edge:
        path = ("overrides", name)
        if edge.rate is None:
            raise self._error(path, "is inside a PE: it has neither rate nor latency")
        change = self._checked(LinkOverrideSpec, changes, path)
        latency_ps = edge.latency_ps if change.latency_ps is None else change.latency_ps
        return replace(edge, rate=change.rate or edge.rate, latency_ps=latency_ps)

    def _place_of(self, path: tuple[str, ...]) -> str:
        return self.spec.place_of(".".join(path)) or "topology"

    def _error(self, path: tuple[str, ...], message: str) -> ConfigError:
        return ConfigError(line(self._place_of(path), path, message))


def _merged(below: Any, over: Any) -> Any:
    if isinstance(below, dict) and isinstance(over, dict):
        return below | {key: _merged(below.get(key), value) for key, value in over.items()}
    return over


def _slowest(*rates: Rate) -> Rate:
    return min(rates, key=lambda rate: rate.fraction)


def _mesh(src: Any, dst: Any) -> _Wire:
    rate = _slowest(src.spec.link_rate, dst.spec.link_rate)
    return _Wire(src.spec.link_ps, rate, dst.spec.buffer_per_vc_bytes)


def _niu(src: Any, dst: Any) -> _Wire:
    niu = src if src.kind == "niu" else dst
    rate = _slowest(src.spec.link_rate, dst.spec.link_rate, niu.pe_spec.dma.rate)
    return _Wire(niu.spec.niu_ps, rate, dst.spec.buffer_per_vc_bytes)


def _inside(crossing: str) -> Callable[[Any, Any], _Wire]:
    """A link to what belongs to the router or crossbar at one end, the node of the kind ``crossing``."""

    def wire(src: Any, dst: Any) -> _Wire:
        spec = (src if src.kind == crossing else dst).spec
        return _Wire(0, spec.link_rate, spec.buffer_per_vc_bytes)

    return wire


def _d2d(src: Any, dst: Any) -> _Wire:
    rate = _slowest(src.spec.rate.scaled(src.spec.eff), dst.spec.rate.scaled(dst.spec.eff))
    return _Wire(max(src.spec.latency_ps, dst.spec.latency_ps), rate, dst.spec.buffer_per_vc_bytes)


def _pcie(src: Any, dst: Any) -> _Wire:
    spec = (src if src.kind == "pcie_ep" else dst).spec
    return _Wire(spec.latency_ps, spec.rate.scaled(spec.payload_eff), spec.buffer_per_vc_bytes)


def _sip_link(src: Any, dst: Any) -> _Wire:
    up = src.kind == "sip_port"
    spec = (src if up else dst).spec
    half = spec.latency_ps // 2
    return _Wire(
        half if up else spec.latency_ps - half, spec.rate.scaled(spec.payload_eff), spec.buffer_per_vc_bytes
    )


_WIRES: dict[str, Callable[[Node, Node], _Wire]] = {
    "mesh": _mesh,
    "niu": _niu,
    "port": _inside("router"),
    "d2d": _d2d,
    "io": _inside("io_noc"),
    "pcie": _pcie,
    "sip_link": _sip_link,
}
