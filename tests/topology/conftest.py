"""Graphs of the presets, built once; small machines are made by overrides."""

from functools import lru_cache

import pytest

from kernbench.config.load import load_config
from kernbench.topology.builder import build_graph
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.routes import Routes


@lru_cache
def _graph(name: str, overrides: tuple[str, ...]) -> TopologyGraph:
    return build_graph(load_config(name, overrides).topology)


@pytest.fixture(scope="session")
def graph_of():
    """``graph_of("tiny", "cube.hbm.queue=8")``."""
    return lambda name="default", *overrides: _graph(name, overrides)


@pytest.fixture(scope="session")
def routes_of(graph_of):
    """The routes of a preset's graph, kept."""
    return lru_cache(lambda name="default": Routes(graph_of(name)))
