"""Pictures are to scale, say every link's rate, and put no label on another."""

import math
import re
from functools import lru_cache
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest

from kernbench.config.load import load_config
from kernbench.errors import UnknownNameError, UsageError
from kernbench.reports.floorplan import draw
from kernbench.reports.svg import Rect, text_size
from kernbench.topology.builder import build_graph
from kernbench.topology.ids import PeId, part_name

PRESETS = ["tiny", "default", "big"]
VIEWS = ["system", "sip", "cube", "pe"]
SVG = "{http://www.w3.org/2000/svg}"


@lru_cache
def graph_of(name="default", *overrides):
    return build_graph(load_config(name, overrides).topology)


@lru_cache
def picture(name="default", view="system", *overrides):
    return ET.fromstring(draw(graph_of(name, *overrides), view))


def labels(root):
    """``(text, rectangle)`` of every label, in pixels."""
    found = []
    for element in root.iter(f"{SVG}text"):
        x, y, size = (float(element.get(key)) for key in ("x", "y", "font-size"))
        width, height = text_size(element.text, size)
        if element.get("transform"):
            width, height = height, width
        left = x if element.get("text-anchor") == "start" else x - width / 2
        found.append((element.text, Rect(left, y - height / 2, width, height)))
    return found


def boxes(root):
    """Rectangle by tooltip, in pixels."""
    found = {}
    for element in root.iter(f"{SVG}rect"):
        title = element.find(f"{SVG}title")
        if title is not None:
            found[title.text] = Rect(*(float(element.get(key)) for key in ("x", "y", "width", "height")))
    return found


def px_per_mm(root):
    """From the scale bar."""
    bar = next(e.get("d") for e in root.iter(f"{SVG}path") if "m0 -5h" in e.get("d"))
    length = next(text for text, _ in labels(root) if re.fullmatch(r"[\d.]+ mm", text))
    return float(re.search(r"m0 -5h([\d.]+)", bar)[1]) / float(length.split()[0])


EVERY = [(name, view) for name in PRESETS for view in VIEWS]


@pytest.mark.parametrize(("name", "view"), EVERY)
def test_no_label_lies_on_another(name, view):
    by_row = sorted(labels(picture(name, view)), key=lambda label: label[1].y)
    for (text, here), (other, there) in combinations(by_row, 2):
        if there.y > here.y + here.height:
            continue
        # written to a tenth of a pixel
        assert not here.grown(-0.1).overlaps(there.grown(-0.1)), (text, other)


@pytest.mark.parametrize("name", PRESETS)
def test_the_name_of_a_cube_hides_none_of_its_pes_and_routers(name):
    root = picture(name, "sip")
    things = [rect for title, rect in boxes(root).items() if ".pe" in title or ".r" in title]
    names = [rect for text, rect in labels(root) if re.fullmatch(r"cube\d+", text)]
    assert len(names) == graph_of(name).spec.sip.cubes.count
    for rect in names:
        assert not any(rect.grown(-0.1).overlaps(thing) for thing in things)


def test_a_link_shorter_than_its_label_goes_without():
    assert "248.3 GB/s" in [text for text, _ in labels(picture("default", "sip"))]
    texts = [text for text, _ in labels(picture("big", "sip"))]
    assert "496.6 GB/s" not in texts
    assert "UCIe: 496.6 GB/s" in texts  # the legend says it


@pytest.mark.parametrize(("name", "view"), EVERY)
def test_text_sits_at_the_height_of_its_place_in_every_renderer(name, view):
    for element in picture(name, view).iter(f"{SVG}text"):
        assert (element.get("dy"), element.get("dominant-baseline")) == (".36em", None)


@pytest.mark.parametrize(("name", "view"), EVERY)
def test_everything_lies_on_the_sheet(name, view):
    root = picture(name, view)
    _, _, width, height = (float(number) for number in root.get("viewBox").split())
    for _, rect in (*labels(root), *boxes(root).items()):
        assert rect.x >= 0
        assert rect.y >= 0
        assert rect.x + rect.width <= width
        assert rect.y + rect.height <= height


