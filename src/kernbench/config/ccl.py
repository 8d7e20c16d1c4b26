"""What ``ccl.yaml`` may say: which algorithm does which collective, and its queues."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

from kernbench.config.model import Parsed
from kernbench.config.quantities import Count, FileSpec, Size, Spec, Text, key
from kernbench.wording import quoted


class SizeRange(NamedTuple):
    """For messages of ``first_bytes`` to ``last_bytes`` (None: any that are larger), this algorithm."""

    algorithm: str
    first_bytes: int
    last_bytes: int | None


def size_ranges(text: str) -> tuple[SizeRange, ...]:
    """The ranges that a selection in oneCCL's manner says, in order; ValueError where it says none or leaves some out.

    >>> size_ranges("doubling:0-8192;ring:8193-max")
    (SizeRange(algorithm='doubling', first_bytes=0, last_bytes=8192), SizeRange(algorithm='ring', first_bytes=8193, \
last_bytes=None))
    >>> size_ranges("ring")
    (SizeRange(algorithm='ring', first_bytes=0, last_bytes=None),)
    """
    found: list[SizeRange] = []
    for part in text.split(";"):
        match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(?::\s*(\d{1,18})\s*-\s*(\d{1,18}|max)\s*)?", part)
        if not match:
            raise ValueError(
                f"{quoted(part)} is not a range of message sizes in bytes; write algorithm:first-last, as in "
                "'ring_allreduce:0-max'"
            )
        first, last = int(match[2] or 0), None if match[3] in (None, "max") else int(match[3])
        wanted = 0 if not found else None if found[-1].last_bytes is None else found[-1].last_bytes + 1
        if wanted is None:
            raise ValueError(f"{quoted(part)} comes after a range to max; nothing is larger, so leave it out")
        if first != wanted:
            raise ValueError(f"{quoted(part)} must begin at {wanted}, so that each size has one algorithm")
        if last is not None and last < first:
            raise ValueError(f"{quoted(part)} ends before it begins; write algorithm:first-last")
        found.append(SizeRange(match[1], first, last))
    if found[-1].last_bytes is not None:
        raise ValueError(f"{quoted(part)} must end at max, so that each size has one algorithm")
    return tuple(found)


def parse_selection(value: Any) -> str:
    """A selection that :func:`size_ranges` understands."""
    if not isinstance(value, str):
        raise ValueError(
            f"{quoted(value)} is not a selection; write algorithm:first-last, as in 'ring_allreduce:0-max'"
        )
    size_ranges(value)
    return value


MAX = "max"


def parse_ranks(value: Any) -> Any:
    """Up to how many ranks a table is for, or ``max``: any number."""
    if value != MAX and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{quoted(value)} is no number of ranks; write 1 or more, or max for any")
    return value


def parse_tables(value: Any) -> Any:
    """The tables of a collective by number of ranks; a selection alone is one for any number."""
    return value if isinstance(value, (list, tuple)) else [{"ranks": MAX, "sizes": parse_selection(value)}]


def require_ascending(tables: tuple[CclTableSpec, ...]) -> tuple[CclTableSpec, ...]:
    """Tables of which each is for more ranks than the one before, and the last for any."""
    most: Any = 0
    for table in tables:
        if most == MAX:
            raise ValueError("a table follows that of ranks: max; no group is larger, so leave it out")
        if table.ranks != MAX and table.ranks <= most:
            raise ValueError(f"ranks: {table.ranks} follows {most}; write the tables by ascending ranks")
        most = table.ranks
    if most != MAX:
        raise ValueError("the last table must say ranks: max, so that each number of ranks has one")
    return tables


_SELECTION_TEXT = {"type": "string", "pattern": r"^\s*[A-Za-z_]\w*\s*(:\s*\d+\s*-\s*(\d+|max)\s*)?(;.+)?$"}
Selection = Annotated[str, Parsed(parse_selection, _SELECTION_TEXT)]
SelectionOrNone = Annotated[
    str | None,
    Parsed(
        lambda value: value if value is None else parse_selection(value),
        {"anyOf": [_SELECTION_TEXT, {"type": "null"}]},
    ),
]


MostRanks = Annotated[
    Any,  # int, or max
    Parsed(parse_ranks, {"anyOf": [{"type": "integer", "minimum": 1}, {"const": MAX}]}),
]


class CclAlgorithmSpec(Spec):
    """One algorithm's module and queue settings; what it leaves out comes from ``defaults``."""

    module: Text
    buffer_kind: Literal["tcm", "sram", "hbm"] | None = None
    slots: Count | None = None
    slot_bytes: Size | None = key("slot_size", default=None)
    backpressure: Literal["poll", "sleep"] | None = None
    credit_batch: Count | None = None
    world_size: Count | None = None


class CclDefaultsSpec(Spec):
    """Queue settings every algorithm starts from; rings that are not described are the machine's (``pe.ipcq``)."""

    buffer_kind: Literal["tcm", "sram", "hbm"] | None = None
    slots: Count | None = None
    slot_bytes: Size | None = key("slot_size", default=None)
    backpressure: Literal["poll", "sleep"]
    credit_batch: Count


class CclTableSpec(Spec):
    """What does a collective in groups of up to ``ranks`` (``max``: of any number), by the bytes of a rank's buffer.

    ``otherwise`` is for groups that the algorithm of ``sizes`` cannot serve.
    """

    ranks: MostRanks
    sizes: Selection
    otherwise: SelectionOrNone = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The table's selections: that of ``sizes``, and that of ``otherwise`` if there is one."""
        return (self.sizes,) if self.otherwise is None else (self.sizes, self.otherwise)


def _tables_schema() -> dict[str, Any]:
    return {"anyOf": [_SELECTION_TEXT, {"type": "array", "items": CclTableSpec.model_json_schema()}]}


Tables = Annotated[tuple[CclTableSpec, ...], Parsed(parse_tables, _tables_schema, check=require_ascending)]


class CclSelectionSpec(Spec):
    """Which algorithm does a collective, by number of ranks and by the bytes of the smaller buffer of a rank."""

    all_reduce: Tables
    reduce_scatter: Tables
    all_gather: Tables
    broadcast: Tables
    reduce: Tables
    all_to_all: Tables
    barrier: Tables


CollectiveName = Literal[
    "all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce", "all_to_all", "barrier"
]


class CclSpec(FileSpec):
    """``ccl.yaml``: collectives: defaults, which algorithm does which, and the settings of each algorithm.

    The queues of the algorithms of ``eager`` collectives are installed with a group, others at first use.
    """

    version: Literal[1]
    defaults: CclDefaultsSpec
    selection: CclSelectionSpec
    eager: tuple[CollectiveName, ...]
    algorithms: dict[str, CclAlgorithmSpec]
