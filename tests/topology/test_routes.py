"""Routes are deterministic, X first, by the own column to the IO die, and longer ways take longer."""

import random
from itertools import pairwise
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernbench.errors import UsageError
from kernbench.topology.routes import Routes
from kernbench.units import Rate

PRESETS = ["tiny", "default", "big"]


def names(routes, src, dst):
    graph = routes.graph
    return [node.name for node in routes.hops(graph.node(src).index, graph.node(dst).index)]


def end_points(graph):
    kinds = ("niu", "hbm_ctrl", "sram", "m_cpu", "io_cpu", "host")
    return [node.index for kind in kinds for node in graph.of_kind(kind)]


ROUTES = {
    "local": ("sip0.cube0.pe5.niu r1_1 hbm5", "sip0.cube0."),
    "same cube, X first": ("sip0.cube0.pe0.niu r0_0 r1_0 r2_0 r2_1 hbm6", "sip0.cube0."),
    "same cube, back": ("sip0.cube0.hbm6 r2_1 r1_1 r0_1 r0_0 pe0.niu", "sip0.cube0."),
    "to SRAM": ("sip0.cube0.pe1.niu r1_0 r0_0 sram0", "sip0.cube0."),
    "to M_CPU": ("sip0.cube0.pe1.niu r1_0 r0_0 m_cpu", "sip0.cube0."),
    "next cube, in its row": (
        "sip0.cube0.pe6.niu r2_1 r3_1 ucie_e cube1.ucie_w cube1.r0_1 cube1.hbm4",
        "sip0.cube0.",
    ),
    "diagonal cube": (
        "sip0.cube0.pe15.niu r3_3 ucie_e cube1.ucie_w cube1.r0_3 cube1.ucie_s cube3.ucie_n cube3.r0_0 cube3.hbm0",
        "sip0.cube0.",
    ),
}


@pytest.mark.parametrize("case", ROUTES)
def test_a_route_within_a_sip_goes_x_first_and_keeps_its_row_at_a_crossing(routes_of, case):
    text, cube = ROUTES[case]
    first, *rest = text.split()
    expected = [first, *(f"sip0.{step}" if step.startswith("cube") else cube + step for step in rest)]
    assert names(routes_of("default"), expected[0], expected[-1]) == expected


def test_a_route_to_another_sip_leaves_by_its_own_column_and_enters_by_the_destinations(routes_of):
    assert names(routes_of("default"), "sip0.cube2.pe6.niu", "sip1.cube3.hbm1") == [
        "sip0.cube2.pe6.niu",
        *(f"sip0.cube2.r2_{y}" for y in (1, 0)),
        "sip0.cube2.ucie_n",
        "sip0.cube0.ucie_s",
        *(f"sip0.cube0.r2_{y}" for y in (3, 2, 1, 0)),
        "sip0.cube0.ucie_n",
        "sip0.io_ucie0",
        "sip0.io_noc",
        "sip0.sip_port",
        "sip_switch",
        "sip1.sip_port",
        "sip1.io_noc",
        "sip1.io_ucie1",
        "sip1.cube1.ucie_n",
        *(f"sip1.cube1.r1_{y}" for y in range(4)),
        "sip1.cube1.ucie_s",
        "sip1.cube3.ucie_n",
        "sip1.cube3.r1_0",
        "sip1.cube3.hbm1",
    ]


def test_the_host_reaches_memory_without_io_cpu_and_back(routes_of):
    there = names(routes_of("default"), "host", "sip1.cube0.hbm5")
    assert there == [
        "host",
        "sip1.pcie_ep",
        "sip1.io_noc",
        "sip1.io_ucie0",
        "sip1.cube0.ucie_n",
        "sip1.cube0.r1_0",
        "sip1.cube0.r1_1",
        "sip1.cube0.hbm5",
    ]
    assert names(routes_of("default"), "sip1.cube0.hbm5", "host") == there[::-1]


