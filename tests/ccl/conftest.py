"""What tests of collectives share."""

import pytest

from kernbench.garbage import rarely_collected


@pytest.fixture(scope="module")
def rare_garbage():
    """Collectives make objects by the million: look for reference cycles as seldom as ``kernbench`` does."""
    with rarely_collected():
        yield
