"""A context on a machine that a test fakes."""

import pytest

from kernbench.device.open_device import OpenDevice
from kernbench.torch.context import Context
from tests.device.fake_machine import FakeMachine


@pytest.fixture(scope="session")
def new_torch():
    """Makes a context on a fake machine with the given grids of SIPs, cubes and PEs."""
    return lambda *grids, seed=0: Context(OpenDevice(FakeMachine(*grids)), seed=seed)


@pytest.fixture
def torch(new_torch):
    """A context on 2 SIPs x 2 cubes x 4 PEs."""
    return new_torch()
