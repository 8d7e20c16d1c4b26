"""A context on a machine that a test fakes; and what the real torch, where ``make test-torch`` installs it, answers."""

import importlib.util
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kernbench.device.open_device import OpenDevice
from kernbench.torch.context import Context
from tests.device.fake_machine import FakeMachine

OF_THE_REAL_TORCH = [
    "cases.py",
    "host_expressions.py",
    "test_bench.py",
    "test_conformance.py",
    "test_host.py",
]
collect_ignore = ["run_gloo.py", *([] if importlib.util.find_spec("torch") else OF_THE_REAL_TORCH)]

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def new_torch():
    """Makes a context on a fake machine with the given grids of SIPs, cubes and PEs."""
    return lambda *grids, seed=0: Context(OpenDevice(FakeMachine(*grids)), seed=seed)


@pytest.fixture
def torch(new_torch):
    """A context on 2 SIPs x 2 cubes x 4 PEs."""
    return new_torch()


@pytest.fixture(scope="session")
def gloo(tmp_path_factory):
    """What each rank found under gloo, by case."""
    path = tmp_path_factory.mktemp("gloo") / "result.json"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run([sys.executable, str(HERE / "run_gloo.py"), str(path), str(port)], check=True, timeout=900)
    return json.loads(path.read_text())


@pytest.fixture(scope="session", params=["data", "timed"])
def facade(request, cases):
    """What each rank finds on a simulated machine, by case."""
    from kernbench.simulation import simulate

    found = [{} for _ in range(cases.WORLD_SIZE)]

    def worker(rank, world_size, torch):
        def init():
            torch.distributed.init_process_group("ahbm", rank=rank, world_size=world_size)

        found[rank] = json.loads(json.dumps(cases.run(torch, rank, world_size, init)))

    with simulate("tiny", mode=request.param, keep_log=False) as simulation:
        torch, n = simulation.torch, cases.WORLD_SIZE
        torch.multiprocessing.spawn(worker, args=(n, torch), nprocs=n)
    return found


@pytest.fixture(scope="session")
def cases():
    """The module of the cases."""
    return load_cases()


def load_cases():
    """``cases.py``, by whatever name pytest has for this folder."""
    if "kernbench_torch_cases" not in sys.modules:
        spec = importlib.util.spec_from_file_location("kernbench_torch_cases", HERE / "cases.py")
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["kernbench_torch_cases"]


def pytest_generate_tests(metafunc):
    """One test for each case."""
    if "case" in metafunc.fixturenames:
        module = load_cases()
        names = [*(f"before: {name}" for name in module.BEFORE), *module.CASES]
        names += [f"after: {name}" for name in module.AFTER]
        metafunc.parametrize("case", names)


def plain(text):
    """A text without what no two runs share: addresses, whose class it is, which backend."""
    text = re.sub(r"<[\w.]*\.(\w+) object at 0x[0-9a-f]+>", r"<\1>", text)
    text = re.sub(r"<class '[\w.]*Tensor'>", "<class 'Tensor'>", text)
    return text.replace("ProcessGroupGloo", "ProcessGroup").replace("ProcessGroupAhbm", "ProcessGroup")


def agrees(ours, theirs):
    """Whether our answer is torch's: of errors, of its kind and beginning with its text."""
    if isinstance(theirs, dict) and "error" in theirs:
        return (
            isinstance(ours, dict)
            and theirs["error"][0] in ours.get("error", ())
            and plain(ours["text"]).startswith(plain(theirs["text"]))
        )
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(agrees, ours, theirs))
    if isinstance(theirs, str):
        return isinstance(ours, str) and plain(ours) == plain(theirs)
    return ours == theirs


@pytest.fixture
def same():
    """Compares answers."""
    return agrees
