"""Pictures of a machine from its graph, to scale: the system, a SIP, a cube or a PE, as SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from math import hypot
from typing import Literal

from kernbench.errors import UsageError
from kernbench.kinds import KINDS
from kernbench.registry import did_you_mean
from kernbench.reports.svg import Rect, Sheet
from kernbench.topology.geometry import PE_BLOCK, Geometry, place_of
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.topology.ids import PeId, Position, part_name
from kernbench.topology.levels import parts_of, size_in_words
from kernbench.units import format_bytes, gbps
from kernbench.wording import plural, quoted

View = Literal["system", "sip", "cube", "pe"]

_FILL = {
    "package": "#f4f6f8",
    "die": "#e9eef4",
    "pe": "#fdf1cf",
    # by the roles of kinds
    "host": "#d9dee5",
    "io": "#f7d9b5",
    "ucie": "#cfc4ea",
    "memory": "#bfe3c5",
    "control": "#f3c0c0",
    "move": "#a9c7e8",
    "store": "#e3edb4",
    "compute": "#f7b27a",
}
_LINK = {
    "mesh": ("#4c78a8", "router to router"),
    "port": ("#6b7785", "router to memory, M_CPU or port"),
    "niu": ("#b08900", "router to PE"),
    "d2d": ("#6f4fb3", "UCIe"),
    "io": ("#b5722a", "IO NoC to its units"),
    "pcie": ("#b0413e", "PCIe, host to each SIP"),
    "sip_link": ("#2f7f6d", "SIP link, each SIP to the switch"),
}
_INSIDE = "#1d2733"  # a PE
_SPECIAL = "#d4006a"
_LEAST_CROSSED_PX = 24  # of a link that a label lies across


def draw(graph: TopologyGraph, view: View = "system", part: PeId | None = None) -> str:
    """The SVG of one view: the whole system, or the SIP or cube of the PE ``part`` (of PE 0), or that PE.

    Lengths are to scale; the host and the switch are symbols. Links are labelled with their payload rate per direction.
    Raises UsageError for an unknown view, UnknownNameError for a part that is not there.
    """
    if view not in _VIEWS:
        raise UsageError(f"unknown view {quoted(view)}; {did_you_mean(view, _VIEWS)}")
    number = 0 if part is None else graph.pe_number(part)
    return _VIEWS[view](graph, number).svg()


class _Sizes(Geometry):
    """The machine, its sizes, and where its dies lie."""

    def __init__(self, graph: TopologyGraph) -> None:
        super().__init__(graph.spec)
        self.graph = graph
        self.usual = _usual_rates(graph)

    def dies(self, at: Position) -> Rect:
        """The dies of a SIP, without the package around."""
        first = self.die((*at, 0))
        return Rect(first.x, first.y - self.gap - self.io_depth, self.sip_w, self.sip_h)

    def io_die(self, at: Position) -> Rect:
        whole = self.dies(at)
        return Rect(whole.x, whole.y, whole.width, self.io_depth)

    def die(self, at: Position) -> Rect:
        """A cube's die, from the place of its northern port."""
        port = self.graph.node_of(at, "ucie_n")
        return Rect(port.x_mm - self.cube_w / 2, port.y_mm, self.cube_w, self.cube_h)

    def links(self, kinds: Iterable[str], among: Callable[[Node], bool]) -> Iterator[tuple[Edge, Node, Node]]:
        """One edge of each pair between nodes that ``among`` accepts; the slower one, if they differ."""
        nodes = self.graph.nodes
        for edge in self.graph.edges:
            src, dst = nodes[edge.src], nodes[edge.dst]
            if edge.kind in kinds and edge.src < edge.dst and among(src) and among(dst):
                back = self.graph.edge(edge.dst, edge.src)
                yield (back if _rate(back) < _rate(edge) else edge), src, dst

    def is_special(self, edge: Edge) -> bool:
        """Whether a link differs in rate from most of its kind: an overridden one."""
        return _rate(edge) != self.usual[edge.kind]


