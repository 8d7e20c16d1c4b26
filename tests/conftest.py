"""What tests share; and no test sees what another one registered."""

import gc
import signal
from functools import lru_cache

import pytest
from hypothesis import settings

from kernbench.bench import BENCHES, load_benches
from kernbench.components import load_components
from kernbench.components.base import COMPONENTS
from kernbench.components.memory_model import HBM_MODELS
from kernbench.config.load import load_config
from kernbench.garbage import rarely_collected
from kernbench.kinds import KINDS
from kernbench.ops import OPS
from kernbench.topology.builder import build_graph
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.routes import Routes

collect_ignore = ["samples"]  # to import one registers it
load_components()
load_benches()
settings.register_profile(
    "busy computers", settings.get_profile(settings.get_current_profile_name()), deadline=None
)
settings.load_profile("busy computers")


def pytest_addoption(parser):
    parser.addoption(
        "--all-mixes", action="store_true", help="collectives: every dtype with every op in every case"
    )
    parser.addoption(
        "--all-races",
        action="store_true",
        help="races: all random programs and all placements of planted ones",
    )
    parser.addoption(
        "--all-twins", action="store_true", help="engines: all random cases on both of them, not a tenth"
    )


@pytest.fixture(scope="session")
def n_races(request):
    """How many of few or all random programs to try."""
    takes_all = request.config.getoption("--all-races")
    return lambda n_few, n_all: n_all if takes_all else n_few


@pytest.fixture(scope="session")
def all_mixes(request):
    """Whether collectives are tried with every mix of dtype and op in every case, which takes minutes."""
    return request.config.getoption("--all-mixes")


@lru_cache
def _graph(name: str, overrides: tuple[str, ...]) -> TopologyGraph:
    return build_graph(load_config(name, overrides).topology)


@pytest.fixture(scope="session")
def graph_of():
    """``graph_of("tiny", "cube.hbm.queue=8")``, built once."""
    return lambda name="default", *overrides: _graph(name, overrides)


@pytest.fixture(scope="session")
def routes_of(graph_of):
    """The routes of a preset's graph, kept."""
    return lru_cache(lambda name="default": Routes(graph_of(name)))


@pytest.fixture(scope="module")
def rare_garbage():
    """Collectives make objects by the million: look for reference cycles as seldom as ``kernbench`` does."""
    with rarely_collected():
        yield


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Put every registry back as it was."""
    for registry in (BENCHES, COMPONENTS, HBM_MODELS, KINDS, OPS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    """Let what a test launches, and does not wait for, end with the test."""
    monkeypatch.setattr("kernbench.ending._under_way", {})


@pytest.fixture(autouse=True)
def interrupts():
    """Hear Ctrl-C as at a terminal, where a background job ignores it, and leave no handler to the next test."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    """Print as in a pipe: the processes of pytest-xdist have the width of a terminal in their environment."""
    monkeypatch.delenv("COLUMNS", raising=False)


def pytest_collection_finish():
    """Let no search for garbage go through the thousands of tests that were collected."""
    gc.collect()
    gc.freeze()
