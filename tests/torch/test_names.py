"""``torch`` has names of PyTorch and the extensions that ADR-0045 lists, and no other."""

import re
from pathlib import Path

import pytest

from kernbench import simulate
from kernbench.errors import UnknownAttributeError
from kernbench.torch.context import EXTENSIONS

HERE = Path(__file__).parent
ADR = HERE.parents[1] / "docs" / "adr" / "0045-torch-has-pytorchs-names-on-a-device.md"
OF_PYTORCH = frozenset(
    (HERE / "pytorch_names.txt").read_text().split()
)  # dir(torch) of PyTorch 2.13, the public ones


@pytest.fixture(scope="module")
def simulation():
    with simulate("tiny") as simulation:
        yield simulation


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_what_pytorch_has_not_is_what_the_record_lists(simulation):
    (listed,) = re.findall(r"^\*\*Extensions\*\*: (.*)\.$", ADR.read_text(), flags=re.MULTILINE)
    assert listed == ", ".join(f"`{name}`" for name in sorted(public(simulation.torch) - OF_PYTORCH))
    assert public(simulation.torch) - OF_PYTORCH == EXTENSIONS
    assert not EXTENSIONS & OF_PYTORCH


def test_every_name_of_dir_is_there(simulation):
    assert len(public(simulation.torch)) > 150
    for name in public(simulation.torch):
        assert getattr(simulation.torch, name) is not None


def test_a_name_is_in_dir_if_it_is_there(simulation):
    def has(name):
        try:
            return getattr(simulation.torch, name) is not None
        except UnknownAttributeError:
            return False

    assert {name for name in OF_PYTORCH if has(name)} == public(simulation.torch) & OF_PYTORCH


@pytest.mark.parametrize(
    "name", ["machine", "heap", "install_queues", "remove_queues", "memory_bytes", "spec"]
)
def test_a_name_of_the_device_is_an_error_that_says_where_it_is(simulation, name):
    with pytest.raises(
        UnknownAttributeError, match=f"^torch has no attribute '{name}'; the device has: torch.ahbm.{name}$"
    ):
        getattr(simulation.torch, name)
    assert hasattr(simulation.device, name)


def test_the_device_is_reached_from_torch(simulation):
    assert simulation.torch.ahbm is simulation.device
    assert simulation.torch.zeros(3).home is simulation.device


def test_the_package_is_no_torch():
    import kernbench.torch

    with pytest.raises(
        UnknownAttributeError,
        match=re.escape(
            "kernbench.torch has no 'zeros': each simulation has a torch of its own; "
            "write torch = kb.simulate('tiny').torch"
        ),
    ):
        kernbench.torch.zeros  # noqa: B018
