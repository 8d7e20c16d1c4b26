"""The two engines as ``twins``; where nothing is compiled there is one, and one line says so."""

from pathlib import Path

import pytest

from kernbench.compiled import obstacle
from tests.twin.twins import Twins

FOLDER = Path(__file__).parent
collect_ignore = [
    path.name for path in FOLDER.glob("*.py") if not path.name.startswith("test_")
]  # some register parts


@pytest.fixture(scope="session")
def twins():
    """A process of each engine, for all tests."""
    if why := obstacle():
        pytest.skip(f"there is no other engine to compare with: {why}")
    both = Twins()
    yield both
    both.close()


@pytest.fixture(scope="session")
def some(request):
    """``some(cases)``: all of them with ``--all-twins``, else the first tenth, and at least one."""
    takes_all = request.config.getoption("--all-twins")
    return lambda cases: cases if takes_all else cases[: -(-len(cases) // 10)]
