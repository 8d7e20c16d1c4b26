"""No test sees what another one registered."""

import pytest

from kernbench.bench import BENCHES, load_benches
from kernbench.components import load_components
from kernbench.components.base import COMPONENTS
from kernbench.components.memory_model import HBM_MODELS
from kernbench.ops import OPS

load_components()
load_benches()


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Put every registry back as it was."""
    for registry in (BENCHES, COMPONENTS, HBM_MODELS, OPS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
