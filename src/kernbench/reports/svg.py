"""A sheet of paper for drawings to scale: boxes and links in mm, labels in pixels, written as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, log10
from xml.etree import ElementTree as ET

INK, PAPER = "#1d2733", "#ffffff"
FONT = "Helvetica, Arial, sans-serif"
_CHAR_WIDTH = 0.6
_LINE_HEIGHT = 1.2
_MARGIN_PX = 48
_LINK_LABEL_PX = 10
_HEAD_PX = 6  # half of an arrow's head


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle by its north-west corner, in whatever unit its maker uses."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> Rect:
        """The rectangle with centre ``(x, y)``."""
        return cls(x - width / 2, y - height / 2, width, height)

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box."""
        return self.x + self.width / 2, self.y + self.height / 2

    def grown(self, by: float) -> Rect:
        """Larger by ``by`` on each side."""
        return Rect(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)

    def overlaps(self, other: Rect) -> bool:
        """Whether the two share an area."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


def text_size(text: str, size_px: float) -> tuple[float, float]:
    """Width and height of a line of text, estimated to the safe side."""
    return len(text) * size_px * _CHAR_WIDTH, size_px * _LINE_HEIGHT


def _place(at: tuple[float, float], text: str, size_px: float, turned: bool) -> Rect:
    """Where a label centred at ``at`` lies, in pixels."""
    width, height = text_size(text, size_px)
    return Rect.around(*at, *((height, width) if turned else (width, height)))


def _around(line: Sequence[tuple[float, float]]) -> Rect:
    """The least rectangle that holds a line, which may have no width."""
    left, top = (min(point[axis] for point in line) for axis in (0, 1))
    right, bottom = (max(point[axis] for point in line) for axis in (0, 1))
    return Rect(left, top, right - left, bottom - top).grown(0.1)


def _crosses(room: Rect, line: Sequence[tuple[float, float]]) -> bool:
    """Whether a line of straight pieces passes through ``room``: each is clipped to it (Liang and Barsky, 1984)."""
    for (x0, y0), (x1, y1) in pairwise(line):
        first, last = 0.0, 1.0
        for start, way, low, size in ((x0, x1 - x0, room.x, room.width), (y0, y1 - y0, room.y, room.height)):
            if way:
                ends = sorted(((low - start) / way, (low + size - start) / way))
                first, last = max(first, ends[0]), min(last, ends[1])
            elif not low < start < low + size:
                first = 2.0
        if first < last:
            return True
    return False


class Sheet:
    """Draws what lies in ``extent`` (mm) at ``px_per_mm``: areas, on them links, on them boxes, and labels on top.

    No label is put on another one, and a link's label on no box either: one that finds no room is left out, as
    the legend repeats it.
    """

    def __init__(self, title: str, extent: Rect, px_per_mm: float) -> None:
        self.title = title
        self.extent = extent
        self.px_per_mm = px_per_mm
        self._areas: list[ET.Element] = []
        self._links: list[ET.Element] = []
        self._boxes: list[ET.Element] = []
        self._labels: list[ET.Element] = []
        self._taken: list[Rect] = []
        self._solid: list[Rect] = []
        self._lines: list[list[tuple[float, float]]] = []
        self._link_labels: list[tuple[list[tuple[float, float]], str, bool, str, int]] = []
        self._legend: list[tuple[str, str, bool]] = []

    def px(self, x_mm: float, y_mm: float) -> tuple[float, float]:
        """A place on the sheet."""
        top = 2 * _MARGIN_PX
        return (
            _MARGIN_PX + (x_mm - self.extent.x) * self.px_per_mm,
            top + (y_mm - self.extent.y) * self.px_per_mm,
        )

    def area(self, rect: Rect, fill: str, *, name: str = "") -> None:
        """A filled ground, in mm, on which links and boxes lie."""
        self._areas.append(self._rectangle(rect, fill, name, 3))

    def box(self, rect: Rect, fill: str, *, name: str = "", radius_px: float = 3) -> None:
        """A filled box, in mm; ``name`` is its tooltip."""
        self._boxes.append(self._rectangle(rect, fill, name, radius_px))
        x, y = self.px(rect.x, rect.y)
        self._solid.append(Rect(x, y, rect.width * self.px_per_mm, rect.height * self.px_per_mm))

    def _rectangle(self, rect: Rect, fill: str, name: str, radius_px: float) -> ET.Element:
        x, y = self.px(rect.x, rect.y)
        width, height = rect.width * self.px_per_mm, rect.height * self.px_per_mm
        style = {"fill": fill, "stroke": INK, "stroke_width": "0.8"}
        return _named(_element("rect", x=x, y=y, width=width, height=height, rx=radius_px, **style), name)

    def link(
        self,
        points: list[tuple[float, float]],
        colour: str,
        *,
        width_px: float = 1.6,
        heads: str = "",
        name: str = "",
    ) -> None:
        """A line through ``points`` (mm); ``heads`` names its ends with an arrow: "", "end" or "both"."""
        line = [self.px(*point) for point in points]
        self._lines.append(line)
        points_px = " ".join(f"{_text(x)},{_text(y)}" for x, y in line)
        element = _element("polyline", points=points_px, fill="none", stroke=colour, stroke_width=width_px)
        if heads:
            element.set("marker-end", "url(#arrow)")
        if heads == "both":
            element.set("marker-start", "url(#arrow)")
        self._links.append(_named(element, name))

    def label(
        self,
        at: tuple[float, float],
        text: str,
        *,
        size_px: float = 12,
        within: Rect | None = None,
        turned: bool = False,
        shift_px: tuple[float, float] = (0, 0),
        on_ground: bool = False,
    ) -> bool:
        """Centre ``text`` at a place (mm) if it fits ``within`` (mm) and meets no other label; False if it does not.

        ``on_ground`` puts a plate under it, for a label that lies on a pattern.
        """
        x, y = self.px(*at)
        place = _place((x + shift_px[0], y + shift_px[1]), text, size_px, turned)
        if within is not None:
            room = within.width * self.px_per_mm, within.height * self.px_per_mm
            if place.width > room[0] or place.height > room[1]:
                return False
        if any(place.overlaps(other) for other in self._taken):
            return False
        self._put(place, text, size_px, INK, turned, on_ground)
        return True

    def link_label(
        self, places: Sequence[tuple[float, float]], text: str, colour: str, *, turned: bool
    ) -> None:
        """A label of the link that was drawn last, at one of ``places``: the first that crosses the fewest other links.

        Whether there is room for it is seen when everything else is drawn.
        """
        at = [self.px(*place) for place in places]
        self._link_labels.append((at, text, turned, colour, len(self._lines) - 1))

    def _put(
        self, place: Rect, text: str, size_px: float, colour: str, turned: bool, on_ground: bool
    ) -> None:
        self._taken.append(place)
        if on_ground:
            at = {"x": place.x, "y": place.y, "width": place.width, "height": place.height}
            ground = _element("rect", **at, fill=PAPER, fill_opacity="0.85")
            self._labels.append(ground)
        self._labels.append(_text_element(place.centre, text, size_px, colour, "middle", turned))

    def _put_link_labels(self) -> None:
        bounds = [_around(line) for line in self._lines]
        for places, text, turned, colour, own in self._link_labels:
            best, fewest = None, len(self._lines)
            for at in places:
                room = _place(at, text, _LINK_LABEL_PX, turned)
                if any(room.overlaps(other) for other in (*self._taken, *self._solid)):
                    continue
                wider = room.grown(_HEAD_PX)
                near = (i for i, bound in enumerate(bounds) if i != own and bound.overlaps(wider))
                n_crossed = sum(_crosses(wider, self._lines[i]) for i in near)
                if n_crossed < fewest:
                    best, fewest = room, n_crossed
                if n_crossed == 0:
                    break
            if best is not None:
                self._put(best, text, _LINK_LABEL_PX, colour, turned, True)
        self._link_labels.clear()

    def explain(self, colour: str, text: str, *, line: bool = False) -> None:
        """Add an entry to the legend: what a colour of a box, or of a ``line``, means."""
        if (colour, text, line) not in self._legend:
            self._legend.append((colour, text, line))

    def svg(self) -> str:
        """The drawing with title, legend and scale bar."""
        self._put_link_labels()
        width = self.extent.width * self.px_per_mm + 2 * _MARGIN_PX
        bottom = 2 * _MARGIN_PX + self.extent.height * self.px_per_mm
        width = max(width, text_size(self.title, 18)[0] + 2 * _MARGIN_PX, 480.0)
        entries, legend_bottom = self._legend_elements(width, bottom + _MARGIN_PX)
        height = legend_bottom + _MARGIN_PX / 2
        view, xmlns = f"0 0 {_text(width)} {_text(height)}", "http://www.w3.org/2000/svg"
        root = _element("svg", xmlns=xmlns, width=width, height=height, viewBox=view, font_family=FONT)
        ET.SubElement(root, "title").text = self.title
        root.append(_arrow())
        ET.SubElement(root, "rect", width="100%", height="100%", fill=PAPER)
        root.append(_text_element((_MARGIN_PX, _MARGIN_PX * 0.75), self.title, 18, INK, "start", False))
        for elements in (self._areas, self._links, self._boxes, self._labels, entries):
            root.extend(elements)
        ET.indent(root)
        return ET.tostring(root, encoding="unicode") + "\n"

    def _legend_elements(self, width: float, top: float) -> tuple[list[ET.Element], float]:
        """Scale bar and legend entries, in rows; and where they end."""
        length_mm = _round_length(90 / self.px_per_mm)
        bar = length_mm * self.px_per_mm
        elements = [
            ET.Element(
                "path", d=f"M{_MARGIN_PX} {top - 5}v10m0 -5h{_text(bar)}m0 -5v10", stroke=INK, fill="none"
            ),
            _text_element((_MARGIN_PX + bar + 8, top), f"{length_mm:g} mm", 12, INK, "start", False),
        ]
        x, y = _MARGIN_PX + bar + 90, top
        for colour, text, is_line in self._legend:
            needed = 26 + text_size(text, 12)[0] + 18
            if x + needed > width - _MARGIN_PX / 2 and x > _MARGIN_PX:
                x, y = _MARGIN_PX, y + 22
            if is_line:
                swatch = _element(
                    "path", d=f"M{_text(x)} {_text(y)}h18", stroke=colour, fill="none", stroke_width="3"
                )
            else:
                swatch = _element("rect", x=x, y=y - 7, width="18", height="14", fill=colour, stroke=INK)
            elements += [swatch, _text_element((x + 26, y), text, 12, INK, "start", False)]
            x += needed
        return elements, y + 12


def _text_element(
    at: tuple[float, float], text: str, size_px: float, colour: str, anchor: str, turned: bool
) -> ET.Element:
    """One line of text, the middle of its capitals at the height of ``at``.

    By an offset and not by ``dominant-baseline``, which every renderer takes for another height.
    """
    x, y = _text(at[0]), _text(at[1])
    element = _element("text", x=x, y=y, fill=colour, font_size=size_px, text_anchor=anchor, dy=".36em")
    if turned:
        element.set("transform", f"rotate(-90 {x} {y})")
    element.text = text
    return element


def _element(tag: str, **attributes: str | float) -> ET.Element:
    """An element; ``stroke_width`` becomes ``stroke-width``, and a number its text."""
    texts = {name.replace("_", "-"): x if isinstance(x, str) else _text(x) for name, x in attributes.items()}
    return ET.Element(tag, texts)


def _named(element: ET.Element, name: str) -> ET.Element:
    """``element`` with a tooltip, if it has a ``name``."""
    if name:
        ET.SubElement(element, "title").text = name
    return element


def _arrow() -> ET.Element:
    defs = ET.Element("defs")
    size = {"viewBox": "0 0 8 8", "refX": "8", "refY": "4", "markerWidth": "7", "markerHeight": "7"}
    marker = _element("marker", id="arrow", **size, orient="auto-start-reverse")
    defs.append(marker)
    ET.SubElement(marker, "path", d="M0 0L8 4L0 8z", fill=INK)
    return defs


def _round_length(length_mm: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten, not below ``length_mm``."""
    scale = 10.0 ** floor(log10(length_mm))
    return next(step * scale for step in (1, 2, 5, 10) if step * scale >= length_mm * 0.999)


def _text(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
