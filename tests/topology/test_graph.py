"""The graph finds nodes by name, PE and edge, in one stated order, and never changes."""

from dataclasses import FrozenInstanceError

import pytest

from kernbench.errors import UnknownNameError
from kernbench.topology.ids import PeId

PRESETS = ["tiny", "default", "big"]


@pytest.mark.parametrize("name", PRESETS)
def test_names_and_indices_are_one_to_one(graph_of, name):
    graph = graph_of(name)
    assert [node.index for node in graph.nodes] == list(range(len(graph.nodes)))
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)
    assert graph.node("host").index == 0


@pytest.mark.parametrize("name", PRESETS)
def test_nodes_come_host_first_then_sip_by_sip_cube_by_cube_pe_by_pe(graph_of, name):
    places = [node.at[:2] for node in graph_of(name).nodes]
    assert places == sorted(places)
    numbers = [node.pe for node in graph_of(name).nodes if node.pe >= 0]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("name", PRESETS)
def test_pes_are_numbered_in_the_order_of_their_ids(graph_of, name):
    graph = graph_of(name)
    assert list(graph.pes) == sorted(graph.pes)
    assert [graph.pe_number(pe) for pe in graph.pes] == list(range(graph.n_pes))


def test_edges_are_found_from_both_ends(graph_of):
    graph = graph_of("default")
    for edge in graph.edges:
        assert graph.edge(edge.src, edge.dst) is edge
        assert edge in graph.out_edges(edge.src)
        assert edge in graph.in_edges(edge.dst)


def test_the_units_of_a_pe_are_found_by_its_number(graph_of):
    graph = graph_of("default")
    pe = graph.pe_number(PeId(1, 2, 3))
    assert graph.nodes[graph.niu_of(pe)].name == "sip1.cube2.pe3.niu"
    assert graph.unit(pe, "pe_gemm").name == "sip1.cube2.pe3.pe_gemm"
    assert [unit.kind for unit in graph.units_of(pe)] == [
        "niu",
        "pe_cpu",
        "pe_scheduler",
        "pe_dma",
        "pe_mmu",
        "pe_tcm",
        "pe_fetch_store",
        "pe_gemm",
        "pe_math",
        "pe_ipcq",
    ]


@pytest.mark.parametrize("part", ["graph", "node", "edge"])
def test_nothing_of_a_graph_can_be_changed(graph_of, part):
    graph = graph_of("tiny")
    target = {"graph": graph, "node": graph.nodes[0], "edge": graph.edges[0]}[part]
    field = {"graph": "nodes", "node": "latency_ps", "edge": "rate"}[part]
    with pytest.raises(FrozenInstanceError):
        setattr(target, field, None)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("sip0.cube1.pe3.pe_gem", "did you mean 'sip0.cube1.pe3.pe_gemm'?"),
        ("sap0.cube1.pe3.pe_gemm", "did you mean 'sip0.cube1.pe3.pe_gemm'?"),
        ("sip0.cube9.pe3.niu", "did you mean 'sip0.cube3.pe3.niu'?"),
        ("x", "known: host, sip_switch, sip0, sip1"),
        (
            "sip0.cube1.pe3",
            "its parts are niu, pe_cpu, pe_scheduler, pe_dma, pe_mmu, pe_tcm, pe_fetch_store, pe_gemm, pe_math, "
            "pe_ipcq",
        ),
    ],
)
def test_a_wrong_name_is_corrected_where_it_goes_wrong(graph_of, name, cure):
    with pytest.raises(UnknownNameError) as caught:
        graph_of("default").node(name)
    assert str(caught.value) == f"unknown node {name!r}; {cure}"


def test_a_link_that_is_not_there_lists_those_that_are(graph_of):
    graph = graph_of("tiny")
    with pytest.raises(UnknownNameError) as caught:
        graph.edge(graph.node("sip0.io_cpu").index, graph.node("host").index)
    assert str(caught.value) == "no link from sip0.io_cpu to host; it leads to sip0.io_noc"


def test_a_pe_that_is_not_there_is_told_how_many_there_are(graph_of):
    with pytest.raises(UnknownNameError) as caught:
        graph_of("default").pe_number(PeId(2, 0, 0))
    assert str(caught.value) == "unknown PE 'sip2.cube0.pe0'; there are 2 SIPs of 4 cubes of 16 PEs"