def _system(graph: TopologyGraph, _: int) -> Sheet:
    plan, spec = _Sizes(graph), graph.spec
    sips = {at: plan.dies(at) for at in parts_of(graph.levels[:1])}
    gap = plan.sip_gap
    right = max(rect.x + rect.width for rect in sips.values())
    bottom = max(rect.y + rect.height for rect in sips.values())
    extent = Rect(-gap * 0.5, -gap * 0.3, right + gap, bottom + gap * 0.6)
    scale = max(min(1000 / extent.width, 1000 / extent.height), 44 / gap)
    sheet = Sheet(f"{spec.preset}: {size_in_words(graph.levels)}", extent, scale)
    for at, rect in sips.items():
        name = part_name(at)
        sheet.area(rect.grown(plan.gap), _FILL["package"], name=name)
        io = plan.io_die(at)
        sheet.area(io, _FILL["io"], name=f"{name} IO die")
        sheet.label(io.centre, f"{name}: IO die", size_px=13, within=io)
        for cube in range(graph.levels[1].count):
            _cube_summary(sheet, plan, (*at, cube))
    for edge, src, dst in plan.links(("d2d",), lambda _: True):
        _link(sheet, plan, edge, [(src.x_mm, src.y_mm), (dst.x_mm, dst.y_mm)], label="none")
    _draw_star(sheet, plan, "pcie", "host", lane=0.62, trunk=-gap * 0.42)
    if len(sips) > 1:
        _draw_star(sheet, plan, "sip_link", "sip_switch", lane=0.36, trunk=right + gap * 0.42)
    _explain(sheet, package="SIP (package)", io="IO die", die="cube (die)", host="symbol, not to scale")
    return sheet


def _draw_star(sheet: Sheet, plan: _Sizes, kind: str, centre: str, *, lane: float, trunk: float) -> None:
    """The links from ``centre`` to its port on each SIP: along a lane above each row of SIPs, then down."""
    gap, hub = plan.sip_gap, plan.graph.node(centre)
    for edge in plan.graph.out_edges(hub.index):
        port = plan.graph.nodes[edge.dst]
        y = port.y_mm - lane * gap
        points = [(hub.x_mm, hub.y_mm)]
        if port.y_mm > gap * 1.5:
            first = (1 - lane) * gap
            points += [(hub.x_mm, first), (trunk, first), (trunk, y)]
        else:
            points.append((hub.x_mm, y))
        _link(sheet, plan, edge, [*points, (port.x_mm, y), (port.x_mm, port.y_mm)], label="none")
        symbol = Rect.around(port.x_mm, port.y_mm, 10 / sheet.px_per_mm, 10 / sheet.px_per_mm)
        sheet.box(symbol, _LINK[kind][0], name=f"{port.name}: {gbps(_rate(edge))}")
    box = Rect.around(hub.x_mm, hub.y_mm, 92 / sheet.px_per_mm, 26 / sheet.px_per_mm)
    sheet.box(box, _FILL["host"], name=centre)
    sheet.label(box.centre, "host" if centre == "host" else "SIP switch", within=box)


def _cube_summary(sheet: Sheet, plan: _Sizes, at: Position, *, size_px: float = 12) -> None:
    spec, rect, name = plan.graph.spec.cube, plan.die(at), part_name(at)
    sheet.area(rect, _FILL["die"], name=name)
    hbm_rate = float(spec.hbm.channel_rate.fraction * spec.hbm.channels)
    x, y = rect.centre
    lines = (
        name.rpartition(".")[2],
        plural(plan.graph.levels[-1].count, "PE"),
        f"HBM {format_bytes(spec.hbm.capacity_bytes)}",
        f"{hbm_rate:g} GB/s",
    )
    for i, text in enumerate(lines):
        sheet.label((x, y), text, size_px=size_px, within=rect, shift_px=(0, (i - 1.5) * size_px * 1.4))


