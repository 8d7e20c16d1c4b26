"""Which PE has which part of a tensor: a policy for each level of the machine, and the grid that follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise, product

import numpy as np

from kernbench.config.schema import TopologySpec
from kernbench.dtypes import DType
from kernbench.errors import UsageError
from kernbench.given import whole
from kernbench.memory.cut import CellBorders
from kernbench.memory.shards import ShardGrid
from kernbench.registry import did_you_mean
from kernbench.topology.levels import levels_of
from kernbench.units import ceil_div, format_bytes
from kernbench.wording import quoted

WAYS = ("replicate", "row_wise", "column_wise", "tiled")
SPACES = ("hbm", "sram")


def _checked(only: object) -> int | tuple[int, ...] | None:
    """``only`` as a policy keeps it, once it can name PEs of some machine."""
    if only is None:
        return None
    cure = "give a PE's number, as in only=3, or a list of them, as in only=[0, 1]"
    named = only if isinstance(only, Sequence) and not isinstance(only, str) else (only,)
    if not named:
        raise UsageError(f"DPPolicy: only={quoted(only)} names no PE; {cure}")
    for pe in named:
        if isinstance(pe, (bool, np.bool_)) or not isinstance(pe, (int, np.integer)) or pe < 0:
            raise UsageError(f"DPPolicy: only={quoted(only)}: {quoted(pe)} is no PE's number; {cure}")
    pes = tuple(map(int, named))
    twice = next((pe for i, pe in enumerate(pes) if pe in pes[:i]), None)
    if twice is not None:
        raise UsageError(f"DPPolicy: only={quoted(only)} names PE {twice} twice; name each once")
    return pes if named is only else pes[0]


@dataclass(frozen=True, slots=True)
class DPPolicy:
    """How a tensor is spread over the SIPs, then over the cubes of each, then over the PEs of each cube.

    Each level is one of ``replicate`` (a copy for each, to be read), ``row_wise`` (splits the first dimension),
    ``column_wise`` (splits the last), ``tiled`` (splits the first over the rows of the level's grid and the last over
    its columns). A part is split into ceil-size pieces, so the last ones may be smaller or empty. A tensor of one
    dimension has only that one to split. ``space`` is the memory: the PE's slice of HBM, or its cube's shared SRAM,
    where PEs that would replicate share one copy. ``only``, a PE's number or a list of them, puts all of it there,
    whatever the levels say: over those of a list as ``row_wise`` does.

    ``least_bytes`` is the size below which no part lies alone: neighbours are one shard, in the memory of one of their
    PEs, until it has as much. Programs run where they run without it. The policy of a tensor that is made without one
    has a row of HBM there, ``cube.hbm.org.row``: 1 KiB in the presets.

    >>> print(DPPolicy(only=3), DPPolicy(only=[0, 2]), sep="; ")
    only PE 3; only PEs 0, 2
    >>> print(DPPolicy("row_wise", least_bytes=1024))
    sip=row_wise, cube=row_wise, pe=row_wise, shards of at least 1 KiB
    """

    sip: str = "replicate"
    cube: str = "row_wise"
    pe: str = "row_wise"
    space: str = "hbm"
    only: int | Sequence[int] | None = None
    least_bytes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "only", _checked(self.only))
        object.__setattr__(self, "least_bytes", whole(self.least_bytes, "DPPolicy: least_bytes"))
        for field in fields(self):
            if field.name in ("only", "least_bytes"):
                continue
            value, known = getattr(self, field.name), SPACES if field.name == "space" else WAYS
            if value not in known:
                raise UsageError(
                    f"DPPolicy: {field.name}={quoted(value)} is unknown; {did_you_mean(value, known)}"
                )

    def __str__(self) -> str:
        where = "" if self.space == "hbm" else f", space={self.space}"
        if self.least_bytes:
            where += f", shards of at least {format_bytes(self.least_bytes)}"
        if self.only is not None:
            return f"only PE{'s' * (len(self.pes) > 1)} {', '.join(map(str, self.pes))}{where}"
        return f"sip={self.sip}, cube={self.cube}, pe={self.pe}{where}"

    @property
    def pes(self) -> tuple[int, ...]:
        """The PEs that ``only`` names, in its order; none without it."""
        if self.only is None:
            return ()
        return (self.only,) if isinstance(self.only, int) else tuple(self.only)


def default_policy(spec: TopologySpec) -> DPPolicy:
    """Of a tensor made without a policy: each byte exists once, in a shard that is worth a transaction (ADR-0049)."""
    return DPPolicy(sip="row_wise", least_bytes=spec.cube.hbm.org.row_bytes)


@dataclass(frozen=True, slots=True)
class _SplitLevel:
    """One level of the machine: how many parts, on which grid, split in which way."""

    way: str
    count: int
    grid: tuple[int, int]

    def parts(self, *, is_line: bool) -> tuple[int, int]:
        """Into how many parts rows and columns are split; a line has columns only."""
        if self.way == "replicate":
            return 1, 1
        if is_line:
            return 1, self.count
        across, down = self.grid
        return {"row_wise": (self.count, 1), "column_wise": (1, self.count), "tiled": (down, across)}[
            self.way
        ]

    def part(self, unit: int, *, is_line: bool) -> tuple[int, int]:
        """Which part of rows and of columns ``unit`` holds."""
        rows, columns = self.parts(is_line=is_line)
        return divmod(unit, columns) if rows * columns > 1 else (0, 0)


def place(shape: tuple[int, ...], dtype: DType, policy: DPPolicy, spec: TopologySpec) -> ShardGrid:
    """The parts of a tensor and the PEs that the levels of ``policy`` deal them to, of whatever size.

    A tensor ``[d0, ..., dn]`` is seen as rows of its last dimension; ``row_wise`` splits between indices of d0.
    Programs follow the parts; :func:`joined` says in which shards these lie.
    """
    if not isinstance(policy, DPPolicy):
        raise UsageError(f"policy={quoted(policy)} is no DPPolicy; write one, as in DPPolicy(pe='row_wise')")
    levels = [_SplitLevel(getattr(policy, level.name), level.count, level.grid) for level in levels_of(spec)]
    if 0 in shape:
        return ShardGrid(CellBorders(1, 0, (0, 1), (0,)), ())
    is_line = len(shape) <= 1
    rows, columns = (1, math.prod(shape)) if is_line else (shape[0], shape[-1])
    if policy.only is not None:
        _require_there(policy, math.prod(level.count for level in levels))
        shards = {
            end: pe
            for (start, end), pe in zip(
                _split(0, columns if is_line else rows, len(policy.pes)), policy.pes, strict=False
            )
            if start < end
        }
        bounds = (0, *shards)
        row_bounds, col_bounds = ((0, rows), bounds) if is_line else (bounds, (0, columns))
        grid = _grid(row_bounds, col_bounds, math.prod(shape[1:-1]), dtype.size_bytes)
        return ShardGrid(grid, tuple((pe,) for pe in shards.values()))
    parts = [level.parts(is_line=is_line) for level in levels]
    row_ranges = _ranges(rows, [down for down, _ in parts])
    col_ranges = _ranges(columns, [across for _, across in parts])
    row_bounds, col_bounds = _bounds(row_ranges.values()), _bounds(col_ranges.values())

    row_of, col_of = {at: i for i, at in enumerate(row_bounds)}, {at: i for i, at in enumerate(col_bounds)}
    n_cols = len(col_bounds) - 1
    holders: list[list[int]] = [[] for _ in range((len(row_bounds) - 1) * n_cols)]
    for pe, places in enumerate(_places(levels, is_line=is_line)):
        if policy.space == "sram" and levels[-1].way == "replicate" and pe % levels[-1].count:
            continue  # shares the copy of its cube's first PE
        top, bottom = row_ranges[tuple(down for down, _ in places)]
        left, right = col_ranges[tuple(across for _, across in places)]
        if top < bottom and left < right:
            holders[row_of[top] * n_cols + col_of[left]].append(pe)
    grid = _grid(row_bounds, col_bounds, math.prod(shape[1:-1]), dtype.size_bytes)
    return ShardGrid(grid, tuple(map(tuple, holders)))


def joined(parts: ShardGrid, least_bytes: int, turn: int = 0) -> ShardGrid:
    """The shards in which ``parts`` lie: neighbours together until none has fewer than ``least_bytes``.

    A tensor that has fewer itself is one shard. Rows are joined first, columns where all rows are not enough. One of
    the PEs whose parts a shard has holds it: they take turns, so that small tensors do not all lie beside one of them.
    """
    grid = parts.grid
    if not least_bytes or grid.n_cells <= 1:
        return parts
    narrowest = min(right - left for left, right in pairwise(grid.col_bounds))
    rows = _joined_bounds(grid.row_bounds, ceil_div(least_bytes, narrowest))
    lowest = min(grid.row_bounds[bottom] - grid.row_bounds[top] for top, bottom in pairwise(rows))
    columns = _joined_bounds(grid.col_bounds, ceil_div(least_bytes, lowest))
    holders = []
    for (top, bottom), (left, right) in product(pairwise(rows), pairwise(columns)):
        down, across = divmod(turn % ((bottom - top) * (right - left)), right - left)
        holders.append(parts.holders[(top + down) * grid.n_cols + left + across])
    return ShardGrid(
        grid._replace(
            row_bounds=tuple(grid.row_bounds[i] for i in rows),
            col_bounds=tuple(grid.col_bounds[i] for i in columns),
        ),
        tuple(holders),
    )


def _joined_bounds(bounds: Sequence[int], least: int) -> list[int]:
    """Which of ``bounds`` are left, by index, where two are at least ``least`` apart; what is over joins the last."""
    kept = [0]
    for index, at in enumerate(bounds):
        if at - bounds[kept[-1]] >= least:
            kept.append(index)
    last = len(bounds) - 1
    return [*kept[: max(1, len(kept) - 1)], last]


def _require_there(policy: DPPolicy, n_pes: int) -> None:
    """Refuse a policy whose ``only`` names a PE that is not among ``n_pes``."""
    beyond = next((pe for pe in policy.pes if pe >= n_pes), None)
    if beyond is not None:
        head = f"only={beyond}" if policy.only == beyond else f"only={list(policy.pes)}: {beyond}"
        raise UsageError(f"DPPolicy: {head} is no PE; PEs are 0..{n_pes - 1}")


def _split(start: int, end: int, n_parts: int) -> list[tuple[int, int]]:
    """``[start, end)`` in ``n_parts``: ceil-size ones first, then what is left, then empty ones."""
    size = ceil_div(end - start, n_parts)
    cuts = [min(start + i * size, end) for i in range(n_parts + 1)]
    return list(pairwise(cuts))


def _ranges(extent: int, parts: list[int]) -> dict[tuple[int, ...], tuple[int, int]]:
    """The range of each (SIP part, cube part, PE part) of ``extent``."""
    ranges: dict[tuple[int, ...], tuple[int, int]] = {(): (0, extent)}
    for n_parts in parts:
        ranges = {
            (*path, i): piece
            for path, (start, end) in ranges.items()
            for i, piece in enumerate(_split(start, end, n_parts))
        }
    return ranges


def _bounds(ranges: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Where the ranges begin and end, each border once."""
    return tuple(sorted({0, *(end for _, end in ranges)}))


def _places(levels: Iterable[_SplitLevel], *, is_line: bool) -> Iterator[tuple[tuple[int, int], ...]]:
    """For each PE, in order, which part of rows and columns it holds at each level."""
    return product(*([level.part(unit, is_line=is_line) for unit in range(level.count)] for level in levels))


def _grid(
    row_bounds: tuple[int, ...], col_bounds: tuple[int, ...], rows_each: int, itemsize: int
) -> CellBorders:
    """The grid in bytes. Without borders between columns, a tensor is one long row: the simpler case."""
    rows = tuple(at * rows_each for at in row_bounds)
    columns = tuple(at * itemsize for at in col_bounds)
    if len(columns) == 2:
        width = columns[1]
        return CellBorders(1, rows[-1] * width, (0, 1), tuple(at * width for at in rows))
    return CellBorders(rows[-1], columns[-1], rows, columns)
