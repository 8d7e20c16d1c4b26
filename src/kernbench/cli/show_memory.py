"""``kernbench show --memory``: runs a bench to see where its tensors lie, and prints the map."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernbench.analysis.memory_map import KindOfUse, Layout, Mapped, MemoryMap, Shard, TensorRow, memory_map
from kernbench.cli.console import sign_of_life
from kernbench.records import as_json
from kernbench.reports.output import QUIET, WARN, Output
from kernbench.reports.tables import settings
from kernbench.units import format_bytes, format_range
from kernbench.wording import plural

if TYPE_CHECKING:
    from kernbench.config.schema import Config
    from kernbench.device.placement import DPPolicy
    from kernbench.memory.mapping import TensorMapping
    from kernbench.simulation import Simulation

N_FIRST = 3  # shards of a tensor that are shown before the last; JSON has all
KINDS = {
    "hbm": "tensors in HBM slices of PEs",
    "page_tables": "page tables of cubes",
    "sram": "tensors in banks of SRAM",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchMemory:
    """The memory map of one bench with its parameters."""

    bench: str
    params: Mapping[str, Any]
    memory: MemoryMap

    def to_json(self) -> dict[str, Any]:
        """All of it, with every shard."""
        return {"bench": self.bench, "params": dict(self.params), **as_json(self.memory)}


def memory_of(name_or_path: str, params: dict[str, str], config: Config) -> BenchMemory:
    """Run a bench without time on a fresh machine and note where its tensors lie; what it prints goes to stderr."""
    from kernbench.bench import Room, load_bench
    from kernbench.simulation import Simulation

    with redirect_stdout(sys.stderr), sign_of_life(f"loading {name_or_path}") as tell:
        bench = load_bench(name_or_path)
        known = bench.bind(params)
        tell("building the machine")
        simulation = Simulation(config, mode="data")
        values = bench.fitted(known, Room.of(simulation.graph))
        records = _recorded(simulation)
        tell(f"running {bench.name} without time")
        bench.run(simulation.torch, **values)
    memory = memory_map(records, simulation.graph, simulation.machine.addresses)
    return BenchMemory(bench=bench.name, params=values, memory=memory)


def _recorded(simulation: Simulation) -> list[Mapped]:
    """A list that grows with every tensor that is mapped from now on."""
    records: list[Mapped] = []
    heap = simulation.device.heap

    def note(mapping: TensorMapping, policy: DPPolicy) -> None:
        others = tuple(heap.mappings.values())
        records.append(Mapped(mapping=mapping, policy=str(policy), others=others))

    heap.mapped = note
    return records


def print_memory(output: Output, found: BenchMemory) -> None:
    """The address spaces, the tensors in them, their shards, and how full the memories are."""
    memory = found.memory
    output.facts(
        [("bench", f"{found.bench} {settings(found.params)}".rstrip()), *_layout_rows(memory.layout)]
    )
    output.heading("Tensors, in the order they were mapped")
    if not memory.tensors:
        output.line("none: this bench puts nothing on the device")
        return
    columns = ["tensor", "shape", "dtype", "policy", "size"]
    output.table(columns, map(_tensor_cells, memory.tensors), left=columns[:-1])
    for warning in memory.warnings:
        output.line(f"warning: {warning}", WARN)
    page = format_bytes(memory.layout.page_bytes)
    output.heading(f"Their pages of {page}, segments per page, and page table in each cube")
    columns = ["tensor", "virtual addresses", "pages", "split", "segments", "copies", "table"]
    output.table(columns, map(_page_cells, memory.tensors), left=columns[:1])
    for tensor in memory.tensors:
        _print_shards(output, tensor)
    output.heading("Memory in use, at most at one time")
    output.table(("memory", "used", "least", "most", "of"), map(_use_cells, memory.kinds()), left=("memory",))


def _layout_rows(layout: Layout) -> Iterator[tuple[str, str]]:
    page, window = format_bytes(layout.page_bytes), format_bytes(layout.window_bytes)
    hbm, in_slices = format_bytes(layout.hbm_bytes), format_bytes(layout.slice_bytes)
    sram, in_banks = format_bytes(layout.sram_bytes), format_bytes(layout.bank_bytes)
    yield (
        "virtual",
        f"{format_range(layout.va_base, layout.va_end - layout.va_base)}, in pages of {page}; "
        "a page that is not mapped follows each tensor",
    )
    yield (
        "physical",
        f"from {layout.pa_base:#_x}, a window of {window} per cube: {hbm} of HBM in slices of {in_slices} per PE, "
        f"then {sram} of SRAM in banks of {in_banks}",
    )
    directory = format_bytes(layout.directory_bytes)
    yield (
        "page tables",
        f"a copy in the HBM of each cube: a directory of {directory}, and the entries of each tensor"
        if layout.directory_bytes
        else "none: every TLB is preloaded",
    )


def _tensor_cells(tensor: TensorRow) -> tuple[str, ...]:
    size = format_bytes(tensor.size_bytes)
    return tensor.name, str(list(tensor.shape)), tensor.dtype, tensor.policy, size


def _page_cells(tensor: TensorRow) -> tuple[str, ...]:
    least, most = tensor.segments
    return (
        tensor.name,
        format_range(tensor.va, tensor.size_bytes),
        str(tensor.n_pages),
        str(tensor.n_split_pages),
        str(most) if least == most else f"{least}..{most}",
        str(tensor.n_copies),
        format_bytes(tensor.table_bytes) if tensor.table_bytes else "none",
    )


def _print_shards(output: Output, tensor: TensorRow) -> None:
    n_shards = len(tensor.shards)
    if not n_shards:
        output.heading(f"{tensor.name}: no shards")
        output.line("it has no elements", QUIET)
        return
    output.heading(f"{tensor.name}: {plural(n_shards, 'shard')}")
    rows = [_shard_cells(shard) for shard in tensor.shards]
    if n_shards > N_FIRST + 2:
        rows[N_FIRST:-1] = [(f"... {n_shards - N_FIRST - 1} more", "", "", "")]
    columns = ("PE", "elements", "physical addresses", "size")
    output.table(columns, rows, left=columns[:2])


def _shard_cells(shard: Shard) -> tuple[str, ...]:
    bank = f" in {shard.memory.rpartition('.')[2]}" if shard.kind == "sram" else ""
    place = f"{shard.pe}{bank}"
    return place, shard.part, format_range(shard.pa, shard.size_bytes), format_bytes(shard.size_bytes)


def _use_cells(kind: KindOfUse) -> tuple[str, ...]:
    sizes = (format_bytes(kind.least_bytes), format_bytes(kind.most_bytes)) if kind.n_used else ("", "")
    return KINDS[kind.kind], f"{kind.n_used} of {kind.n_all}", *sizes, format_bytes(kind.capacity_bytes)
