"""A sheet puts no label on another label, a box or another link, as long as there is a place for it."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.reports.svg import Rect, Sheet, _crosses

SVG = "{http://www.w3.org/2000/svg}"


def sheet_with(*links):
    """A sheet of 100 x 100 px with links, each labelled at its middle or, if that is not free, nearer to its end."""
    sheet = Sheet("links", Rect(0, 0, 100, 100), 1)
    for name, points in links:
        sheet.link(points, "red", heads="end")
        (ax, ay), (bx, by) = points
        places = [(ax + (bx - ax) * share, ay + (by - ay) * share) for share in (0.5, 0.6, 0.7, 0.8)]
        sheet.link_label(places, name, "red", turned=False)
    return ET.fromstring(sheet.svg())


def places_of(root):
    """Where the labels of links are."""
    found = (text for text in root.iter(f"{SVG}text") if text.get("font-size") == "10")
    return {text.text: (float(text.get("x")) - 48, float(text.get("y")) - 96) for text in found}


def test_a_label_is_at_the_middle_of_its_link():
    assert places_of(sheet_with(("a", [(0, 20), (100, 20)]))) == {"a": (50, 20)}


def test_a_label_moves_along_its_link_from_where_another_one_passes():
    root = sheet_with(("a", [(0, 50), (100, 50)]), ("b", [(50, 0), (50, 100)]))
    assert places_of(root) == {
        "a": (60, 50),
        "b": (50, 70),
    }  # higher than wide, with room for an arrow's head


def test_a_label_stays_where_every_place_is_crossed_once():
    root = sheet_with(("a", [(0, 50), (100, 50)]), *((f"b{x}", [(x, 0), (x, 48)]) for x in (50, 60, 70, 80)))
    assert places_of(root)["a"] == (50, 50)


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ([(0, 0), (10, 10)], True),
        ([(0, 5), (10, 5)], True),
        ([(5, 0), (5, 3)], False),  # ends before it
        ([(0, 4), (10, 4)], False),  # along its border
        ([(0, 10), (0, 0), (10, 0)], False),  # round it
        ([(5, 5), (5.5, 5.5)], True),  # within
    ],
)
def test_whether_a_line_passes_through_a_rectangle(line, passes):
    assert _crosses(Rect(4, 4, 2, 2), line) is passes


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=2, unique=True))
def test_a_line_passes_where_one_of_its_points_is_inside(line):
    (ax, ay), (bx, by) = line
    inside = any(8 < ax + (bx - ax) * i / 500 < 12 and 8 < ay + (by - ay) * i / 500 < 12 for i in range(501))
    assert _crosses(Rect(8, 8, 4, 4), line) or not inside
