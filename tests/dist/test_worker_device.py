"""What lets time pass for a worker is done by the hub; what only asks the machine something is asked at once."""

import pytest

from kernbench.device.protocol import Device
from kernbench.dist.worker_device import WorkerDevice

LETS_TIME_PASS = {  # with as many arguments as each takes
    "complete_launches": 0,
    "flush": 0,
    "host_read": 2,
    "host_write": 2,
    "install": 1,
    "launch": 1,
    "map": 1,
    "remove": 1,
    "synchronize": 0,
    "unmap": 1,
}
ASKS = {name for name in vars(Device) if not name.startswith("_")} - {*LETS_TIME_PASS}


class Machine:
    """Answers with what it was asked."""

    def __getattr__(self, name):
        return (lambda *args: (name, *args)) if name in LETS_TIME_PASS else f"its {name}"


@pytest.fixture
def done():
    """What the machine answered to the hub: which of its functions was called with what."""
    return []


@pytest.fixture
def device(done):
    def do(what, *args):
        done.append(what(*args))
        return done[-1]

    return WorkerDevice(Machine(), do)


@pytest.mark.parametrize("name", sorted(LETS_TIME_PASS))
def test_what_lets_time_pass_is_done_by_the_hub(device, done, name):
    args = ("first", "second")[: LETS_TIME_PASS[name]]
    answer = getattr(device, name)(*args)
    assert done == [(name, *args)]
    assert answer == (done[0] if name == "host_read" else None)


@pytest.mark.parametrize("name", sorted(ASKS))
def test_what_asks_for_something_is_asked_at_once(device, done, name):
    assert getattr(device, name) == f"its {name}"
    assert done == []


def test_nothing_of_the_protocol_is_both():
    assert len(ASKS) == 13
