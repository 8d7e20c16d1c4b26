"""A picture of ranks: which PE sends to which in an algorithm, and over how many hops, to scale on the mesh, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Annotated

from kernbench.records import named
from kernbench.reports.svg import Rect, Sheet
from kernbench.topology.graph import Node, TopologyGraph
from kernbench.topology.ids import Position, part_name

PACKAGE, DIE, RANK, OTHER = "#f4f6f8", "#e9eef4", "#fdf1cf", "#dfe5ec"
COLOURS = (
    (1, "#4c78a8", "1 hop: a link between routers"),
    (3, "#b08900", "2 or 3 hops"),
    (10**9, "#b0413e", "more hops"),
)
LEAST_PX = 26  # between two PEs: what a rank's number takes
MOST_PX = 90
BOX = 0.36  # of the way between two PEs
N_POINTS = 24
MOST_AVOIDED = 256  # ranks beyond which an edge looks for no better way

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RankEdge:
    """Rank ``src`` sends to rank ``dst``, over ``hops`` links between routers; ``is_mutual``: and the other way too."""

    src: Annotated[int, named("from")]
    dst: Annotated[int, named("to")]
    hops: int
    is_mutual: bool


def draw_ranks(graph: TopologyGraph, title: str, pes: Sequence[int], edges: Sequence[RankEdge]) -> str:
    """The SVG of ``edges`` between ranks; ``pes[r]`` is the PE of rank r.

    PEs are drawn at their routers, of cubes with ranks. Edges of one hop are straight; longer ones bend, so that they
    pass beside the ranks between. The number on an edge is that of its hops.
    """
    spec, pitch = graph.spec, float(graph.spec.geometry.router_pitch_mm)
    cubes = sorted({graph.pes[pe][:-1] for pe in pes})
    sips = sorted({cube[:1] for cube in cubes})
    dies = {cube: _die(graph, cube, pitch) for cube in cubes}
    gap = float(spec.geometry.die_gap_mm)
    packages = {sip: _around([rect for at, rect in dies.items() if at[:1] == sip]).grown(gap) for sip in sips}
    extent = _around(list(packages.values())).grown(pitch / 4)
    scale = max(LEAST_PX, min(MOST_PX, 1000 * pitch / extent.width)) / pitch
    sheet = Sheet(title, extent, scale)
    for sip, rect in packages.items():
        sheet.area(rect, PACKAGE, name=part_name(sip))
    for cube, rect in dies.items():
        sheet.area(rect, DIE, name=part_name(cube))
    rank_of = {pe: rank for rank, pe in enumerate(pes)}
    boxes: dict[int, Rect] = {}
    for pe in range(graph.n_pes):
        if graph.pes[pe][:-1] not in dies:
            continue
        at = _router(graph, pe)
        size = (BOX if pe in rank_of else BOX / 3) * pitch
        rect = Rect.around(at.x_mm, at.y_mm, size, size)
        name = f"{graph.pes[pe]}: rank {rank_of[pe]}" if pe in rank_of else str(graph.pes[pe])
        sheet.box(rect, RANK if pe in rank_of else OTHER, name=name)
        if pe in rank_of:
            boxes[rank_of[pe]] = rect
            for size_px in (13, 11, 9):
                if sheet.label(rect.centre, str(rank_of[pe]), size_px=size_px, within=rect):
                    break
    for edge in edges:
        _draw(sheet, edge, boxes, pitch)
    sheet.explain(RANK, "rank")
    if len(rank_of) < len(dies) * graph.levels[-1].count:
        sheet.explain(OTHER, "PE without a rank")
    for _, colour, text in COLOURS:
        if any(_look(edge) == (colour, text) for edge in edges):
            sheet.explain(colour, text, line=True)
    return sheet.svg()


def _look(edge: RankEdge) -> tuple[str, str]:
    return next((colour, text) for most, colour, text in COLOURS if edge.hops <= most)


def _draw(sheet: Sheet, edge: RankEdge, boxes: Mapping[int, Rect], pitch: float) -> None:
    colour, _ = _look(edge)
    points = _way(edge, boxes, pitch)
    arrow = " <-> " if edge.is_mutual else " -> "
    name = f"rank {edge.src}{arrow}{edge.dst}: {edge.hops} {'hop' if edge.hops == 1 else 'hops'}"
    sheet.link(points, colour, width_px=1.8, heads="both" if edge.is_mutual else "end", name=name)
    middle = len(points) // 2
    nearest_first = sorted(range(len(points)), key=lambda i: abs(i - middle))
    places = [points[i] for i in nearest_first[: max(1, 2 * len(points) // 3)]]
    sheet.link_label(places, str(edge.hops), colour, turned=False)


def _way(edge: RankEdge, boxes: Mapping[int, Rect], pitch: float) -> list[Point]:
    """Straight, or bent to where it meets the fewest boxes of other ranks: to the right of its direction, if it can."""
    here, there = boxes[edge.src], boxes[edge.dst]
    if edge.hops <= 1:
        return _outside(_curve(here.centre, there.centre, 0.0), here, there)
    others = [box for rank, box in boxes.items() if rank not in (edge.src, edge.dst)]
    length = hypot(there.x - here.x, there.y - here.y)
    aside = 0.22 * pitch + 0.04 * length
    curves = [
        _outside(_curve(here.centre, there.centre, 2 * factor * aside / length), here, there)
        for factor in ((1, -1, 0.5, 1.6, -1.6) if len(others) <= MOST_AVOIDED else (1,))
    ]
    return min(curves, key=lambda points: sum(any(_holds(box, point) for point in points) for box in others))


def _curve(a: Point, b: Point, bend: float) -> list[Point]:
    """A quadratic curve from ``a`` to ``b``, up to ``bend`` / 2 of its length to the right of the straight way."""
    (ax, ay), (bx, by) = a, b
    mid = ((ax + bx) / 2 - (by - ay) * bend, (ay + by) / 2 + (bx - ax) * bend)
    points = []
    for i in range(N_POINTS + 1):
        t = i / N_POINTS
        weights = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
        points.append(tuple(sum(w * p[k] for w, p in zip(weights, (a, mid, b), strict=True)) for k in (0, 1)))
    return [(x, y) for x, y in points]


def _outside(points: list[Point], here: Rect, there: Rect) -> list[Point]:
    """The part of a curve between the borders of the boxes that it leads from and to."""
    first = next((i for i, point in enumerate(points) if not _holds(here, point)), 0)
    last = next(i for i in range(len(points) - 1, -1, -1) if i <= first or not _holds(there, points[i]))
    if last <= first:
        return [points[0], points[-1]]
    start = _border(here, points[first - 1], points[first])
    end = _border(there, points[last + 1], points[last])
    return [start, *points[first : last + 1], end]


def _holds(rect: Rect, point: Point) -> bool:
    return rect.x <= point[0] <= rect.x + rect.width and rect.y <= point[1] <= rect.y + rect.height


def _border(rect: Rect, inside: Point, outside: Point) -> Point:
    """Where a straight line from ``inside`` to ``outside`` leaves ``rect``, by bisection to a hair's breadth."""
    while hypot(outside[0] - inside[0], outside[1] - inside[1]) > rect.width / 1000:
        middle = ((inside[0] + outside[0]) / 2, (inside[1] + outside[1]) / 2)
        inside, outside = (middle, outside) if _holds(rect, middle) else (inside, middle)
    return outside


def _router(graph: TopologyGraph, pe: int) -> Node:
    return next(
        graph.nodes[edge.dst]
        for edge in graph.out_edges(graph.niu_of(pe))
        if graph.nodes[edge.dst].kind == "router"
    )


def _die(graph: TopologyGraph, cube: Position, pitch: float) -> Rect:
    routers = [node for node in graph.of_kind("router") if node.at == cube]
    return _around([Rect.around(node.x_mm, node.y_mm, pitch, pitch) for node in routers])


def _around(rects: Sequence[Rect]) -> Rect:
    x, y = min(rect.x for rect in rects), min(rect.y for rect in rects)
    right, bottom = max(rect.x + rect.width for rect in rects), max(rect.y + rect.height for rect in rects)
    return Rect(x, y, right - x, bottom - y)
