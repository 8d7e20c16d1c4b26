"""The causes to which the picoseconds of a kernel and of a device window go: what each means, and what to do about it.

The reference's page of causes is made of these texts, and a test applies each advice to a kernel that gets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kernbench.messages.commands import SourceLine
from kernbench.messages.lines import Origin
from kernbench.reports.tables import percent


class Cause(NamedTuple):
    """What a cause means, and what to do about it ("": nothing is known).

    ``cures`` fit better where they name what pays: a unit, or an op.
    """

    meaning: str
    cure: str = ""
    cures: Mapping[str, str] = {}


# In the order work passes.
CAUSES: dict[str, Cause] = {
    "launch skew": Cause("PEs start one after another as the launch reaches them", "launch less often"),
    "kernel start": Cause("PE_CPU starts once per launch", "put more work into one launch"),
    "command issue": Cause("PE_CPU issues one command at a time", "use larger blocks, so fewer commands"),
    "readback": Cause(
        "the kernel needed a value or a completion", "need it later, or keep the decision in a mask"
    ),
    "dispatch": Cause("PE_SCHEDULER plans one command at a time", "use larger blocks, so fewer commands"),
    "dma setup and window": Cause(
        "PE_DMA prepares descriptors or its window is full", "use larger blocks, or load earlier"
    ),
    "page walk": Cause("the TLB did not hold the page", "touch fewer pages, or fit their size to the shards"),
    "request on the fabric": Cause(
        "requests and acknowledgements travel", "place data nearer, or load earlier"
    ),
    "hbm queue": Cause(
        "other requests are first at this memory", "spread the data over more channels, or rotate the order"
    ),
    "hbm": Cause("the memory's own latency and rate", "load larger runs, or reuse what was loaded"),
    "data on the fabric": Cause("data travels", "place data nearer, or use fewer bytes"),
    "fetch": Cause("TCM to register file", "use a larger k step, or keep operands in registers"),
    "gemm": Cause("the array is at work", "use a narrower dtype or more PEs"),
    "math": Cause("PE_MATH is at work", "use fewer or cheaper operations, or more PEs"),
    "store": Cause("register file to TCM", "keep the accumulator in registers"),
    "credit return": Cause(
        "all slots of a queue were in use", "receive earlier, free blocks earlier, or use more slots"
    ),
    "send": Cause("PE_DMA sets up and a slot's bytes leave", "use larger slots, or send fewer bytes"),
    "message on the fabric": Cause(
        "a slot's last bytes travel to the receiver", "place PEs that talk nearer, or send earlier"
    ),
    "slot to tcm": Cause(
        "PE_DMA copies a slot to where the block lies", "use rings in TCM that hold a whole message"
    ),
    "pe_cpu busy": Cause("PE_CPU still held earlier work", "issue fewer commands"),
    "pe_scheduler busy": Cause("PE_SCHEDULER still held earlier work", "use larger blocks"),
    "pe_dma busy": Cause("PE_DMA still held earlier work", "use fewer bytes, or larger runs"),
    "pe_fetch_store busy": Cause("PE_FETCH_STORE still held earlier work", "use larger tiles"),
    "pe_gemm busy": Cause("the array still held earlier work", "use a narrower dtype or more PEs"),
    "pe_math busy": Cause("PE_MATH still held earlier work", "use fewer or cheaper operations"),
    "pe_ipcq busy": Cause("an earlier slot of this queue waited for its turn at PE_DMA", "send fewer bytes"),
    "hand-over": Cause("work waited between two units", "for an operand, a place in a queue, or room in TCM"),
    "kernel end": Cause("PE_CPU waits for the last stores and reports", "put more work into one launch"),
    "not traced": Cause("no record says what was waited for", "report it as a bug of KernBench, please"),
}

# What the host sees, in the order it happens.
DEVICE_CAUSES: dict[str, Cause] = {
    "map": Cause(
        "page tables are written and TLBs told, before the first launch",
        "make fewer tensors, or use larger pages",
    ),
    "unmap": Cause("the same at the end of a tensor", "make fewer tensors, or keep them"),
    "queues": Cause(
        "queues are installed or removed on each PE",
        "install them once, on fewer PEs or in fewer directions",
    ),
    "host to device": Cause("copies over PCIe", "keep tensors on the device, or copy less"),
    "launch": Cause("from the host over IO_CPU and M_CPU to the PE", "launch less often"),
    "kernel": Cause("see the breakdown of the kernel"),
    "completion": Cause("from the slowest PE's end to the host", "launch less often"),
    "device to host": Cause("copies over PCIe", "read back less"),
    "idle": Cause("nothing was asked of the device"),
}


class Part(NamedTuple):
    """What a part of a kernel's time went to: a cause, the unit that it was spent for, and where that was asked for.

    ``unit`` is the channel of PE_DMA that moved data, the unit whose operands or results were moved, or the one that
    a command was for; ``origin`` is None for what no line of a kernel asks for, such as its start.
    """

    cause: str
    unit: str
    origin: Origin | None

    def to_json(self) -> dict[str, str | None]:
        """The part as JSON says it."""
        line, op = (None, None) if self.origin is None else (str(self.origin.line), self.origin.op)
        return {"cause": self.cause, "unit": self.unit, "line": line, "op": op}


Parts = Mapping[Part, int]  # ps


def total(launches: Iterable[Parts]) -> dict[Part, int]:
    """The sum of several launches' parts: causes in their order, the longest part of each first."""
    sums: dict[Part, int] = {}
    for parts in launches:
        for part, ps in parts.items():
            sums[part] = sums.get(part, 0) + ps
    order = {name: at for at, name in enumerate(CAUSES)}
    return dict(sorted(sums.items(), key=lambda item: (order[item[0].cause], -item[1])))