@pytest.mark.parametrize(("name", "view"), EVERY)
def test_text_is_dark_on_light_and_large_enough(name, view):
    for element in picture(name, view).iter(f"{SVG}text"):
        red, green, blue = (int(element.get("fill")[i : i + 2], 16) for i in (1, 3, 5))
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 140
        assert float(element.get("font-size")) >= 10


def test_a_picture_is_the_same_each_time():
    assert draw(graph_of(), "cube") == draw(graph_of(), "cube")


# -- to scale ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["system", "sip", "cube"])
def test_a_cube_is_as_large_as_its_routers_times_their_pitch(view):
    root = picture("default", view)
    cube = boxes(root)["sip0.cube0"]
    assert cube.width / px_per_mm(root) == pytest.approx(4 * 2.7, rel=0.01)
    assert cube.height / px_per_mm(root) == pytest.approx(4 * 2.7, rel=0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_routers_are_a_pitch_apart(name):
    root = picture(name, "cube")
    at = boxes(root)
    (ax, ay), (bx, by) = at["sip0.cube0.r0_0"].centre, at["sip0.cube0.r1_1"].centre
    assert ((bx - ax) / px_per_mm(root), (by - ay) / px_per_mm(root)) == pytest.approx((2.7, 2.7), rel=0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_the_units_of_a_pe_stand_where_the_graph_says(name):
    graph, root = graph_of(name), picture(name, "pe")
    at = boxes(root)
    a, b = graph.unit(0, "pe_cpu"), graph.unit(0, "pe_math")
    (ax, ay), (bx, by) = at[a.name].centre, at[b.name].centre
    drawn = math.hypot(bx - ax, by - ay) / px_per_mm(root)
    assert drawn == pytest.approx(math.hypot(b.x_mm - a.x_mm, b.y_mm - a.y_mm), rel=0.01)


# -- complete ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("tiny", "tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs"),
        ("default", "default: 2 SIPs x 4 cubes x 16 PEs = 128 PEs"),
        ("big", "big: 8 SIPs x 16 cubes x 64 PEs = 8192 PEs"),
    ],
)
def test_the_system_view_shows_every_die(name, title):
    graph, root = graph_of(name), picture(name, "system")
    assert root.find(f"{SVG}title").text == title
    cubes = {part_name(node.at) for node in graph.of_kind("m_cpu")}
    packages = {part_name(node.at) for node in graph.of_kind("io_noc")}
    assert boxes(root).keys() >= cubes | packages | {"host"}


@pytest.mark.parametrize("name", PRESETS)
def test_the_cube_view_shows_every_node_of_the_cube_and_every_pe(name):
    graph, root = graph_of(name), picture(name, "cube")
    here = {node.name for node in graph.nodes if node.at[:2] == (0, 0) and node.pe < 0}
    pes = {str(pe) for pe in graph.pes if pe[:2] == (0, 0)}
    assert boxes(root).keys() == here | pes | {"sip0.cube0"}


def test_every_link_of_a_cube_is_drawn_with_its_rate():
    graph, root = graph_of("default"), picture("default", "cube")
    drawn = [line.find(f"{SVG}title").text for line in root.iter(f"{SVG}polyline")]
    nodes = graph.nodes
    links = {
        f"{nodes[edge.src].name} - {nodes[edge.dst].name}: 64 GB/s"
        for edge in graph.edges
        if edge.kind in ("mesh", "port", "niu") and nodes[edge.src].at[:2] == (0, 0) and edge.src < edge.dst
    }
    assert set(drawn) == links
    assert [text for text, _ in labels(root)].count("64 GB/s") == 2 * 3 * 4  # each mesh link is labelled


def test_the_inner_edges_of_a_pe_are_arrows():
    root = picture("default", "pe")
    arrows = {
        line.find(f"{SVG}title").text: bool(line.get("marker-start"))
        for line in root.iter(f"{SVG}polyline")
        if line.get("marker-end")
    }
    assert arrows == {
        "niu to pe_dma": True,
        "niu to pe_cpu": True,
        "niu to pe_mmu": True,
        "niu to pe_ipcq": True,
        "pe_cpu to pe_scheduler": True,
        "pe_scheduler to pe_dma": True,
        "pe_scheduler to pe_fetch_store": True,
        "pe_scheduler to pe_ipcq": True,
        "pe_dma to pe_mmu": False,
        "pe_dma to pe_tcm": False,
        "pe_dma to pe_fetch_store": True,
        "pe_dma to pe_ipcq": True,
        "pe_fetch_store to pe_tcm": False,
        "pe_fetch_store to pe_gemm": True,
        "pe_fetch_store to pe_math": True,
        "pe_fetch_store to pe_ipcq": False,
        "pe_gemm to pe_scheduler": False,
        "pe_math to pe_scheduler": False,
    }


