"""Specs to graph: SIPs, IO dies, cubes, meshes and PEs, each with its place in mm.

Nodes come in a fixed order (host, switch, then SIP by SIP: IO die, cubes with ports, routers, memories, PEs), so that
indices are the same in every process. ``overrides`` of single nodes and links are applied on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from kernbench.config.explain import did_you_mean, explain, line
from kernbench.config.plain import yaml_values
from kernbench.config.schema import LinkOverrideSpec, PeSpec, Side, Spec, TopologySpec
from kernbench.errors import ConfigError
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.topology.hbm import HbmLayout
from kernbench.topology.ids import PeId
from kernbench.units import Rate

PE_UNITS = {
    "niu": None,
    "pe_cpu": "cpu",
    "pe_scheduler": "scheduler",
    "pe_dma": "dma",
    "pe_tcm": "tcm",
    "pe_fetch_store": "fetch_store",
    "pe_gemm": "gemm",
    "pe_math": "math",
}
"""The nodes of a PE, and the part of its spec each has (the NIU belongs to the mesh)."""

PE_INTERNAL_EDGES = {
    "niu": ("pe_dma", "pe_cpu"),
    "pe_cpu": ("niu", "pe_scheduler"),
    "pe_scheduler": ("pe_cpu", "pe_dma", "pe_fetch_store"),
    "pe_dma": ("niu", "pe_tcm", "pe_fetch_store", "pe_scheduler"),
    "pe_fetch_store": ("pe_tcm", "pe_gemm", "pe_math", "pe_dma", "pe_scheduler"),
    "pe_gemm": ("pe_fetch_store", "pe_scheduler"),
    "pe_math": ("pe_fetch_store", "pe_scheduler"),
}
"""Which unit hands commands and tile tokens to which."""

# Places are shares of a router's cell, from its north-west corner; a PE fills the rectangle PE_BLOCK of it.
ROUTER_OFFSET = (0.10, 0.10)
HBM_OFFSET, SRAM_OFFSET, M_CPU_OFFSET = (0.28, 0.27), (0.66, 0.27), (0.88, 0.27)
HBM_STEP = 0.12
PE_BLOCK = (0.20, 0.36, 0.98, 0.98)
PE_COMP_OFFSETS = {
    "niu": (0.12, 0.50),
    "pe_cpu": (0.12, 0.15),
    "pe_scheduler": (0.53, 0.15),
    "pe_dma": (0.36, 0.50),
    "pe_tcm": (0.20, 0.85),
    "pe_fetch_store": (0.53, 0.85),
    "pe_gemm": (0.70, 0.50),
    "pe_math": (0.90, 0.50),
}
"""Places of a PE's units, as shares of its block."""

# Keys that say how the whole machine is laid out or how its links are framed: no single node can differ in them.
_SHARED_KEYS = {
    "router": ("kind", "routing", "vcs", "arbitration", "chunk", "packet", "header", "flit"),
    "niu": ("kind", "routing", "vcs", "arbitration", "chunk", "packet", "header", "flit"),
    "hbm_ctrl": ("capacity", "channels", "pseudo_channels", "attach", "org", "map"),
    "sram": ("size", "banks", "at"),
    "m_cpu": ("at",),
}


class _Wire(NamedTuple):
    latency_ps: int
    rate: Rate
    buffer_bytes: int


def build_graph(spec: TopologySpec) -> TopologyGraph:
    """The machine that ``spec`` describes. Raises ConfigError for an override that names nothing."""
    builder = _Builder(spec)
    builder.build()
    graph = TopologyGraph(spec, builder.nodes, builder.edges, builder.pes)
    builder.finish_overrides(graph)
    return graph


