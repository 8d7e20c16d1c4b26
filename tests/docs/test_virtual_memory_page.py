"""The hand calculations of docs/explanation/virtual-memory.md are what the simulator does, to the picosecond."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from kernbench.lang import jit, tl
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "virtual-memory.md"
PRESETS = ("tiny", "default")


@jit
def touch_once(x):
    tl.load(x)


def by_hand(section: str, preset: str) -> tuple[list[int], int]:
    """The legs of a table and its bold total, in ps."""
    text = PAGE.read_text().split(f"## By hand: {section}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*) \| \**([\d.]+)\** \| \**([\d.]+)\** \|$", text, re.MULTILINE)
    column = [int(Decimal(row[1 + PRESETS.index(preset)]) * 1000) for row in rows]
    return column[:-1], column[-1]


def taken(preset: str, n_elem: int, op: OpCode) -> int:
    simulation = Simulation.of(preset, mode="timing")
    x = simulation.torch.empty(n_elem)
    simulation.torch.launch(touch_once, (1,), (x,), place=[0])
    simulation.torch.synchronize()
    (record,) = (record for record in simulation.machine.log if record.op == op)
    return record.end_ps - record.start_ps


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("section", ["mapping a tensor", "a first touch"])
def test_the_legs_of_a_table_sum_to_its_total(section, preset):
    legs, total = by_hand(section, preset)
    assert len(legs) > 1
    assert sum(legs) == total


@pytest.mark.parametrize(("preset", "n_elem"), [("tiny", 64), ("default", 1)])
def test_a_map_takes_what_the_page_derives(preset, n_elem):
    assert taken(preset, n_elem, OpCode.HOST_MAP) == by_hand("mapping a tensor", preset)[1]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_first_touch_takes_what_the_page_derives(preset):
    assert taken(preset, 1, OpCode.WALK) == by_hand("a first touch", preset)[1]
