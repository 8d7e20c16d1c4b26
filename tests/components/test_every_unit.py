"""Every unit that is registered starts, does work, drains, and has its causes and its place in the drawing.

A unit of one's own gets these tests by being registered; where it is not whole, its own test says what to write.
"""

import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

import kernbench as kb
from kernbench import tl
from kernbench.analysis.causes import causes
from kernbench.ccl import QueuePair, install_queues
from kernbench.components.base import COMPONENTS
from kernbench.config.load import load_config
from kernbench.config.pe import PeSpec
from kernbench.errors import ConfigError, UsageError
from kernbench.kinds import KINDS, ROLES
from kernbench.messages.oplog import OpCode, op_codes, op_names
from kernbench.reports.floorplan import draw
from kernbench.simulation import load_plugin

SAMPLE = Path(__file__).parents[1] / "samples" / "pe_sfu.py"
SFU = {"pe.sfu": {"lanes": 16, "latency_cycles": 4}, "components.pe_sfu": "pe_sfu_v1"}
BLOCK = 16
OF_SEVERAL_SIPS = ("sip_port", "sip_switch")
WRITE = "no machine has a {kind.name}; write its numbers as pe.{kind.part} in the preset of topology.yaml"


@kb.jit
def everything(x_ptr, y_ptr, BLOCK: tl.constexpr):
    """Loads, stores, products, sends and receives, and visits of every rate class."""
    at = (
        tl.program_id(0) * BLOCK * BLOCK + tl.arange(0, BLOCK)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    )
    x = tl.load(x_ptr + at)
    y = tl.dot(x, x)
    y = tl.exp(y) + tl.rsqrt(y * y + 1.0) / tl.fma(x, x, y)
    y = tl.where(y > x, tl.maximum(x, y), x)
    tl.send("right", y)
    y = tl.recv("left", y.shape, y.dtype)
    tl.store(y_ptr + at, y)


@lru_cache
def ran(name):
    """A machine in which all of that has run, with the component ``name`` in its place."""
    chosen = {f"components.{COMPONENTS[name].kind}": name} if name else {}
    simulation = kb.simulate("tiny", overrides=chosen)
    torch = simulation.torch
    queues = install_queues(
        torch, [QueuePair("right", "left", lambda rank, n: (rank + 1) % n)], directions=()
    )
    x = torch.ones(4 * BLOCK, BLOCK)
    y = torch.empty(4 * BLOCK, BLOCK)
    torch.launch(everything, (4,), (x, y), {"BLOCK": BLOCK}, queues=queues)
    torch.synchronize()
    assert simulation.machine.now_ps > 0
    return simulation


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_unit_starts_drains_and_logs_all_that_it_describes(name):
    machine, kind = ran(name).machine, KINDS[COMPONENTS[name].kind]
    nodes = machine.graph.of_kind(kind.name)
    units = [machine.assembly.component(node.index) for node in nodes]
    assert nodes or kind.name in OF_SEVERAL_SIPS, WRITE.format(kind=kind)
    assert {type(unit) for unit in units} <= {COMPONENTS[name]}
    assert [len(unit.inbox) for unit in units] == [0] * len(units)
    codes = op_codes(machine.graph.spec.pe)
    logged = {record.op for record in machine.log if machine.graph.nodes[record.node].kind == kind.name}
    assert {codes[op.what] for op in kind.ops} <= logged | {OpCode.DRAIN}  # rings in TCM need none


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_unit_has_its_causes_and_its_place_in_the_drawing(name):
    kind = KINDS[COMPONENTS[name].kind]
    assert list(kind.mistakes()) == []
    assert kind.role in ROLES
    assert {cause.name for op in kind.ops for cause in op.causes} <= causes().keys()


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_kind_says_the_spec_that_its_nodes_have(name):
    kind = KINDS[COMPONENTS[name].kind]
    assert all(isinstance(node.spec, kind.spec) for node in ran(name).machine.graph.of_kind(kind.name))


# --- one unit in a file of a user's ---


def plugged(tmp_path, *changes):
    """The sample's file, changed, as a plugin of this process."""
    text = SAMPLE.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "pe_sfu.py"
    path.write_text(text)
    load_plugin(path)


