"""Meters become rows of a window, and bytes become sums per level, each byte counted where it crossed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernbench.analysis.summary import LEVELS, Translations, UnitReading, UnitUse, level_bytes, unit_uses
from kernbench.config.load import load_config
from kernbench.topology.graph import Edge, Node, TopologyGraph
from kernbench.topology.ids import PeId

GEMM = "sip0.cube0.pe0.pe_gemm"


def test_a_row_says_what_happened_since_the_window_began():
    before = [UnitReading(GEMM, "pe_gemm", 100, {"downstream": 10, "operands": 5}, 1000)]
    after = [UnitReading(GEMM, "pe_gemm", 400, {"downstream": 60, "operands": 5}, 5000)]
    (use,) = unit_uses(before, after, window_ps=1200)
    assert use == UnitUse(
        node=GEMM, kind="pe_gemm", window_ps=1200, busy_ps=300, stalls={"downstream": 50}, size_bytes=4000
    )
    assert (use.stalled_ps, use.idle_ps, use.utilisation) == (50, 850, 0.25)


def test_a_unit_that_was_not_read_before_began_at_zero():
    (use,) = unit_uses([], [UnitReading(GEMM, "pe_gemm", 30, {"downstream": 10}, 64)], window_ps=40)
    assert (use.busy_ps, use.stalled_ps, use.idle_ps, use.size_bytes) == (30, 10, 0, 64)


def test_rows_keep_the_order_of_the_readings():
    readings = [UnitReading(name, "pe_math", 0, {}, 0) for name in ("b", "c", "a")]
    assert [use.node for use in unit_uses(reversed(readings), readings, 10)] == ["b", "c", "a"]


def test_in_an_empty_window_nothing_is_used():
    (use,) = unit_uses([], [UnitReading(GEMM, "pe_gemm", 0, {}, 0)], window_ps=0)
    assert use.utilisation == 0.0


@given(
    st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
    st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
)
def test_windows_one_after_the_other_add_up_to_the_whole(first, second):
    def reading(busy_ps, stalled_ps, size_bytes):
        return [UnitReading(GEMM, "pe_gemm", busy_ps, {"downstream": stalled_ps}, size_bytes)]

    at_first = reading(*first)
    at_end = reading(*(a + b for a, b in zip(first, second, strict=True)))
    (one,), (two,) = unit_uses([], at_first, 1), unit_uses(at_first, at_end, 1)
    (whole,) = unit_uses([], at_end, 2)
    for counted in ("busy_ps", "stalled_ps", "size_bytes"):
        assert getattr(one, counted) + getattr(two, counted) == getattr(whole, counted)


def test_translations_of_a_window_are_what_was_counted_since_it_began():
    before, after = Translations(hits=10, misses=3, walks=2), Translations(hits=15, misses=7, walks=3)
    assert after - before == Translations(hits=5, misses=4, walks=1)
    assert after - Translations() == after


# --- levels ---

KINDS = (
    "host",
    "pcie_ep",
    "sip_port",
    "sip_switch",
    "io_ucie",
    "ucie",
    "router",
    "router",
    "hbm_ctrl",
    "sram",
    "niu",
)
HOST, PCIE_EP, SIP_PORT, SWITCH, IO_UCIE, UCIE, ROUTER, NEXT, HBM, SRAM, NIU = range(len(KINDS))
WAYS = {
    "pcie down": (HOST, PCIE_EP, "pcie"),
    "pcie up": (PCIE_EP, HOST, "pcie"),
    "into the switch": (SIP_PORT, SWITCH, "sip_link"),
    "out of the switch": (SWITCH, SIP_PORT, "sip_link"),
    "d2d": (IO_UCIE, UCIE, "d2d"),
    "mesh": (ROUTER, NEXT, "mesh"),
    "niu": (NIU, ROUTER, "niu"),
    "port": (ROUTER, HBM, "port"),
}
GRAPH = TopologyGraph(
    load_config("tiny").topology,
    [Node(i, f"n{i}", kind, None, 0, 0, pe=0 if kind == "niu" else -1) for i, kind in enumerate(KINDS)],
    [Edge(i, src, dst, kind) for i, (src, dst, kind) in enumerate(WAYS.values())],
    [PeId(0, 0, 0)],
)
LINK = {name: i for i, name in enumerate(WAYS)}


@pytest.mark.parametrize(
    ("way", "level"),
    [
        ("pcie down", "pcie"),
        ("pcie up", "pcie"),
        ("into the switch", "pcie"),
        ("out of the switch", None),  # the same bytes a second time
        ("d2d", "ucie"),
        ("mesh", "noc"),
        ("niu", None),
        ("port", None),
    ],
)
def test_a_byte_on_a_link_counts_for_its_level(way, level):
    expected = {name: 7 if name == level else 0 for name in LEVELS}
    assert level_bytes(GRAPH, {LINK[way]: 7}, {}, 0) == expected


def test_of_the_memories_hbm_counts_and_sram_does_not():
    assert level_bytes(GRAPH, {}, {HBM: 4096, SRAM: 64}, 0)["hbm"] == 4096


def test_tcm_is_what_passed_its_ports():
    assert level_bytes(GRAPH, {}, {}, 12)["tcm"] == 12


def test_a_level_is_the_sum_of_its_links():
    links = {LINK["pcie down"]: 1, LINK["pcie up"]: 10, LINK["into the switch"]: 100}
    assert level_bytes(GRAPH, links, {}, 0) == {"hbm": 0, "noc": 0, "ucie": 0, "pcie": 111, "tcm": 0}
