"""The channel dependency graph is acyclic: no set of full buffers can wait for each other in a ring.

A channel is (edge, traffic class). A route makes each of its channels wait for the next one; at a memory a request
waits for room for its response, so the last request channel waits for the first response channel. (Responses,
requests and control each keep their class on the way.)
"""

import random
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise, product

import pytest

from kernbench.messages.fabric import Vc
from kernbench.topology.graph import Edge, TopologyGraph
from kernbench.topology.routes import Routes

Channel = tuple[int, Vc]
SAMPLED_PAIRS = 6_000


def dependencies(ways: Iterable[tuple[tuple[Edge, ...], Vc]]) -> dict[Channel, set[Channel]]:
    """Which channels each channel waits for."""
    waits: dict[Channel, set[Channel]] = {}
    for route, vc in ways:
        for here, there in pairwise(route):
            waits.setdefault((here.index, vc), set()).add((there.index, vc))
    return waits


def traffic(routes: Routes, pairs) -> dict[Channel, set[Channel]]:
    """The dependencies of requests to memories and their responses, between each pair."""
    waits: dict[Channel, set[Channel]] = {}
    for asker, memory in pairs:
        there, back = routes.route(asker, memory), routes.route(memory, asker)
        for channel, after in dependencies([(there, Vc.REQ), (back, Vc.RESP)]).items():
            waits.setdefault(channel, set()).update(after)
        waits.setdefault((there[-1].index, Vc.REQ), set()).add((back[0].index, Vc.RESP))
    return waits


def is_acyclic(waits: dict[Channel, set[Channel]]) -> bool:
    try:
        TopologicalSorter(waits).prepare()
    except CycleError:
        return False
    return True


def askers_and_memories(graph: TopologyGraph):
    askers = [node.index for kind in ("niu", "host") for node in graph.of_kind(kind)]
    return askers, [node.index for kind in ("hbm_ctrl", "sram") for node in graph.of_kind(kind)]


@pytest.mark.parametrize("name", ["tiny", "default"])
def test_all_reads_and_writes_of_a_preset(routes_of, name):
    routes = routes_of(name)
    assert is_acyclic(traffic(routes, product(*askers_and_memories(routes.graph))))


@pytest.mark.parametrize("name", ["tiny", "default"])
def test_all_traffic_between_pes_and_control(routes_of, name):
    routes = routes_of(name)
    graph = routes.graph
    nius = [graph.niu_of(pe) for pe in range(graph.n_pes)]
    control = [node.index for kind in ("host", "io_cpu", "m_cpu") for node in graph.of_kind(kind)]
    between_pes = ((routes.route(a, b), Vc.COMM) for a, b in product(nius, nius))
    commands = (
        (routes.route(*way), Vc.CTL) for a, b in product(control, control + nius) for way in ((a, b), (b, a))
    )
    assert is_acyclic(dependencies(between_pes))
    assert is_acyclic(dependencies(commands))


def test_big_on_a_sample_of_all_pairs(routes_of):
    routes = routes_of("big")
    askers, memories = askers_and_memories(routes.graph)
    rng = random.Random(11)
    pairs = [(rng.choice(askers), rng.choice(memories)) for _ in range(SAMPLED_PAIRS)]
    assert is_acyclic(traffic(routes, pairs))


def test_mixing_x_first_with_y_first_would_close_a_cycle(routes_of):
    """The negative control: a reversed route goes Y first."""
    routes = routes_of("tiny")
    graph = routes.graph
    nius = [graph.niu_of(pe) for pe in range(graph.n_pes)]
    x_first = [routes.route(a, b) for a, b in product(nius, nius)]
    y_first = [tuple(graph.edge(edge.dst, edge.src) for edge in reversed(route)) for route in x_first]
    assert is_acyclic(dependencies((route, Vc.REQ) for route in y_first))
    assert not is_acyclic(dependencies((route, Vc.REQ) for route in x_first + y_first))


def test_requests_and_responses_on_one_channel_would_close_a_cycle(routes_of):
    """The negative control of classes: without them a memory's response waits behind requests to it."""
    routes = routes_of("tiny")
    apart = traffic(routes, product(*askers_and_memories(routes.graph)))
    shared: dict[Channel, set[Channel]] = {}
    for (edge, _), after in apart.items():
        shared.setdefault((edge, Vc.REQ), set()).update((later, Vc.REQ) for later, _ in after)
    assert is_acyclic(apart)
    assert not is_acyclic(shared)
