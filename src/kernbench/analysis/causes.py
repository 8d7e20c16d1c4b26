"""The causes to which the picoseconds of a kernel and of a device window go: what each means, and what to do about it.

The reference's page of causes is made of these texts, and a test applies each advice to a kernel that gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from kernbench.messages.lines import ADD_OF_DOT, GATHER, SHORT, Origin
from kernbench.messages.source_line import SourceLine
from kernbench.units import percent


class Cause(NamedTuple):
    """What a cause means, and what to do about it ("": nothing is known).

    ``cures`` fit better where they name what pays: a unit, or an op. The alternatives of a cure have commas between
    them.
    """

    meaning: str
    cure: str = ""
    cures: Mapping[str, str] = {}


_LOADS, _STORES, _GEMM, _MATH = "pe_dma.rd", "pe_dma.wr", "pe_gemm", "pe_math"
_SHORT_LOADS, _SHORT_STORES = f"{SHORT}load", f"{SHORT}store"
# A cast takes PE_MATH, and what moves its operands and results, about as long as a whole op.
_NARROWER = "use a narrower dtype that needs no cast"
_FUSE = f"fuse operations (tl.fma, tl.softmax), {_NARROWER}, or more PEs"
_ADD_IN_ARRAY = {ADD_OF_DOT: "accumulate with acc = tl.dot(a, b, acc)"}
_FEWER_COMMANDS = "use larger blocks and so fewer commands"

# In the order work passes.
CAUSES: dict[str, Cause] = {
    "launch skew": Cause(
        "PEs start one after another as the launch reaches them", "put more work into one launch"
    ),
    "kernel start": Cause("PE_CPU starts once per launch", "put more work into one launch"),
    "command issue": Cause("PE_CPU issues one command at a time", _FEWER_COMMANDS),
    "readback": Cause(
        "the kernel needed a value or looked for a completion",
        "need the value later, or keep the decision in a mask",
        {"test": "wait once with tl.wait"},
    ),
    "dispatch": Cause("PE_SCHEDULER plans one command at a time", _FEWER_COMMANDS),
    "dma setup and window": Cause(
        "PE_DMA prepares descriptors or its window is full",
        cures={_LOADS: "load larger blocks", _STORES: "store larger blocks"},
    ),
    "page walk": Cause(
        "the TLB did not hold the page", "touch fewer pages, or fit pe.mmu.page to the shards"
    ),
    "request on the fabric": Cause(
        "requests and acknowledgements travel",
        cures={
            GATHER: "let the pointers be affine in their indices",
            _LOADS: "place data nearer, load larger blocks, or load earlier",
            _STORES: "place data nearer, or store larger blocks",
        },
    ),
    "hbm queue": Cause(
        "other requests are first at this memory",
        "spread the data over more channels, or let programs touch it in different orders",
    ),
    "hbm": Cause(
        "the memory's own latency and rate",
        cures={
            _SHORT_LOADS: f"load larger runs, load earlier, reuse what was loaded, or {_NARROWER}",
            _SHORT_STORES: f"store larger runs, or {_NARROWER}",
            _LOADS: f"load earlier, reuse what was loaded, or {_NARROWER}",
            _STORES: _NARROWER,
        },
    ),
    "data on the fabric": Cause(
        "data travels",
        cures={
            _SHORT_LOADS: f"place data nearer, load larger runs, or {_NARROWER}",
            _SHORT_STORES: f"place data nearer, store larger runs, or {_NARROWER}",
            _LOADS: f"place data nearer, or {_NARROWER}",
            _STORES: f"place data nearer, or {_NARROWER}",
        },
    ),
    "fetch": Cause(
        "TCM to register file",
        cures={
            **_ADD_IN_ARRAY,
            _GEMM: "use larger m and n that fit pe.regfile.accumulators, or a narrower dtype",
            _MATH: _FUSE,
        },
    ),
    "gemm": Cause(
        "the array is at work",
        "fill the array (multiples of pe.gemm.m and n), use a narrower dtype, or more PEs",
    ),
    "math": Cause(
        "PE_MATH is at work",
        "use fewer or cheaper operations, a narrower dtype that needs no cast, or more PEs",
        _ADD_IN_ARRAY,
    ),
    "store": Cause(
        "register file to TCM",
        cures={
            **_ADD_IN_ARRAY,
            "dot": "use m and n that fit pe.regfile.accumulators",
            _GEMM: "store a narrower dtype, or use smaller blocks so that one is stored while the next is computed",
            _MATH: _FUSE,
        },
    ),
    "credit return": Cause(
        "all slots of a queue were in use",
        "use more slots, free received blocks earlier, let senders sleep instead of poll, "
        "or place PEs that talk nearer",
    ),
    "send": Cause("PE_DMA sets up and a slot's bytes leave", "use larger slots, or send fewer bytes"),
    "message on the fabric": Cause(
        "a slot's last bytes travel to the receiver",
        "place PEs that talk nearer, send earlier, or send fewer and larger messages",
    ),
    "slot to tcm": Cause(
        "PE_DMA copies a slot to where the block lies",
        "let the ring lie in TCM, or let it hold a whole message",
    ),
    **{
        f"{unit} busy": Cause(f"{unit.upper()} still held earlier work")
        for unit in ("pe_cpu", "pe_scheduler", "pe_dma", "pe_fetch_store", "pe_gemm", "pe_math", "pe_ipcq")
    },
    "hand-over": Cause("work waited between two units"),
    "kernel end": Cause("PE_CPU waited behind the last completion"),
    "not traced": Cause("no record says what was waited for", "report it as a bug of KernBench, please"),
}
# What only components of a user's own can bring about; for what those should do better nothing is known here.
OWN_COMPONENTS_ONLY = frozenset(name for name, cause in CAUSES.items() if not (cause.cure or cause.cures))

# What the host sees, in the order it happens.
DEVICE_CAUSES: dict[str, Cause] = {
    "map": Cause(
        "page tables are written and TLBs told, before the first launch",
        "make fewer tensors, or use larger pages",
    ),
    "unmap": Cause(
        "page tables are cleared and TLBs told, at the end of a tensor", "make fewer tensors, or keep them"
    ),
    "queues": Cause(
        "queues are installed or removed on each PE",
        "install them once, install them on fewer PEs, or install fewer directions",
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
Key = TypeVar("Key")


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
    sums = _sums(parts, lambda part: part.cause)
    return {name: sums[name] for name in CAUSES if name in sums}


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
    mine = {part: ps for part, ps in parts.items() if part.cause == cause}
    units = _sums(mine, lambda part: part.unit)
    unit = max(units, key=lambda name: units[name])
    of_unit = {part: ps for part, ps in mine.items() if part.unit == unit}
    lines = _sums(of_unit, _line_of)
    line = max(lines, key=lambda line: lines[line])
    most = max((part for part in of_unit if _line_of(part) == line), key=lambda part: of_unit[part])
    return Payer(unit, units[unit] / sum(units.values()), most.origin, lines[line] / units[unit])


def _sums(parts: Parts, key: Callable[[Part], Key]) -> dict[Key, int]:
    """The parts with one key added up."""
    sums: dict[Key, int] = {}
    for part, ps in parts.items():
        sums[key(part)] = sums.get(key(part), 0) + ps
    return sums


def _line_of(part: Part) -> SourceLine | None:
    return None if part.origin is None else part.origin.line


def cure(cause: str, payer: Payer) -> str:
    """What to do about ``cause`` where ``payer`` pays most for it; what it means, where nothing is known."""
    known = CAUSES[cause]
    op = "" if payer.origin is None else payer.origin.op
    if payer.origin is not None and payer.origin.is_short:
        op = SHORT + op
    return known.cures.get(op) or known.cures.get(payer.unit) or known.cure or known.meaning


class Hint(NamedTuple):
    """A line whose op has a cure of its own, and what it pays for the causes that this cures."""

    origin: Origin
    time_ps: int
    cure: str


def hints(parts: Parts) -> list[Hint]:
    """The lines whose op has a cure of its own, the longest time first, but those that pay most for a cause."""
    sums: dict[tuple[Origin, str], int] = {}
    for part, ps in parts.items():
        if part.origin is not None and part.origin.op in CAUSES[part.cause].cures:
            key = part.origin, CAUSES[part.cause].cures[part.origin.op]
            sums[key] = sums.get(key, 0) + ps
    for cause in by_cause(parts):
        most = payer(parts, cause)
        if most.origin is not None:
            sums.pop((most.origin, cure(cause, most)), None)
    found = [Hint(origin, ps, text) for (origin, text), ps in sums.items()]
    return sorted(found, key=lambda hint: -hint.time_ps)


def limit_line(parts: Parts) -> str:
    """One sentence on what limits the kernel, for which unit and at which line, and what to do about it.

    >>> limit_line({Part("launch skew", "pe_cpu", None): 250, Part("kernel start", "pe_cpu", None): 750})
    'The kernel is limited by kernel start, 75 % of its time: put more work into one launch.'
    """
    if not parts:
        return "No kernel ran."
    causes = by_cause(parts)
    name = max(causes, key=lambda cause: causes[cause])
    share = percent(causes[name] / sum(causes.values()))
    most = payer(parts, name)
    return f"The kernel is limited by {name}, {share} of its time{_where(most)}: {cure(name, most)}."


# What a unit's time is spent for, in a sentence.
PAYERS = {
    "pe_dma.rd": "loads",
    "pe_dma.wr": "stores",
    _SHORT_LOADS: "loads of short runs",
    _SHORT_STORES: "stores of short runs",
    "pe_gemm": "PE_GEMM",
    "pe_math": "PE_MATH",
    "pe_ipcq": "messages",
    "pe_cpu": "PE_CPU",
}


def _where(most: Payer) -> str:
    """Whom a limit is for, where others pay too, and at which line."""
    whom = (
        ""
        if most.of_cause == 1
        else f", {percent(most.of_cause)} of it for {PAYERS.get(most.unit, most.unit)}"
    )
    if most.origin is None:
        return whom
    share = percent(most.of_unit)
    if most.of_unit > 0.5:
        share = "all" if most.of_unit == 1 else "most"
    return f"{whom}, {share} of {'that' if whom else 'it'} at {most.origin}"
