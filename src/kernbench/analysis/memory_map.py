"""Where the tensors of a program lie: their virtual pages, their shards in physical memory, and what all of it takes.

Pure: from the mappings that were made to rows of numbers, for whoever lays them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np

from kernbench.config.rules.memory import directory_bytes
from kernbench.memory.allocator import VirtualAllocator
from kernbench.memory.mapping import PageEntries, TensorMapping
from kernbench.memory.shards import ShardMap
from kernbench.messages.source_line import SourceLine
from kernbench.records import Hidden, Written, named
from kernbench.topology.address_map import PA_BASE, AddressMap
from kernbench.topology.graph import TopologyGraph
from kernbench.topology.hbm import HbmLayout
from kernbench.topology.ids import PeId, part_name
from kernbench.topology.levels import count_of
from kernbench.units import ceil_div, format_bytes

Kind = Literal["hbm", "page_tables", "sram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A tensor at the moment it was mapped: its policy in words, and the mapped tensors that had memory then."""

    mapping: TensorMapping
    policy: str
    others: tuple[TensorMapping, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One copy of one part of a tensor.

    ``part`` are the elements, as a numpy index; ``pe`` is whose shard it is; ``memory`` names the controller of
    its HBM channel or SRAM bank.
    """

    pe: Annotated[PeId, Written(str, str)]
    part: Annotated[str, named("elements")]
    kind: Hidden[Kind]
    memory: str
    pa: int
    size_bytes: Annotated[int, named("bytes")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRow:
    """A tensor's place. Segments are counted as one PE sees them; ``table_bytes`` are those of each cube's leaf.

    ``n_copies`` is how often each of its bytes exists.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    policy: str
    va: int
    size_bytes: Annotated[int, named("bytes")]
    n_pages: Annotated[int, named("pages")]
    page_bytes: int
    n_split_pages: Annotated[int, named("split_pages")]
    n_segments: Annotated[int, named("segments")]
    segments: Annotated[tuple[int, int], named("segments_per_page")]
    n_copies: Annotated[int, named("copies")]
    table_bytes: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakUse:
    """The most bytes of one memory that were taken at one time: by tensors, or by the page tables of a cube."""

    kind: Kind
    name: Annotated[str, named("memory")]
    most_bytes: Annotated[int, named("bytes")]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfUse:
    """``n_used`` of ``n_all`` memories of a kind were used: the least and the most of those, and what each holds."""

    kind: Kind
    n_used: int
    n_all: int
    least_bytes: int
    most_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Both address spaces. Tensors lie in ``va_base .. va_end - 1``; each cube has a window of physical addresses.

    ``directory_bytes`` are a cube's (0: there are no page tables, TLBs are preloaded).
    """

    va_base: int
    va_end: int
    page_bytes: int
    pa_base: int
    window_bytes: int
    hbm_bytes: int
    slice_bytes: int
    sram_bytes: int
    bank_bytes: int
    n_pes: int
    n_cubes: int
    n_banks: int
    directory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMap:
    """Tensors in the order they were mapped, and the memories that were used, by kind and place.

    ``warnings`` are of policies that cut a tensor into shards that are smaller than a row of HBM.
    """

    layout: Layout
    tensors: tuple[TensorRow, ...]
    uses: Annotated[tuple[PeakUse, ...], named("use")]
    warnings: tuple[str, ...]

    def kinds(self) -> Iterator[KindOfUse]:
        """The use of each kind of memory."""
        layout = self.layout
        yield self._kind("hbm", layout.n_pes, layout.slice_bytes)
        yield self._kind("page_tables", layout.n_cubes, layout.hbm_bytes)
        yield self._kind("sram", layout.n_banks, layout.bank_bytes)

    def _kind(self, kind: Kind, n_all: int, capacity_bytes: int) -> KindOfUse:
        used = [use.most_bytes for use in self.uses if use.kind == kind]
        return KindOfUse(
            kind=kind,
            n_used=len(used),
            n_all=n_all,
            least_bytes=min(used, default=0),
            most_bytes=max(used, default=0),
            capacity_bytes=capacity_bytes,
        )


def memory_map(records: Sequence[Mapped], graph: TopologyGraph, addresses: AddressMap) -> MemoryMap:
    """The map of a program that mapped ``records``, in this order."""
    return MemoryMap(
        layout=_layout(graph, addresses),
        tensors=tuple(_tensor(record, graph) for record in records),
        uses=tuple(_uses(records, graph)),
        warnings=tuple(_small_shards(records, graph.spec.cube.hbm.org.row_bytes)),
    )


def _small_shards(records: Iterable[Mapped], row_bytes: int) -> Iterator[str]:
    """A line on tensors whose largest shard is smaller than a row of HBM; alike ones of one source line together."""
    found: dict[tuple[SourceLine, str], list[str]] = {}
    for shards in (record.mapping.shards for record in records):
        grid = shards.grid
        most_bytes = max(map(grid.cell_bytes, range(grid.n_cells)), default=0)
        if grid.n_cells > 1 and most_bytes < row_bytes:
            cut = (
                f"{list(shards.shape)} {shards.dtype}: {grid.n_cells} shards of at most {format_bytes(most_bytes)}, "
                f"less than a row of HBM, {format_bytes(row_bytes)}; who reads all of it makes {grid.n_cells} "
                f"transactions: leave the policy out, or write least_bytes={row_bytes} in it"
            )
            found.setdefault((shards.life.made, cut), []).append(repr(shards.name))
    for (made, cut), names in found.items():
        yield f"{made}: {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''} {cut}"


def _layout(graph: TopologyGraph, addresses: AddressMap) -> Layout:
    spec = graph.spec
    cube, mmu = spec.cube, spec.pe.mmu
    virtual = VirtualAllocator(mmu.page_bytes, spec.host.fit)
    n_cubes = count_of(graph.levels[:-1])
    return Layout(
        va_base=virtual.base,
        va_end=virtual.base + virtual.size_bytes,
        page_bytes=mmu.page_bytes,
        pa_base=PA_BASE,
        window_bytes=addresses.size // n_cubes,
        hbm_bytes=HbmLayout.of(cube).used_bytes,
        slice_bytes=addresses.slice_of(0).size_bytes,
        sram_bytes=cube.sram.size_bytes,
        bank_bytes=addresses.sram_bank(graph.pes[0][:-1], 0).size_bytes,
        n_pes=graph.n_pes,
        n_cubes=n_cubes,
        n_banks=n_cubes * cube.sram.banks,
        directory_bytes=directory_bytes(mmu),
    )


def _tensor(record: Mapped, graph: TopologyGraph) -> TensorRow:
    mapping, shards = record.mapping, record.mapping.shards
    segments = Counter(_segments(mapping.entries))
    return TensorRow(
        name=shards.name,
        shape=shards.shape,
        dtype=str(shards.dtype),
        policy=record.policy,
        va=shards.va,
        size_bytes=shards.size_bytes,
        page_bytes=mapping.entries.page_bytes,
        n_pages=mapping.n_pages,
        n_split_pages=mapping.n_pages - segments[1],
        segments=(min(segments, default=0), max(segments, default=0)),
        n_segments=mapping.entries.total,
        n_copies=max(map(len, shards.copies), default=0),
        table_bytes=mapping.leaf_bytes(graph.levels[-1].count) if mapping.blocks else 0,
        shards=tuple(_shards(shards, graph)),
    )


def _segments(entries: PageEntries) -> Iterator[int]:
    """How many segments each page has."""
    firsts = map(entries.first, range(entries.n_pages + 1))
    return (after - first for first, after in pairwise(firsts))


def _shards(shards: ShardMap, graph: TopologyGraph) -> Iterator[Shard]:
    """All copies, cell by cell."""
    for cell, copies in enumerate(shards.copies):
        part, size_bytes = part_of(shards, cell), shards.grid.cell_bytes(cell)
        for copy in copies:
            yield Shard(
                part=part,
                pe=graph.pes[copy.pe],
                kind=_kind_of(copy.owner, graph),
                memory=graph.nodes[copy.owner].name,
                pa=copy.pa,
                size_bytes=size_bytes,
            )


def part_of(shards: ShardMap, cell: int) -> str:
    """The elements of a cell as a numpy index, ``[0:8, :]``: those from its first to its last, in each dimension."""
    grid, itemsize = shards.grid, shards.dtype.size_bytes
    i, j = divmod(cell, grid.n_cols)
    first = grid.row_bounds[i] * grid.row_bytes + grid.col_bounds[j]
    last = (grid.row_bounds[i + 1] - 1) * grid.row_bytes + grid.col_bounds[j + 1] - itemsize
    corners = (np.unravel_index(at // itemsize, shards.shape) for at in (first, last))
    ranges = zip(*corners, shards.shape, strict=True)
    return f"[{', '.join(':' if n == end - start + 1 else f'{start}:{end + 1}' for start, end, n in ranges)}]"


def _kind_of(owner: int, graph: TopologyGraph) -> Kind:
    return "sram" if graph.nodes[owner].kind == "sram" else "hbm"


def _uses(records: Iterable[Mapped], graph: TopologyGraph) -> Iterator[PeakUse]:
    for (kind, at), most_bytes in sorted(_most_taken(records, graph).items()):
        if kind == "page_tables":
            cube = graph.pes[at * graph.levels[-1].count][:-1]
            directories = directory_bytes(graph.spec.pe.mmu)
            yield PeakUse(kind=kind, name=part_name(cube), most_bytes=most_bytes + directories)
        else:
            name = str(graph.pes[at]) if kind == "hbm" else graph.nodes[at].name
            yield PeakUse(kind=kind, name=name, most_bytes=most_bytes)


def _most_taken(records: Iterable[Mapped], graph: TopologyGraph) -> Counter[tuple[Kind, int]]:
    """The most that was taken at one time of each PE's slice, cube (of its page tables) and SRAM bank, by number.

    It can only be reached when a tensor is mapped; what was freed before is found missing then.
    """
    now: Counter[tuple[Kind, int]] = Counter()
    most: Counter[tuple[Kind, int]] = Counter()
    living: tuple[TensorMapping, ...] = ()
    for record in records:
        kept = frozenset(record.others)
        for mapping in living:
            if mapping not in kept:
                now.subtract(_taken(mapping, graph))
        taken = _taken(record.mapping, graph)
        now.update(taken)
        most.update({memory: max(now[memory] - most[memory], 0) for memory in taken})
        living = (*record.others, record.mapping)
    return most


def _taken(mapping: TensorMapping, graph: TopologyGraph) -> Counter[tuple[Kind, int]]:
    """What a tensor and its entries in the page tables take of each memory: whole bursts."""
    burst_bytes = graph.spec.cube.hbm.timing.burst_bytes
    taken: Counter[tuple[Kind, int]] = Counter()
    for cell, copies in enumerate(mapping.shards.copies):
        cell_bytes = ceil_div(mapping.shards.grid.cell_bytes(cell), burst_bytes) * burst_bytes
        for copy in copies:
            kind = _kind_of(copy.owner, graph)
            taken[kind, copy.pe if kind == "hbm" else copy.owner] += cell_bytes
    leaf_bytes = ceil_div(mapping.leaf_bytes(graph.levels[-1].count), burst_bytes) * burst_bytes
    for cube in mapping.blocks:
        taken["page_tables", cube] += leaf_bytes
    return taken