def _sip(graph: TopologyGraph, number: int) -> Sheet:
    plan, at = _Sizes(graph), graph.pes[number][:1]
    whole, name = plan.dies(at), part_name(at)
    extent = whole.grown(plan.gap)
    scale = max(min(1000 / extent.width, 1100 / extent.height), 84 / plan.io_depth)
    sheet = Sheet(f"{graph.spec.preset}: {name}", extent, scale)
    sheet.area(extent, _FILL["package"], name=name)
    io = plan.io_die(at)
    sheet.area(io, _FILL["die"], name=f"{name} IO die")
    for cube in range(graph.levels[1].count):
        _cube_texture(sheet, plan, (*at, cube))
    for edge, src, dst in plan.links(("d2d",), lambda node: node.at[:1] == at):
        _link(sheet, plan, edge, [(src.x_mm, src.y_mm), (dst.x_mm, dst.y_mm)], width_px=5, label="across")
    boxes = {node.index: _io_box(plan, io, node) for node in graph.nodes if node.at == at}
    for edge, src, dst in plan.links(("io",), lambda node: node.at[:1] == at):
        _link(sheet, plan, edge, [boxes[src.index].centre, boxes[dst.index].centre])
    for index, box in boxes.items():
        node = graph.nodes[index]
        sheet.box(box, _fill(node.kind), name=node.name)
        sheet.label(box.centre, _short(node), size_px=11, within=box)
    _explain(sheet, die="die", pe="PE", move="router", ucie="UCIe port")
    return sheet


def _cube_texture(sheet: Sheet, plan: _Sizes, at: Position) -> None:
    """A cube with its PEs and ports in place, and its name."""
    rect = plan.die(at)
    sheet.area(rect, _FILL["die"], name=part_name(at))
    for node in _nodes_of(plan.graph, at):
        if node.kind == "niu":
            block = _pe_block(plan, node)
            sheet.box(block, _FILL["pe"], name=str(plan.graph.pes[node.pe]), radius_px=2)
        elif node.kind == "router":
            small = Rect.around(node.x_mm, node.y_mm, 0.12 * plan.pitch, 0.12 * plan.pitch)
            sheet.box(small, _FILL["move"], name=node.name, radius_px=1)
        elif node.kind == "ucie":
            sheet.box(_port_bar(plan, node, rect, inside=True), _FILL["ucie"], name=node.name, radius_px=1)
    _name_cube(sheet, plan, at)


def _name_cube(sheet: Sheet, plan: _Sizes, at: Position) -> None:
    """The cube's name, between its first routers where it fits, else across its middle."""
    rect, text = plan.die(at), part_name(at).rpartition(".")[2]
    router = plan.graph.node_of(at, "r0_0")
    top, bottom = rect.y + 0.05 * plan.pitch, rect.y + PE_BLOCK[1] * plan.pitch
    left, right = router.x_mm + 0.06 * plan.pitch, router.x_mm + 0.94 * plan.pitch
    corridor = Rect(left, top, min(right, rect.x + rect.width) - left, bottom - top)
    for size_px in (16, 13, 11, 10):
        if sheet.label(corridor.centre, text, size_px=size_px, within=corridor):
            return
    sheet.label(rect.centre, text, size_px=16, on_ground=True)


def _cube(graph: TopologyGraph, number: int) -> Sheet:
    plan, at = _Sizes(graph), graph.pes[number][:-1]
    rect, name = plan.die(at), part_name(at)
    bar = 0.14 * plan.pitch
    sheet = Sheet(f"{graph.spec.preset}: {name}", rect.grown(bar), 170 / plan.pitch)
    sheet.area(rect, _FILL["die"], name=name)
    here = _nodes_of(graph, at)
    boxes: dict[int, Rect] = {}
    for node in here:
        if node.kind == "ucie":
            boxes[node.index] = _port_bar(plan, node, rect, inside=False)
        elif node.kind == "niu":
            boxes[node.index] = _pe_block(plan, node)
        elif node.pe < 0:
            boxes[node.index] = _beside(plan, node)
    for edge, src, dst in plan.links(("mesh", "port", "niu"), lambda node: node.index in boxes):
        _cube_link(sheet, plan, edge, boxes, src, dst)
    for node in here:
        if node.index not in boxes:
            continue
        box = boxes[node.index]
        is_pe = node.kind == "niu"
        name = str(graph.pes[node.pe]) if is_pe else node.name
        sheet.box(box, _FILL["pe"] if is_pe else _fill(node.kind), name=name)
        text = name.rpartition(".")[2]
        if node.kind == "ucie":
            text = f"UCIe {text[-1].upper()}: {_crossing(graph, node)}"
        sheet.label(
            box.centre,
            text,
            size_px=13 if is_pe else 10,
            within=box,
            turned=box.height > 3 * box.width,
        )
    _explain(sheet, pe="PE")
    for kind in ("router", "hbm_ctrl", "sram", "m_cpu", "ucie"):
        sheet.explain(_fill(kind), KINDS[kind].title)
    return sheet


