"""Rules that tie several keys together; each broken one is a path and a message with the cure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from kernbench.config.explain import did_you_mean
from kernbench.config.schema import (
    NODE_KINDS,
    RATE_CLASSES,
    CclSpec,
    ComponentsSpec,
    Grid,
    IpcqSpec,
    MmuSpec,
    Side,
    Spec,
    TopologySpec,
)
from kernbench.config.tree import Path, split_path
from kernbench.dtypes import DTYPES, as_dtype
from kernbench.errors import DTypeError

Broken = Iterator[tuple[Path, str]]
DIRECTORY_NODE_BYTES = 4096  # a page directory, at each level of a walk but the last
MOST_PES = 1 << 17  # 16 times `big`; a graph of more does not fit the memory of a large computer
TopologyRule = Callable[[TopologySpec], Iterator[tuple[str, str]]]


def broken_rules(spec: Spec) -> Broken:
    """What is wrong with ``spec``, most basic first; nothing for a kind of spec that has no rules."""
    if isinstance(spec, TopologySpec):
        # What follows from the counts, and goes through them, waits until they are right: a grid may say 10^9.
        uncounted = [broken for rule in COUNT_RULES for broken in rule(spec)]
        found = uncounted or [broken for rule in TOPOLOGY_RULES for broken in rule(spec)]
        yield from ((split_path(path), message) for path, message in found)
    elif isinstance(spec, ComponentsSpec):
        yield from (
            (("components", name), message) for name, message in _keys_are(spec.components, NODE_KINDS)
        )
    elif isinstance(spec, CclSpec):
        return


def _counts_fill_their_grids(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    for path, part in (
        ("system.sips", spec.system.sips),
        ("sip.cubes", spec.sip.cubes),
        ("cube.pes", spec.cube.pes),
    ):
        x, y = part.grid
        if part.count != x * y:
            yield f"{path}.count", f"{part.count} do not fill the grid [{x}, {y}]; write count: {x * y}"


def _the_pes_can_be_counted(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    n_pes = spec.system.sips.count * spec.sip.cubes.count * spec.cube.pes.count
    if n_pes > MOST_PES:
        yield "system.sips.count", f"{n_pes} PEs in all; a machine has {MOST_PES} at most"


def _chunks_are_whole_flits_of_a_packet(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    noc = spec.cube.noc
    if noc.chunk_bytes > noc.packet_bytes:
        yield "cube.noc.chunk", f"{noc.chunk_bytes} B is more than a packet of {noc.packet_bytes} B"
    if noc.chunk_bytes % noc.flit_bytes:
        yield "cube.noc.chunk", f"{noc.chunk_bytes} B is not a multiple of the flit, {noc.flit_bytes} B"


def _a_chunk_fits_every_buffer(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    noc = spec.cube.noc
    flits = -(-(noc.chunk_bytes + noc.header_bytes) // noc.flit_bytes)
    needed = flits * noc.flit_bytes
    for path, size in (
        ("cube.noc", noc.buffer_per_vc_bytes),
        ("sip.ucie", spec.sip.ucie.buffer_per_vc_bytes),
        ("sip.io_die.noc", spec.sip.io_die.noc.buffer_per_vc_bytes),
        ("sip.io_die.pcie_ep", spec.sip.io_die.pcie_ep.buffer_per_vc_bytes),
        ("system.sip_link", spec.system.sip_link.buffer_per_vc_bytes),
    ):
        if size < needed:
            yield (
                f"{path}.buffer_per_vc",
                f"{size} B cannot hold a chunk with its header; it would wait for ever; "
                f"write {needed} or more, or a smaller cube.noc.chunk",
            )


def _windows_hold_a_packet(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    packet = spec.cube.noc.packet_bytes
    for path, size in (
        ("pe.dma.max_inflight", spec.pe.dma.max_inflight_bytes),
        ("host.max_inflight", spec.host.max_inflight_bytes),
    ):
        if size < packet:
            yield path, f"{size} B is less than a packet of {packet} B, which could never be sent"


def _units_of_a_cube_sit_at_its_routers(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    grid, sram = spec.cube.pes.grid, spec.cube.sram
    for path, at in (
        ("cube.m_cpu.at", spec.cube.m_cpu.at),
        *((f"cube.sram.at.{i}", at) for i, at in enumerate(sram.at)),
    ):
        if not _is_in(at, grid):
            yield path, f"{list(at)} is outside of the cube's grid of routers, {list(grid)}"
    if len(sram.at) != sram.banks:
        yield "cube.sram.at", f"{len(sram.at)} places for {sram.banks} banks; give one [x, y] per bank"
    if sram.size_bytes % sram.banks:
        yield "cube.sram.size", f"{sram.size_bytes} B do not divide among {sram.banks} banks"


def _hbm_divides_among_routers_and_pes(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    hbm, (width, height), n_pes = spec.cube.hbm, spec.cube.pes.grid, spec.cube.pes.count
    if hbm.attach == "per_2_routers" and width % 2:
        yield "cube.hbm.attach", f"per_2_routers needs an even number of routers in a row, not {width}"
        return
    sites = width * height // (2 if hbm.attach == "per_2_routers" else 1)
    if sites % hbm.channels and hbm.channels % sites:
        yield (
            "cube.hbm.channels",
            f"{hbm.channels} channels do not spread evenly over {sites} routers (attach: {hbm.attach}); "
            f"write {_nearest_divisor(hbm.channels, sites)}",
        )
        return
    if hbm.channels * hbm.pseudo_channels < n_pes:
        yield (
            "cube.hbm.channels",
            f"{hbm.channels} channels of {hbm.pseudo_channels} pseudo-channels are less than one for each of "
            f"{n_pes} PEs",
        )
    slices = max(hbm.channels, n_pes)
    if hbm.capacity_bytes % slices:
        yield "cube.hbm.capacity", f"{hbm.capacity_bytes} B do not divide among {slices} slices"


def _bursts_divide_a_row(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    burst, row = spec.cube.hbm.timing.burst_bytes, spec.cube.hbm.org.row_bytes
    if burst & (burst - 1) or row % burst:
        yield "cube.hbm.timing.burst", f"{burst} B is not a power of two that divides a row of {row} B"


def _dies_that_touch_have_ports(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    columns, rows = spec.sip.cubes.grid
    needed: dict[Side, str] = {"N": "the IO die is joined to it"}
    if rows > 1:
        needed["S"] = f"cubes have neighbours to the south (sip.cubes.grid: [{columns}, {rows}])"
    if columns > 1:
        needed["E"] = needed["W"] = f"cubes have neighbours beside them (sip.cubes.grid: [{columns}, {rows}])"
    for side, why in needed.items():
        if spec.cube.ucie_ports.get(side, "none") == "none":
            yield f"cube.ucie_ports.{side}", f'there is no port {side}, but {why}; write "{side}": edge'


def _every_column_reaches_the_io_die(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    path, columns = "sip.io_die.ucie_ports.attach", spec.sip.cubes.grid[0]
    attached = spec.sip.io_die.ucie_ports.attach
    for x, y in attached:
        if x >= columns or y:
            yield path, f"[{x}, {y}] is no cube of the y = 0 row, which has {columns}"
            return
    wanted = [[x, 0] for x in range(columns)]
    if sorted(x for x, _ in attached) != list(range(columns)):
        yield (
            path,
            f"every column of cubes must be attached once, or traffic to the IO die has to turn and full buffers "
            f"can close a cycle; write {wanted}",
        )


def _dtypes_are_known(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    for path, table in (
        ("pe.gemm.macs_per_cycle", spec.pe.gemm.macs_per_cycle),
        ("pe.math.lanes", spec.pe.math.lanes),
    ):
        seen: dict[str, str] = {}
        for name in table:
            try:
                dtype = as_dtype(name).name
            except DTypeError:
                yield f"{path}.{name}", f"unknown dtype; {did_you_mean(name, (d.name for d in DTYPES))}"
                continue
            if dtype in seen:
                yield f"{path}.{name}", f"is the same dtype as {seen[dtype]!r}; keep one of them"
            seen[dtype] = name


def _every_rate_class_has_a_rate(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    for name, message in _keys_are(spec.pe.math.rate, RATE_CLASSES):
        yield f"pe.math.rate.{name}", message


def _receive_rings_fit_the_tcm(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    ipcq, tcm = spec.pe.ipcq, spec.pe.tcm
    if len(set(ipcq.directions)) != len(ipcq.directions):
        yield "pe.ipcq.directions", "a direction is named twice"
    for name, other in (("N", "S"), ("S", "N"), ("E", "W"), ("W", "E")):
        if name in ipcq.directions and other not in ipcq.directions:
            yield "pe.ipcq.directions", f"{name} is joined to {other} of the next PE; name both, or none"
    rings = ring_bytes(ipcq)
    if ipcq.buffer == "tcm" and rings > tcm.size_bytes:
        yield (
            "pe.ipcq.slots",
            f"{len(ipcq.directions)} rings of {ipcq.slots} x {ipcq.slot_bytes} B are {rings} B, more than the "
            f"TCM's {tcm.size_bytes} B",
        )


def _a_poll_takes_time(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    if not spec.pe.ipcq.poll_ps:
        yield (
            "pe.ipcq.poll_ns",
            "0 is no interval; write how often a sender looks, or let it sleep (ccl.yaml)",
        )


def _the_register_file_holds_elements(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    needed = 2 * max(dtype.size_bytes for dtype in DTYPES)
    if spec.pe.regfile.operands_bytes < needed:
        yield (
            "pe.regfile.operands",
            f"{spec.pe.regfile.operands_bytes} B cannot hold two elements, one in use and one on its way; "
            f"write {needed} or more",
        )


def _pages_are_powers_of_two(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    page = spec.pe.mmu.page_bytes
    if page & (page - 1):
        yield "pe.mmu.page", f"{page} B is not a power of two"


def _a_page_holds_a_burst(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    page, burst = spec.pe.mmu.page_bytes, spec.cube.hbm.timing.burst_bytes
    if page < burst:
        yield "pe.mmu.page", f"{page} B is smaller than a burst of {burst} B; write {burst} or more"


def _a_slice_of_hbm_holds_more_than_page_directories(spec: TopologySpec) -> Iterator[tuple[str, str]]:
    hbm, n_slices = spec.cube.hbm, max(spec.cube.hbm.channels, spec.cube.pes.count)
    slice_bytes, rest = divmod(hbm.capacity_bytes, n_slices)
    directories = directory_bytes(spec.pe.mmu)
    needed = directories + hbm.timing.burst_bytes
    if directories and not rest and slice_bytes < needed:
        yield (
            "cube.hbm.capacity",
            f"a PE's slice of {slice_bytes} B has no room beside {directories} B of page directories; write "
            f"{n_slices * needed} or more, lower pe.mmu.walk_reads, or write pe.mmu.miss: preload",
        )


COUNT_RULES: tuple[TopologyRule, ...] = (_counts_fill_their_grids, _the_pes_can_be_counted)
TOPOLOGY_RULES: tuple[TopologyRule, ...] = (
    _chunks_are_whole_flits_of_a_packet,
    _a_chunk_fits_every_buffer,
    _windows_hold_a_packet,
    _units_of_a_cube_sit_at_its_routers,
    _hbm_divides_among_routers_and_pes,
    _bursts_divide_a_row,
    _dies_that_touch_have_ports,
    _every_column_reaches_the_io_die,
    _dtypes_are_known,
    _every_rate_class_has_a_rate,
    _receive_rings_fit_the_tcm,
    _a_poll_takes_time,
    _the_register_file_holds_elements,
    _pages_are_powers_of_two,
    _a_page_holds_a_burst,
    _a_slice_of_hbm_holds_more_than_page_directories,
)


def ring_bytes(ipcq: IpcqSpec) -> int:
    """Bytes of all receive rings of a PE."""
    return len(ipcq.directions) * ipcq.slots * ipcq.slot_bytes


def directory_bytes(mmu: MmuSpec) -> int:
    """Bytes of a cube's page directories, which lie in its first PE's slice of HBM; preloaded TLBs need none."""
    return DIRECTORY_NODE_BYTES * max(1, mmu.walk_reads - 1) if mmu.miss == "walk" else 0


def _is_in(at: tuple[int, int], grid: Grid) -> bool:
    return at[0] < grid[0] and at[1] < grid[1]


def _nearest_divisor(wanted: int, total: int) -> int:
    fitting = [n for n in range(1, 4 * total + 1) if total % n == 0 or n % total == 0]
    return min(fitting, key=lambda n: (abs(n - wanted), n))


def _keys_are(table: Mapping[str, object], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Keys of ``table`` that are not in ``names``, and those that are missing."""
    known = list(names)
    absent = [name for name in known if name not in table]
    for name in table:
        if name not in known:
            yield name, f"unknown key; {did_you_mean(name, absent or known)}"
    for name in absent:
        yield name, "this key is missing"
