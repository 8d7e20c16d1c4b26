"""The causes to which the picoseconds of a kernel and of a device window go: what each means, and what to do about it.

The reference's page of causes is made of these texts, and a test applies each advice to a kernel that gets it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from kernbench.kinds import Cause, Kind, Op, OpName, kinds, load_kinds
from kernbench.messages.lines import SHORT, Origin
from kernbench.messages.source_line import SourceLine
from kernbench.units import percent


def causes() -> dict[str, Cause]:
    """Every cause of a kernel's time, in the order work passes: what kinds of units describe, by their ops' codes.

    Those of which nothing is known to do come last: only components of a user's own can bring them about.
    """
    load_kinds()
    ops = sorted(((kind, op) for kind in kinds() for op in kind.ops if op.cause is not None), key=_by_code)
    found = list({cause.name: cause for _, op in ops for cause in op.causes}.values())
    busy = [
        Cause(f"{unit} busy", f"{unit.upper()} still held earlier work")
        for unit in dict.fromkeys(kind.name for kind, _ in ops)
    ]
    all_causes = (
        Cause(
            "launch skew",
            "PEs start one after another as the launch reaches them",
            "put more work into one launch",
        ),
        *(cause for cause in found if cause.says_what_to_do),
        *busy,
        Cause("hand-over", "work waited between two units"),
        *(cause for cause in found if not cause.says_what_to_do),
        Cause("not traced", "no record says what was waited for", "report it as a bug of KernBench, please"),
    )
    return {cause.name: cause for cause in all_causes}


def _by_code(kind_and_op: tuple[Kind, Op]) -> tuple[bool, OpName]:
    """Ops that every log has by their codes, then those that other units brought along by their names."""
    what = kind_and_op[1].what
    return isinstance(what, str), what


# What the host sees, in the order it happens.
DEVICE_CAUSES: dict[str, Cause] = {
    cause.name: cause
    for cause in (
        Cause(
            "map",
            "page tables are written and TLBs told, before the first launch",
            "make fewer tensors, or use larger pages",
        ),
        Cause(
            "unmap",
            "page tables are cleared and TLBs told, at the end of a tensor",
            "make fewer tensors, or keep them",
        ),
        Cause(
            "queues",
            "queues are installed or removed on each PE",
            "install them once, install them on fewer PEs, or install fewer directions",
        ),
        Cause("host to device", "copies over PCIe", "keep tensors on the device, or copy less"),
        Cause("launch", "from the host over IO_CPU and M_CPU to the PE", "launch less often"),
        Cause("kernel", "see the breakdown of the kernel"),
        Cause("completion", "from the slowest PE's end to the host", "launch less often"),
        Cause("device to host", "copies over PCIe", "read back less"),
        Cause("idle", "nothing was asked of the device"),
    )
}


class Part(NamedTuple):
    """What a part of a kernel's time went to: a cause, the unit that it was spent for, and where that was asked for.

    ``unit`` is the channel of PE_DMA that moved data, the unit whose operands or results were moved, or the one that
    a command was for; ``origin`` is None for what no line of a kernel asks for, such as its start.
    """

    cause: str
    unit: str
    origin: Origin | None


Parts = Mapping[Part, int]  # ps
Key = TypeVar("Key")


def total(launches: Iterable[Parts]) -> dict[Part, int]:
    """The sum of several launches' parts: causes in their order, the longest part of each first."""
    sums: Counter[Part] = Counter()
    for parts in launches:
        sums.update(parts)
    order = {name: at for at, name in enumerate(causes())}
    return dict(sorted(sums.items(), key=lambda item: (order[item[0].cause], -item[1])))


def by_cause(parts: Parts) -> dict[str, int]:
    """Picoseconds by cause, in the order of :func:`causes`."""
    sums = _sums(parts, lambda part: part.cause)
    return {name: sums[name] for name in causes() if name in sums}


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
    sums: Counter[Key] = Counter()
    for part, ps in parts.items():
        sums[key(part)] += ps
    return sums


def _line_of(part: Part) -> SourceLine | None:
    return None if part.origin is None else part.origin.line


def cure(cause: str, payer: Payer) -> str:
    """What to do about ``cause`` where ``payer`` pays most for it; what it means, where nothing is known."""
    known = causes()[cause]
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
    known = causes()
    for part, ps in parts.items():
        if part.origin is not None and part.origin.op in known[part.cause].cures:
            key = part.origin, known[part.cause].cures[part.origin.op]
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
    f"{SHORT}load": "loads of short runs",
    f"{SHORT}store": "stores of short runs",
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