def test_control_goes_from_host_to_io_cpu_to_m_cpu_to_pe(routes_of):
    routes = routes_of("default")
    assert names(routes, "host", "sip0.io_cpu") == ["host", "sip0.pcie_ep", "sip0.io_noc", "sip0.io_cpu"]
    assert names(routes, "sip0.io_cpu", "sip0.cube1.m_cpu") == [
        "sip0.io_cpu",
        "sip0.io_noc",
        "sip0.io_ucie1",
        "sip0.cube1.ucie_n",
        "sip0.cube1.r0_0",
        "sip0.cube1.m_cpu",
    ]
    assert names(routes, "sip0.io_cpu", "sip1.io_cpu") == [
        "sip0.io_cpu",
        "sip0.io_noc",
        "sip0.sip_port",
        "sip_switch",
        "sip1.sip_port",
        "sip1.io_noc",
        "sip1.io_cpu",
    ]


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_route_is_a_chain_of_links_from_end_to_end_that_visits_no_node_twice(routes_of, name, data):
    routes = routes_of(name)
    ends = st.sampled_from(end_points(routes.graph))
    src, dst = data.draw(ends), data.draw(ends)
    route = routes.route(src, dst)
    if src == dst:
        assert route == ()
        return
    assert (route[0].src, route[-1].dst) == (src, dst)
    assert all(a.dst == b.src for a, b in pairwise(route))
    assert len({edge.src for edge in route}) == len(route)
    assert all(edge.rate is not None for edge in route)
    assert routes.route(src, dst) is route


@pytest.mark.parametrize("name", PRESETS)
def test_there_and_back_are_the_same_in_another_process_and_another_object(routes_of, name):
    routes, again = routes_of(name), Routes(routes_of(name).graph)
    rng = random.Random(7)
    for _ in range(200):
        src, dst = rng.choices(end_points(routes.graph), k=2)
        assert routes.route(src, dst) == again.route(src, dst)


@pytest.mark.parametrize("name", PRESETS)
def test_latency_grows_at_every_hop_from_a_router(routes_of, name):
    """Every link out of a router or the IO NoC, and every one between dies, adds time; no route is free."""
    routes = routes_of(name)
    graph = routes.graph
    rng = random.Random(3)
    for _ in range(200):
        src, dst = rng.sample(end_points(graph), 2)
        passed = [
            edge.latency_ps + graph.nodes[edge.src].latency_ps
            for edge in routes.route(src, dst)
            if graph.nodes[edge.src].kind in ("router", "io_noc")
            or edge.kind in ("d2d", "pcie", "sip_link", "niu")
        ]
        assert min(passed) > 0
        assert sum(passed) == routes.latency_ps(src, dst)


def test_a_longer_way_takes_longer(routes_of):
    """Along a row and then a column of routers, each further memory is a hop of 3 ns further away."""
    routes = routes_of("default")
    graph = routes.graph
    pe = graph.niu_of(0)
    way = [graph.node(f"sip0.cube0.hbm{channel}").index for channel in (0, 1, 2, 3, 7, 11, 15)]
    assert [routes.latency_ps(pe, memory) for memory in way] == [5_000 + 3_000 * hop for hop in range(7)]


def test_means_are_ordered_local_same_cube_other_cube_other_sip(routes_of):
    routes = routes_of("default")
    graph = routes.graph
    groups = {"local": [], "same cube": [], "other cube": [], "other SIP": []}
    for pe in range(16):
        niu = graph.nodes[graph.niu_of(pe)]
        for memory in graph.of_kind("hbm_ctrl"):
            if memory.at[:1] != niu.at[:1]:
                group = "other SIP"
            elif memory.at != niu.at[:-1]:
                group = "other cube"
            else:
                is_local = (memory.column, memory.row) == (niu.column, niu.row)
                group = "local" if is_local else "same cube"
            groups[group].append(routes.latency_ps(niu.index, memory.index))
    means = [mean(latencies) for latencies in groups.values()]
    assert means == sorted(set(means))
    assert means[0] == 5_000


@pytest.mark.parametrize(
    ("src", "dst", "rate"),
    [
        ("sip0.cube0.pe0.niu", "sip0.cube0.hbm0", "64"),
        ("sip0.cube0.pe0.niu", "sip0.cube1.hbm0", "64"),
        ("sip0.cube0.pe0.niu", "sip1.cube0.hbm0", "57.33"),
        ("sip0.io_cpu", "host", "57.33"),
    ],
)
def test_the_bottleneck_is_the_slowest_link(routes_of, src, dst, rate):
    graph = routes_of("default").graph
    bottleneck = routes_of("default").bottleneck(graph.node(src).index, graph.node(dst).index)
    assert bottleneck == Rate.of(rate)


def test_a_route_leads_between_end_points_only(routes_of):
    graph = routes_of("tiny").graph
    with pytest.raises(UsageError) as caught:
        routes_of("tiny").route(graph.node("sip0.cube0.r0_0").index, 0)
    assert str(caught.value) == (
        "sip0.cube0.r0_0 is no end point; routes lead between niu, hbm_ctrl, sram, m_cpu, io_cpu, host"
    )