@pytest.mark.parametrize("name", PRESETS)
def test_no_arrow_of_a_pe_passes_under_a_unit_and_all_are_long_enough_to_see(name):
    root = picture(name, "pe")
    units = [rect for title, rect in boxes(root).items() if title.startswith("sip0.cube0.pe0.")]
    for line in root.iter(f"{SVG}polyline"):
        if line.get("marker-end"):
            (ax, ay), (bx, by) = (map(float, end.split(",")) for end in line.get("points").split())
            assert math.hypot(bx - ax, by - ay) > 40  # two heads of 12, and a line between
            for i in range(1, 100):
                x, y = ax + (bx - ax) * i / 100, ay + (by - ay) * i / 100
                assert not any(Rect.around(x, y, 1, 1).overlaps(unit.grown(-1)) for unit in units)


@pytest.mark.parametrize("name", PRESETS)
def test_every_unit_of_a_pe_says_its_name(name):
    graph, texts = graph_of(name), [text for text, _ in labels(picture(name, "pe"))]
    assert {unit.kind.upper() for unit in graph.units_of(0)} <= set(texts)


def test_pe_mmu_says_its_pages_its_tlb_and_its_hit():
    texts = [text for text, _ in labels(picture("default", "pe"))]
    assert {"PE_MMU", "pages of 2 MiB", "TLB of 64", "hit 1 ns"} <= set(texts)


def test_pe_ipcq_says_its_queues_and_the_slots_of_each():
    texts = [text for text, _ in labels(picture("default", "pe"))]
    assert {"PE_IPCQ", "4 queues", "8 x 4 KiB"} <= set(texts)
    texts = [text for text, _ in labels(picture("default", "pe", 'pe.ipcq.directions=["E", "W"]'))]
    assert "2 queues" in texts


@pytest.mark.parametrize(
    ("view", "entry"),
    [
        ("system", "PCIe, host to each SIP: 57.33 GB/s"),
        ("system", "SIP link, each SIP to the switch: 57.33 GB/s"),
        ("sip", "UCIe: 248.3 GB/s"),
        ("cube", "router to router: 64 GB/s"),
        ("pe", "router to PE: 64 GB/s"),
    ],
)
def test_the_legend_explains_each_kind_of_link(view, entry):
    assert entry in [text for text, _ in labels(picture("default", view))]


def test_a_link_that_was_overridden_stands_out():
    root = picture("default", "cube", "overrides.sip0.cube0.r0_0->sip0.cube0.r1_0.bw=6")
    texts = [text for text, _ in labels(root)]
    assert "a link that is overridden" in texts
    assert texts.count("6 GB/s") == 1


def test_a_port_without_neighbour_says_so():
    texts = [text for text, _ in labels(picture("default", "cube"))]
    assert {"UCIe N: 248.3 GB/s", "UCIe E: 248.3 GB/s", "UCIe W: not joined"} <= set(texts)


def test_another_part_can_be_drawn():
    root = ET.fromstring(draw(graph_of(), "cube", PeId(1, 2, 0)))
    assert root.find(f"{SVG}title").text == "default: sip1.cube2"


def test_what_is_not_there_cannot_be_drawn():
    with pytest.raises(UsageError) as caught:
        draw(graph_of(), "cubes")
    assert str(caught.value) == "unknown view 'cubes'; did you mean 'cube'? (known: cube, pe, sip, system)"
    with pytest.raises(UnknownNameError) as caught:
        draw(graph_of(), "sip", PeId(2, 0, 0))
    assert str(caught.value) == "unknown PE 'sip2.cube0.pe0'; there are 2 SIPs of 4 cubes of 16 PEs"
