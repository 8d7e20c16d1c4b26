"""A port is bound once, to the neighbour it names; a mistake in the wiring is told in one line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Protocol

import pytest

from kernbench.components.base import COMPONENTS, Component
from kernbench.components.ports import port, ports_of
from kernbench.engine import Engine
from kernbench.errors import ConfigError


class Lamp(Protocol):
    def light(self) -> int: ...
    def put_out(self) -> None: ...


class Switch(Component):
    kind = "switch"
    lamp = port(Lamp)


class TwoWaySwitch(Switch):
    stair = port(Lamp)


@pytest.fixture
def switch():
    site = SimpleNamespace(
        node=SimpleNamespace(name="pe0.switch", index=3),
        graph=None,
        engine=Engine(),
        log=None,
        fabric=None,
        pe=0,
        address=0,
    )
    return TwoWaySwitch(site)


def test_a_port_is_the_neighbour_of_its_kind_and_an_attribute_like_any_other(switch):
    lamp, stair = (SimpleNamespace(light=lambda: 1, put_out=lambda: None) for _ in range(2))
    switch.connect({"lamp": lamp, "stair": stair, "door": object()})
    assert (switch.lamp, switch.stair) == (lamp, stair)
    assert list(ports_of(TwoWaySwitch)) == ["lamp", "stair"]
    assert not hasattr(switch, "door")


def test_a_port_that_is_not_bound_yet_is_no_neighbour(switch):
    with pytest.raises(AttributeError) as caught:
        switch.lamp  # noqa: B018
    assert str(caught.value) == (
        "TwoWaySwitch is not connected yet: its ports are bound before its processes start"
    )


def test_a_port_to_nowhere_is_an_error(switch):
    with pytest.raises(ConfigError) as caught:
        switch.connect({"stair": SimpleNamespace(light=None, put_out=None)})
    assert str(caught.value) == (
        "pe0.switch: TwoWaySwitch needs a port to lamp, and no edge leads there; add one to its PE"
    )


def test_a_neighbour_without_what_the_port_asks_for_is_an_error(switch):
    with pytest.raises(ConfigError) as caught:
        switch.connect({"lamp": object(), "stair": SimpleNamespace(light=None)})
    assert str(caught.value) == (
        "pe0.switch: TwoWaySwitch needs lamp to have light and put_out; add that to object"
    )


def test_every_port_of_every_unit_leads_along_an_edge_of_the_graph(graph_of):
    graph = graph_of("tiny")
    for name in COMPONENTS:
        component = COMPONENTS[name]
        if ports_of(component):
            (node, *_) = graph.of_kind(component.kind)
            ends = {graph.nodes[edge.dst].kind for edge in graph.out_edges(node.index)}
            assert ports_of(component).keys() <= ends, name