def _cube_link(sheet: Sheet, plan: _Sizes, edge: Edge, boxes: dict[int, Rect], src: Node, dst: Node) -> None:
    """A link of a cube: straight between routers and to ports, from the router's corner to what sits beside it."""
    router, other = (src, dst) if src.kind == "router" else (dst, src)
    x, y = boxes[router.index].centre
    box = boxes[other.index]
    if other.kind == "router":
        end = box.centre
    elif other.kind == "ucie":
        end = (x, box.centre[1]) if box.width > box.height else (box.centre[0], y)
    elif other.kind == "niu":
        end = (box.x, box.y)
    else:
        end = (box.centre[0], box.y)
    _link(sheet, plan, edge, [(x, y), end], label="along" if other.kind == "router" else "none")


def _pe(graph: TopologyGraph, number: int) -> Sheet:
    plan, units = _Sizes(graph), graph.units_of(number)
    for described in (KINDS[unit.kind] for unit in units):
        described.refuse(described.mistakes_in_drawing())
    block = _pe_block(plan, units[0])
    sheet = Sheet(
        f"{graph.spec.preset}: {graph.pes[number]}", block.grown(0.06 * plan.pitch), 900 / block.width
    )
    sheet.area(block, _FILL["pe"], name=str(graph.pes[number]))
    width, height = 0.15 * block.width, 0.15 * block.height
    boxes = {unit.index: Rect.around(unit.x_mm, unit.y_mm, width, height) for unit in units}
    router = next(e for e in graph.out_edges(units[0].index) if e.kind == "niu")
    niu = boxes[units[0].index]
    _link(sheet, plan, router, [(block.x, niu.centre[1]), niu.centre], width_px=4, label="none")
    for unit in units:
        for edge in graph.out_edges(unit.index):
            if edge.rate is not None:
                continue
            is_mutual = any(back.dst == edge.src for back in graph.out_edges(edge.dst))
            if is_mutual and edge.src > edge.dst:
                continue
            ends = _trimmed(boxes[edge.src], boxes[edge.dst])
            name = f"{unit.kind} to {graph.nodes[edge.dst].kind}"
            sheet.link(ends, _INSIDE, heads="both" if is_mutual else "end", name=name)
    for unit in units:
        box = boxes[unit.index]
        sheet.box(box, _fill(unit.kind), name=unit.name)
        lines = (unit.kind.upper(), *KINDS[unit.kind].figures(unit.spec, unit.pe_spec))
        x, y = box.centre
        for i, text in enumerate(lines):
            size = 13 if i == 0 else 12
            shift = (i - (len(lines) - 1) / 2) * 17
            sheet.label((x, y), text, size_px=size, within=box, shift_px=(0, shift))
    _explain(sheet, control="control", move="moves data", store="holds data", compute="computes")
    sheet.explain(_INSIDE, "hands on commands and tiles", line=True)
    return sheet


def _explain(sheet: Sheet, **texts: str) -> None:
    """Entries of the legend: what the colours of ``_FILL`` with these names mean."""
    for name, text in texts.items():
        sheet.explain(_FILL[name], text)


def _fill(kind: str) -> str:
    """The colour of what a kind of node does."""
    return _FILL[KINDS[kind].role]


def _link(
    sheet: Sheet,
    plan: _Sizes,
    edge: Edge,
    points: list[tuple[float, float]],
    *,
    width_px: float = 1.6,
    label: Literal["along", "across", "none"] = "along",
) -> None:
    """Draw a link with its rate, if there is room, and explain it; one that was overridden stands out."""
    nodes = plan.graph.nodes
    rate = _rate(edge)
    usual, what = _LINK[edge.kind]
    colour = _SPECIAL if plan.is_special(edge) else usual
    name = f"{nodes[edge.src].name} - {nodes[edge.dst].name}: {gbps(rate)}"
    sheet.link(points, colour, width_px=width_px, name=name)
    if plan.is_special(edge):
        sheet.explain(colour, "a link that is overridden", line=True)
    else:
        sheet.explain(colour, f"{what}: {gbps(rate)}", line=True)
    if label != "none":
        (x0, y0), (x1, y1) = points[-2:]
        if label == "across" and hypot(x1 - x0, y1 - y0) * sheet.px_per_mm < _LEAST_CROSSED_PX:
            return  # the label would hide the link
        is_upright = abs(y1 - y0) > abs(x1 - x0)
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        sheet.link_label([middle], gbps(rate), colour, turned=is_upright == (label == "along"))