def by_cause(parts: Parts) -> dict[str, int]:
    """Picoseconds by cause, in the order of :data:`CAUSES`."""
    sums = dict.fromkeys(CAUSES, 0)
    for part, ps in parts.items():
        sums[part.cause] += ps
    return {name: ps for name, ps in sums.items() if ps}


class Payer(NamedTuple):
    """Who pays most for a cause: a unit, and of what that pays, a line (None: no line asks for it).

    ``of_cause`` is the unit's share of the cause's time, ``of_unit`` the line's share of the unit's.
    """

    unit: str
    of_cause: float
    origin: Origin | None
    of_unit: float


def payer(parts: Parts, cause: str) -> Payer:
    """Who pays most for ``cause``, which has a part."""
    units: dict[str, dict[Origin | None, int]] = {}
    for part, ps in parts.items():
        if part.cause == cause:
            units.setdefault(part.unit, {})[part.origin] = ps
    unit = max(units, key=lambda name: sum(units[name].values()))
    origins = units[unit]
    lines: dict[SourceLine | None, int] = {}
    for origin, ps in origins.items():
        line = None if origin is None else origin.line
        lines[line] = lines.get(line, 0) + ps
    most = max(lines, key=lambda line: lines[line])
    origin = max(
        (origin for origin in origins if (None if origin is None else origin.line) == most),
        key=lambda origin: origins[origin],
    )
    unit_ps = sum(origins.values())
    cause_ps = sum(sum(mine.values()) for mine in units.values())
    return Payer(unit, unit_ps / cause_ps, origin, lines[most] / unit_ps)


def cure(cause: str, payer: Payer) -> str:
    """What to do about ``cause`` where ``payer`` pays most for it; what it means, where nothing is known."""
    known = CAUSES[cause]
    op = "" if payer.origin is None else payer.origin.op
    return known.cures.get(op) or known.cures.get(payer.unit) or known.cure or known.meaning


def limit_line(parts: Parts) -> str:
    """One sentence on what limits the kernel, for which unit and at which line, and what to do about it.

    >>> limit_line({Part("math", "pe_math", None): 250, Part("gemm", "pe_gemm", None): 750})
    'The kernel is limited by gemm, 75 % of its time: use a narrower dtype or more PEs.'
    """
    if not parts:
        return "No kernel ran."
    causes = by_cause(parts)
    name = max(causes, key=lambda cause: causes[cause])
    share = percent(causes[name] / sum(causes.values()))
    most = payer(parts, name)
    return f"The kernel is limited by {name}, {share} of its time{_where(most)}: {cure(name, most)}."


# What a unit's time is spent for, in a sentence.
_PAYERS = {
    "pe_dma.rd": "loads",
    "pe_dma.wr": "stores",
    "pe_gemm": "PE_GEMM",
    "pe_math": "PE_MATH",
    "pe_ipcq": "messages",
    "pe_cpu": "PE_CPU",
}


def _where(most: Payer) -> str:
    """Whom a limit is for, where others pay too, and at which line."""
    whom = "" if most.of_cause == 1 else f", {percent(most.of_cause)} of it for {_PAYERS[most.unit]}"
    if most.origin is None:
        return whom
    share = percent(most.of_unit)
    if most.of_unit > 0.5:
        share = "all" if most.of_unit == 1 else "most"
    return f"{whom}, {share} of {'that' if whom else 'it'} at {most.origin}"
