"""The hand calculations of docs/explanation/fabric.md are what the simulator does, to the picosecond."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from kernbench import lang as tl
from kernbench.lang import jit
from kernbench.messages.oplog import OpCode
from kernbench.simulation import Simulation

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "fabric.md"
ONE_LOAD = PAGE.with_name("one-load.md")
BEFORE_PS, TCM_PS = 17_000, 6_000  # set-up and look-up; of a load, not of a walk's read
ITEM_BYTES = 4


@jit
def load_once(x, N_ELEM: tl.constexpr):
    tl.load(x + tl.arange(0, N_ELEM))


def by_hand(size: str) -> dict[str, int]:
    """The last line of the table under "By hand: ``size``", in ps, by preset."""
    section = PAGE.read_text().split(f"## By hand: {size}\n")[1].split("\n## ")[0]
    tiny, default = re.findall(r"\*\*([\d.]+)\*\*", section)
    return {"tiny": int(Decimal(tiny) * 1000), "default": int(Decimal(default) * 1000)}


@pytest.mark.parametrize("preset", ["tiny", "default"])
@pytest.mark.parametrize(("size", "size_bytes"), [("32 B", 32), ("4 KiB", 4096)])
def test_a_local_load_takes_what_the_page_derives(preset, size, size_bytes):
    simulation = Simulation.of(preset, mode="timing")
    torch, n_elem = simulation.torch, size_bytes // ITEM_BYTES
    x = torch.empty(n_elem * len(simulation.graph.pes))  # row-wise: the first PE's shard is what it loads
    for _ in range(2):  # the second time the TLB holds the page
        torch.launch(load_once, (1,), (x,), {"N_ELEM": n_elem})
    torch.synchronize()
    _, load = (record for record in simulation.machine.log if record.op == OpCode.DMA_READ)
    assert load.end_ps - load.start_ps == by_hand(size)[preset]
    _, dispatch = (record for record in simulation.machine.log if record.op == OpCode.DISPATCH)
    assert dispatch.end_ps == load.start_ps


def test_the_page_walk_of_one_load_is_the_sum_of_its_two_reads():
    """The table's row is what the op log says; the second read is the page's load of 32 B from request to NIU."""
    text = ONE_LOAD.read_text()
    (row,) = re.findall(r"a walk of two reads \| [\d.]+ \| ([\d.]+) \|", text)
    place, entry, both = map(Decimal, re.search(r"([\d.]+) \+ ([\d.]+) = ([\d.]+) ns", text).groups())
    assert place + entry == both == Decimal(row)
    assert entry * 1000 == by_hand("32 B")["tiny"] - BEFORE_PS - TCM_PS
