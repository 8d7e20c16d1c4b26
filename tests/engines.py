"""What tests ask of the engine that runs."""

import pytest

from kernbench.compiled import running


def require_reference():
    """Skip a test that looks into objects of Python where they are compiled; `make test-reference` runs it."""
    if running().engine == "native":
        pytest.skip("looks into what is compiled here; `make test-reference` runs it")