def _crossing(graph: TopologyGraph, port: Node) -> str:
    """The rate of a UCIe port's link to the next die."""
    return next((gbps(_rate(e)) for e in graph.out_edges(port.index) if e.kind == "d2d"), "not joined")


def _io_box(plan: _Sizes, io: Rect, node: Node) -> Rect:
    """A unit of the IO die; what sits on its edge is moved inside."""
    width = (0.16 if node.kind == "io_noc" else 0.13) * plan.sip_w
    height = 0.26 * plan.io_depth
    y = min(max(node.y_mm, io.y + height / 2), io.y + io.height - height / 2)
    return Rect.around(node.x_mm, y, width, height)


def _beside(plan: _Sizes, node: Node) -> Rect:
    """A router or a unit beside one."""
    size = KINDS[node.kind].size
    assert size is not None, node.kind
    width, height = size
    if node.kind == "hbm_ctrl" and node.spec.channels > plan.graph.levels[-1].count:
        width = 0.1
    return Rect.around(node.x_mm, node.y_mm, width * plan.pitch, height * plan.pitch)


def _pe_block(plan: _Sizes, niu: Node) -> Rect:
    """The area of the PE that ``niu`` belongs to."""
    left, top, right, bottom = PE_BLOCK
    width, height = (right - left) * plan.pitch, (bottom - top) * plan.pitch
    dx, dy = place_of("niu")
    return Rect(niu.x_mm - dx * width, niu.y_mm - dy * height, width, height)


def _port_bar(plan: _Sizes, port: Node, cube: Rect, *, inside: bool) -> Rect:
    """The bar of a UCIe port along its edge of the die."""
    thick = (0.05 if inside else 0.12) * plan.pitch
    along_x = abs(port.x_mm - cube.centre[0]) < abs(port.y_mm - cube.centre[1])
    width, height = (cube.width * 0.98, thick) if along_x else (thick, cube.height * 0.98)
    outward = -thick / 2 if inside else thick / 2
    x, y = port.x_mm, port.y_mm
    if along_x:
        y += outward if y > cube.centre[1] else -outward
    else:
        x += outward if x > cube.centre[0] else -outward
    return Rect.around(x, y, width, height)


def _trimmed(a: Rect, b: Rect) -> list[tuple[float, float]]:
    """The line between the centres of two boxes, from edge to edge."""
    return [_exit(a, b.centre), _exit(b, a.centre)]


def _exit(box: Rect, towards: tuple[float, float]) -> tuple[float, float]:
    x, y = box.centre
    dx, dy = towards[0] - x, towards[1] - y
    share = min(
        box.width / 2 / abs(dx) if dx else float("inf"), box.height / 2 / abs(dy) if dy else float("inf")
    )
    return x + dx * share, y + dy * share


def _nodes_of(graph: TopologyGraph, at: Position) -> list[Node]:
    """The nodes of the part at ``at``, and of all below it."""
    return [node for node in graph.nodes if node.at[: len(at)] == at]


def _short(node: Node) -> str:
    return node.name.rpartition(".")[2]


def _usual_rates(graph: TopologyGraph) -> dict[str, float]:
    """The rate most links of a kind have."""
    rates: dict[str, Counter[float]] = {}
    for edge in graph.edges:
        if edge.rate is not None:
            rates.setdefault(edge.kind, Counter())[_rate(edge)] += 1
    return {kind: counts.most_common(1)[0][0] for kind, counts in rates.items()}


def _rate(edge: Edge) -> float:
    assert edge.rate is not None
    return float(edge.rate)


_VIEWS: dict[str, Callable[[TopologyGraph, int], Sheet]] = {
    "system": _system,
    "sip": _sip,
    "cube": _cube,
    "pe": _pe,
}
