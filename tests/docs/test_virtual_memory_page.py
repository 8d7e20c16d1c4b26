"""The hand calculations of docs/explanation/virtual-memory.md are what the simulator does, to the picosecond."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import accumulate
from pathlib import Path

import pytest

from kernbench import lang as tl
from kernbench.device.placement import DPPolicy
from kernbench.lang import jit
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "virtual-memory.md"
ELEMENTS = {"tiny": 64, "default": 1}  # of the tensors that the page maps
ROWS = DPPolicy("row_wise")
LAST_TOLD = {"tiny": ("sip0", "cube0", "pe3"), "default": ("sip1", "cube3", "pe15")}


@jit
def load_one(x):
    tl.load(x)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under "By hand: ``heading``", without its head."""
    section = PAGE.read_text().split(f"## By hand: {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def column(cells: list[str]) -> list[int]:
    """A column in ps; a cell without a number adds nothing."""
    return [int(Decimal(cell.strip("*") or 0) * 1000) for cell in cells]


def mapped_on(preset: str) -> tuple[list[int], list[int]]:
    _, adds, at = zip(*rows(f"mapping a tensor on `{preset}`"), strict=True)
    return column(adds), column(at)


def touched_on(preset: str) -> tuple[list[int], list[int]]:
    _, *columns = zip(*rows("a first touch"), strict=True)
    adds, at = columns[:2] if preset == "tiny" else columns[2:]
    return column(adds), column(at)


@pytest.mark.parametrize("preset", ELEMENTS)
@pytest.mark.parametrize("table", [mapped_on, touched_on])
def test_the_legs_of_a_table_sum_up_to_its_times(table, preset):
    adds, at = table(preset)
    assert list(accumulate(adds)) == at


@pytest.mark.parametrize("preset", ELEMENTS)
def test_a_map_takes_what_the_page_derives_and_reaches_each_processor_when_it_says(preset):
    simulation = Simulation.of(preset, mode="timing")
    _x = simulation.torch.empty(ELEMENTS[preset], policy=ROWS)
    simulation.torch.synchronize()
    _, at = mapped_on(preset)
    (record,) = (r for r in simulation.machine.log if r.op == OpCode.HOST_MAP)
    assert record.start_ps == 0
    assert record.end_ps == at[-1]
    sip, cube, pe = LAST_TOLD[preset]
    names = (f"{sip}.io_cpu", f"{sip}.{cube}.m_cpu", f"{sip}.{cube}.{pe}.pe_mmu")
    nodes = {simulation.graph.node(name).index for name in names}
    marks = {t for r in simulation.machine.log if r.node in nodes for t in (r.start_ps, r.end_ps)}
    assert len(marks) == 11  # of four commands, a table write that begins where one ends, and an update
    assert marks <= set(at)


@pytest.mark.parametrize("preset", ELEMENTS)
def test_a_first_touch_walks_for_what_the_page_derives(preset):
    simulation = Simulation.of(preset, mode="timing")
    torch = simulation.torch
    x = torch.empty(ELEMENTS[preset], policy=ROWS)
    for _ in range(2):
        torch.launch(load_one, (1,), (x,), place=[0])
    torch.synchronize()
    _, at = touched_on(preset)
    (walk,) = (r.end_ps - r.start_ps for r in simulation.machine.log if r.op == OpCode.WALK)
    first, second = (r.end_ps - r.start_ps for r in simulation.machine.log if r.op == OpCode.DMA_READ)
    assert walk == first - second == at[-1]