def roots(overrides):
    """A simulation in which four programs took roots."""
    simulation = kb.simulate("tiny", overrides=overrides)
    torch = simulation.torch

    @kb.jit
    def kernel(x_ptr, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.store(x_ptr + at, tl.rsqrt(tl.load(x_ptr + at)) + 1.0)

    x = torch.full((4096,), 4.0)
    kernel[(4,)](x, BLOCK=1024)
    assert x.tolist() == [1.5] * 4096
    return simulation


def test_a_unit_in_a_file_of_ones_own_works_on_what_it_takes_and_is_named_everywhere(tmp_path):
    plugged(tmp_path)
    simulation = roots(SFU)
    log, graph = simulation.machine.log, simulation.graph
    mine = [record for record in log if graph.nodes[record.node].kind == "pe_sfu"]
    assert {(record.op, record.work) for record in mine} == {(23, 1024)}
    assert [record.end_ps - record.start_ps for record in mine] == [
        68_000
    ] * 4  # 1024 / 16 cycles, and 4 to fill
    assert op_names(graph.spec.pe)[23] == "SFU"
    report = simulation.report()
    assert report.to_json()["added_ops"] == {"SFU": 23}
    assert report.breakdown["sfu"] == 68_000
    assert causes()["sfu"].cure == "use fewer exponentials and roots"
    assert "16 lanes" in draw(graph, "pe")


def test_a_machine_that_does_not_have_the_unit_is_as_it_was(tmp_path):
    before = roots({})
    plugged(tmp_path)
    after = roots({})
    assert after.machine.log.sha256() == before.machine.log.sha256()
    assert after.config_sha256 == before.config_sha256
    assert after.report().to_json()["added_ops"] == {}
    assert type(load_config("tiny").topology.pe) is not PeSpec


def test_a_unit_that_nothing_implements_is_told_at_its_part(tmp_path):
    plugged(tmp_path)
    with pytest.raises(ConfigError) as caught:
        kb.simulate("tiny", overrides={"pe.sfu": SFU["pe.sfu"]})
    assert str(caught.value) == (
        "overrides['pe.sfu']: nothing says what implements it; write components.pe_sfu, one of: pe_sfu_v1"
    )


def test_a_mistake_in_the_numbers_of_the_unit_is_told_like_any_other(tmp_path):
    plugged(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_config("tiny", {"pe.sfu": {"lane": 16, "latency_cycles": 4}})
    assert str(caught.value) == "overrides['pe.sfu']: pe.sfu.lane: unknown key; did you mean 'lanes'?"


CAUSE = ', Cause("sfu", "PE_SFU is at work", "use fewer exponentials and roots")'


def test_without_a_cause_only_the_breakdown_of_what_it_does_is_an_error(tmp_path):
    plugged(tmp_path, (CAUSE, ""))
    simulation = roots(SFU)
    with pytest.raises(UsageError) as caught:
        simulation.report()
    assert str(caught.value) == (
        "kind pe_sfu: its stage SFU has no cause; write Op('SFU', Cause(name, meaning, cure))"
    )
    assert draw(simulation.graph, "pe") != ""


def test_without_a_place_only_the_drawing_is_an_error(tmp_path):
    plugged(tmp_path, ("        place=(0.80, 0.30),\n", ""))
    simulation = roots(SFU)
    assert simulation.report().breakdown["sfu"] == 68_000
    with pytest.raises(UsageError) as caught:
        draw(simulation.graph, "pe")
    assert str(caught.value) == (
        "kind pe_sfu: it has no place in the drawing; write place=(x, y), shares of the PE's block"
    )


def test_without_a_spec_only_a_machine_that_has_the_part_is_an_error(tmp_path):
    plugged(tmp_path, ('        "pe_sfu",\n        SfuSpec,\n', '        "pe_sfu",\n'))
    roots({})
    with pytest.raises(ConfigError) as caught:
        load_config("tiny", SFU)
    assert str(caught.value) == (
        "overrides['pe.sfu']: describes no spec; write Kind('pe_sfu', spec), the class of what pe.sfu says"
    )


def test_a_stage_of_another_unit_and_a_port_to_none_are_refused(tmp_path):
    with pytest.raises(UsageError) as caught:
        plugged(
            tmp_path,
            ('Op("SFU"', "Op(OpCode.MATH"),
            ("from kernbench.units", "from kernbench.messages.oplog import OpCode\nfrom kernbench.units"),
        )
    assert str(caught.value).endswith(
        "kind pe_sfu: the stage MATH is that of pe_math; give yours another name"
    )
    plugged(tmp_path, ('"pe_fetch_store", "pe_scheduler"', '"pe_fetchstore",'))
    with pytest.raises(UsageError) as caught:
        kb.simulate("tiny", overrides=SFU)
    assert str(caught.value).startswith(
        "kind pe_sfu: there is no unit 'pe_fetchstore' that it could be joined to; did you mean 'pe_fetch_store'?"
    )


def test_visits_of_a_class_that_there_is_not_and_of_one_that_is_taken_are_refused(tmp_path):
    plugged(tmp_path, ('"exp", "rsqrt"', '"exp", "rsqr"'))
    with pytest.raises(UsageError) as caught:
        roots(SFU)
    assert str(caught.value).startswith(
        "kind pe_sfu: visits=('exp', 'rsqr'): did you mean 'rsqrt'? (known: add, "
    )
    plugged(tmp_path)
    other = (
        SAMPLE.read_text().replace("sfu", "xpu").replace("SFU", "XPU").replace('"exp", "rsqrt"', '"rsqrt",')
    )
    (tmp_path / "pe_xpu.py").write_text(other)
    load_plugin(tmp_path / "pe_xpu.py")
    numbers = {"lanes": 4, "latency_cycles": 4}
    with pytest.raises(UsageError) as caught:
        roots({**SFU, "pe.xpu": numbers, "components.pe_xpu": "pe_xpu_v1"})
    assert str(caught.value) == "kinds pe_sfu and pe_xpu both take visits of 'rsqrt'; leave it to one"


def test_a_built_in_file_with_a_mistake_takes_nothing_from_others(tmp_path):
    """In a copy of the package with a unit that cannot be described: machines without it are simulated."""
    package = Path(kb.__file__).parent
    shutil.copytree(package, tmp_path / "kernbench", ignore=shutil.ignore_patterns("__pycache__"))
    text = SAMPLE.read_text().replace('Op("SFU"', 'Op("SFU", 1, 2, 3, 4')
    (tmp_path / "kernbench/components/pe/pe_sfu.py").write_text(text)
    program = (
        "import kernbench as kb\nfrom kernbench.errors import ConfigError\n"
        "print(kb.simulate('tiny').torch.arange(3).tolist())\n"
        "try:\n    kb.simulate('tiny', overrides={'pe.sfu.lanes': 4})\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    values, error = done.stdout.splitlines()
    assert values == "[0, 1, 2]"
    assert error.startswith(f"{tmp_path}/kernbench/components/pe/pe_sfu.py:")
    assert error.endswith("Op.__new__() takes from 2 to 5 positional arguments but 7 were given")