class _Builder:
    def __init__(self, spec: TopologySpec) -> None:
        self.spec = spec
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.pes: list[PeId] = []
        self.overrides = dict(spec.overrides)
        self._wires: dict[tuple[Any, ...], _Wire] = {}
        geometry = spec.geometry
        self.pitch = float(geometry.router_pitch_mm)
        self.gap = float(geometry.die_gap_mm)
        self.io_depth = float(geometry.io_die_mm)
        self.sip_gap = float(geometry.sip_gap_mm)
        self.width, self.height = spec.cube.pes.grid
        self.columns, self.rows = spec.sip.cubes.grid
        self.cube_w, self.cube_h = self.width * self.pitch, self.height * self.pitch
        self.sip_w = self.columns * (self.cube_w + self.gap) - self.gap
        self.sip_h = self.io_depth + self.rows * (self.cube_h + self.gap)
        self.hbm = HbmLayout.of(spec.cube)
        self.inner_edges = [
            (list(PE_UNITS).index(src), list(PE_UNITS).index(dst), f"{src}->{dst}")
            for src, ends in PE_INTERNAL_EDGES.items()
            for dst in ends
        ]

    def build(self) -> None:
        """Add everything, in the order of indices."""
        n_sips = self.spec.system.sips.count
        across = self.spec.system.sips.grid[0] * (self.sip_w + self.sip_gap) - self.sip_gap
        host = self._add("host", "host", self.spec.host, across * (0.5 if n_sips == 1 else 0.35), 0.0)
        switch = None
        if n_sips > 1:
            switch = self._add("sip_switch", "sip_switch", self.spec.system.sip_link, across * 0.65, 0.0)
        for sip in range(n_sips):
            self._add_sip(sip, host, switch)

    # -- one SIP ---------------------------------------------------------------------------------------------

    def _add_sip(self, sip: int, host: Node, switch: Node | None) -> None:
        at_y, at_x = divmod(sip, self.spec.system.sips.grid[0])
        x = at_x * (self.sip_w + self.sip_gap)
        y = self.sip_gap + at_y * (self.sip_h + self.sip_gap)
        io_ports = self._add_io_die(sip, x, y, host, switch)
        ports: dict[tuple[int, int, Side], Node] = {}
        routers: dict[tuple[int, int], Node] = {}
        for cube in range(self.spec.sip.cubes.count):
            row, column = divmod(cube, self.columns)
            cube_x = x + column * (self.cube_w + self.gap)
            cube_y = y + self.io_depth + self.gap + row * (self.cube_h + self.gap)
            self._add_cube(sip, cube, cube_x, cube_y, ports, routers)
        for column, io_port in io_ports.items():
            self._join("d2d", io_port, ports[column, 0, "N"])
        for row in range(self.rows):
            for column in range(self.columns):
                if column + 1 < self.columns:
                    self._join("d2d", ports[column, row, "E"], ports[column + 1, row, "W"])
                if row + 1 < self.rows:
                    self._join("d2d", ports[column, row, "S"], ports[column, row + 1, "N"])

    def _add_io_die(
        self, sip: int, x: float, y: float, host: Node, switch: Node | None
    ) -> dict[int, Node]:
        """The IO die; its UCIe ports by the column of cubes they are joined to."""
        io, name, middle = self.spec.sip.io_die, f"sip{sip}", y + self.io_depth / 2
        pcie = self._add(f"{name}.pcie_ep", "pcie_ep", io.pcie_ep, x + self.sip_w * 0.15, y, sip)
        sip_port = None
        if switch is not None:
            link = self.spec.system.sip_link
            sip_port = self._add(f"{name}.sip_port", "sip_port", link, x + self.sip_w * 0.85, y, sip)
        cpu = self._add(f"{name}.io_cpu", "io_cpu", io.io_cpu, x + self.sip_w * 0.3, middle, sip)
        noc = self._add(
            f"{name}.io_noc", "io_noc", io.noc, x + self.sip_w * 0.5, middle, sip, latency_ps=io.noc.router_ps
        )
        ports = {}
        for i, (column, _) in enumerate(io.ucie_ports.attach):
            port_x = x + column * (self.cube_w + self.gap) + self.cube_w / 2
            ports[column] = self._add(
                f"{name}.io_ucie{i}", "io_ucie", self.spec.sip.ucie, port_x, y + self.io_depth, sip
            )
        self._join("pcie", host, pcie)
        self._join("io", pcie, noc)
        self._join("io", cpu, noc)
        if switch is not None and sip_port is not None:
            self._join("sip_link", switch, sip_port)
            self._join("io", sip_port, noc)
        for port in ports.values():
            self._join("io", noc, port)
        return ports

    # -- one cube --------------------------------------------------------------------------------------------

    def _add_cube(
        self,
        sip: int,
        cube: int,
        x: float,
        y: float,
        ports: dict[tuple[int, int, Side], Node],
        routers: dict[tuple[int, int], Node],
    ) -> None:
        spec, name = self.spec.cube, f"sip{sip}.cube{cube}"
        cube_row, cube_column = divmod(cube, self.columns)
        noc = spec.noc
        edge_of: dict[Side, list[tuple[int, int]]] = {
            "N": [(i, 0) for i in range(self.width)],
            "S": [(i, self.height - 1) for i in range(self.width)],
            "E": [(self.width - 1, i) for i in range(self.height)],
            "W": [(0, i) for i in range(self.height)],
        }
        middle: dict[Side, tuple[float, float]] = {
            "N": (0.5, 0.0),
            "S": (0.5, 1.0),
            "E": (1.0, 0.5),
            "W": (0.0, 0.5),
        }
        here: dict[Side, Node] = {}
        for side, kind in sorted(spec.ucie_ports.items(), key=lambda port: "NSEW".index(port[0])):
            if kind == "edge":
                dx, dy = middle[side]
                here[side] = ports[cube_column, cube_row, side] = self._add(
                    f"{name}.ucie_{side.lower()}",
                    "ucie",
                    self.spec.sip.ucie,
                    x + dx * self.cube_w,
                    y + dy * self.cube_h,
                    sip,
                    cube,
                )
        mesh: dict[tuple[int, int], Node] = {}
        for j in range(self.height):
            for i in range(self.width):
                mesh[i, j] = self._place(
                    f"{name}.r{i}_{j}", "router", noc, (sip, cube, i, j), (x, y), ROUTER_OFFSET
                )
        self._add_router_mesh(mesh)
        for side, port in here.items():
            for at in edge_of[side]:
                self._join("port", mesh[at], port)
        beside: dict[tuple[int, int], int] = {}
        for channel in range(spec.hbm.channels):
            at = self.hbm.router_of(channel)
            n = beside[at] = beside.get(at, -1) + 1
            offset = (HBM_OFFSET[0] + n * HBM_STEP, HBM_OFFSET[1])
            node = self._place(f"{name}.hbm{channel}", "hbm_ctrl", spec.hbm, (sip, cube, *at), (x, y), offset)
            self._join("port", mesh[at], node)
        for bank, at in enumerate(spec.sram.at):
            node = self._place(f"{name}.sram{bank}", "sram", spec.sram, (sip, cube, *at), (x, y), SRAM_OFFSET)
            self._join("port", mesh[at], node)
        at = spec.m_cpu.at
        node = self._place(f"{name}.m_cpu", "m_cpu", spec.m_cpu, (sip, cube, *at), (x, y), M_CPU_OFFSET)
        self._join("port", mesh[at], node)
        for pe in range(spec.pes.count):
            j, i = divmod(pe, self.width)
            self._add_pe(PeId(sip, cube, pe), mesh[i, j], x + i * self.pitch, y + j * self.pitch)

    def _add_router_mesh(self, mesh: dict[tuple[int, int], Node]) -> None:
        for (i, j), router in mesh.items():
            if i + 1 < self.width:
                self._join("mesh", router, mesh[i + 1, j])
            if j + 1 < self.height:
                self._join("mesh", router, mesh[i, j + 1])

    def _place(
        self,
        name: str,
        kind: str,
        spec: Spec,
        at: tuple[int, int, int, int],
        origin: tuple[float, float],
        offset: tuple[float, float],
    ) -> Node:
        """Add a node in the cell of router ``(i, j)`` of a cube whose corner is at ``origin``."""
        sip, cube, i, j = at
        row, column = divmod(cube, self.columns)
        return self._add(
            name,
            kind,
            spec,
            origin[0] + (i + offset[0]) * self.pitch,
            origin[1] + (j + offset[1]) * self.pitch,
            sip,
            cube,
            column * self.width + i,
            row * self.height + j,
            self.spec.cube.noc.router_ps if kind == "router" else 0,
        )

    # -- one PE ----------------------------------------------------------------------------------------------

    def _add_pe(self, pe: PeId, router: Node, x: float, y: float) -> None:
        number, name = len(self.pes), str(pe)
        self.pes.append(pe)
        pe_spec = self._pe_spec(name)
        left, top, right, bottom = PE_BLOCK
        first = len(self.nodes)
        for unit, part in PE_UNITS.items():
            dx, dy = PE_COMP_OFFSETS[unit]
            self._add(
                f"{name}.{unit}",
                unit,
                getattr(pe_spec, part) if part else self.spec.cube.noc,
                x + (left + dx * (right - left)) * self.pitch,
                y + (top + dy * (bottom - top)) * self.pitch,
                pe.sip,
                pe.cube,
                router.column,
                router.row,
                0,
                number,
                pe_spec,
            )
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
        for unit, part in PE_UNITS.items():
            changes = self.overrides.pop(f"{name}.{unit}", None) if part else None
            if part and changes is not None:
                parts[part] = self._changed(f"{name}.{unit}", unit, getattr(spec, part), changes)
        return spec.model_copy(update=parts) if parts else spec

    # -- nodes, links and what is special about single ones ---------------------------------------------------

    def _add(
        self,
        name: str,
        kind: str,
        spec: Spec,
        x: float,
        y: float,
        sip: int = -1,
        cube: int = -1,
        column: int = -1,
        row: int = -1,
        latency_ps: int = 0,
        pe: int = -1,
        pe_spec: PeSpec | None = None,
    ) -> Node:
        if name in self.overrides:
            spec = self._changed(name, kind, spec, self.overrides.pop(name))
            latency_ps = spec.router_ps if kind in ("router", "io_noc") else 0
        node = Node(
            len(self.nodes), name, kind, spec, x, y, sip, cube, column, row, latency_ps, pe, pe_spec
        )
        self.nodes.append(node)
        return node

    def _join(self, kind: str, a: Node, b: Node) -> None:
        """Links both ways."""
        for src, dst in ((a, b), (b, a)):
            key = (kind, id(src.spec), id(dst.spec), id(src.pe_spec), id(dst.pe_spec))
            wire = self._wires.get(key)
            if wire is None:
                wire = self._wires[key] = _WIRES[kind](src, dst)
            self.edges.append(Edge(len(self.edges), src.index, dst.index, kind, *wire))

    def _changed(self, name: str, kind: str, spec: Spec, changes: dict[str, Any]) -> Any:
        path = ("overrides", name)
        for key in changes:
            if key in _SHARED_KEYS.get(kind, ()):
                raise self._error((*path, key), "is the same for the whole machine; change it there")
        try:
            return type(spec).model_validate(_merged(yaml_values(spec), changes))
        except ValidationError as error:
            raise ConfigError(explain(error, type(spec), self._place_of, path)) from None

    def finish_overrides(self, graph: TopologyGraph) -> None:
        """Apply the overrides of links; what is left then names nothing."""
        for name, changes in self.overrides.items():
            if "->" in name:
                self._change_link(graph, name, changes)
            else:
                raise self._error(("overrides", name), f"unknown node; {graph.nearest(name)}")

    def _change_link(self, graph: TopologyGraph, name: str, changes: dict[str, Any]) -> None:
        path = ("overrides", name)
        ends = [end.strip() for end in name.split("->")]
        for end in ends:
            if not graph.has_node(end):
                raise self._error(path, f"unknown node {end!r}; {graph.nearest(end)}")
        src, dst = (graph.node(end).index for end in ends[:2])
        targets = [graph.nodes[edge.dst].name for edge in graph.out_edges(src)]
        if len(ends) != 2 or ends[1] not in targets:
            raise self._error(path, f"no such link; from {ends[0]} {did_you_mean(ends[1], targets)}")
        edge = graph.edge(src, dst)
        if edge.rate is None:
            raise self._error(path, "is inside a PE: it has neither rate nor latency")
        try:
            change = LinkOverrideSpec.model_validate(changes)
        except ValidationError as error:
            raise ConfigError(explain(error, LinkOverrideSpec, self._place_of, path)) from None
        edge.rate = change.rate or edge.rate
        edge.latency_ps = edge.latency_ps if change.latency_ps is None else change.latency_ps

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


def _port(src: Any, dst: Any) -> _Wire:
    router = src if src.kind == "router" else dst
    return _Wire(0, router.spec.link_rate, router.spec.buffer_per_vc_bytes)


def _d2d(src: Any, dst: Any) -> _Wire:
    rate = _slowest(src.spec.rate.scaled(src.spec.eff), dst.spec.rate.scaled(dst.spec.eff))
    return _Wire(max(src.spec.latency_ps, dst.spec.latency_ps), rate, dst.spec.buffer_per_vc_bytes)


def _io(src: Any, dst: Any) -> _Wire:
    noc = src if src.kind == "io_noc" else dst
    return _Wire(0, noc.spec.link_rate, noc.spec.buffer_per_vc_bytes)


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
    "port": _port,
    "d2d": _d2d,
    "io": _io,
    "pcie": _pcie,
    "sip_link": _sip_link,
}
