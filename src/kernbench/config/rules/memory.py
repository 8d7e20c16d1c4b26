"""Rules of memories: channels, bursts, pages, slices."""

from __future__ import annotations

from collections.abc import Iterator

from kernbench.config.pe import MmuSpec
from kernbench.config.rules.clash import Clash, alone
from kernbench.config.schema import TopologySpec

DIRECTORY_NODE_BYTES = 4096  # a page directory, at each level of a walk but the last


def hbm_divides_among_routers_and_pes(spec: TopologySpec) -> Iterator[Clash]:
    """Controllers spread evenly over routers, and each PE has a pseudo-channel."""
    hbm, grid, n_pes = spec.cube.hbm, list(spec.cube.pes.grid), spec.cube.pes.count
    is_halved = hbm.attach == "per_2_routers"
    if is_halved and grid[0] % 2:
        yield Clash(
            {
                "cube.hbm.attach": "per_2_routers needs an even number of routers in a row, and "
                f"<cube.pes.grid> is {grid}; write per_router",
                "cube.pes.grid": f"{grid} has {grid[0]} routers in a row, and <cube.hbm.attach>: per_2_routers needs "
                "an even number; write that, or cube.hbm.attach: per_router",
            }
        )
        return
    n_sites, channels, pseudo = (
        grid[0] * grid[1] // (2 if is_halved else 1),
        hbm.channels,
        hbm.pseudo_channels,
    )
    if not _spreads(channels, n_sites):
        nearest = _nearest(channels, n_sites)
        where = f"{n_sites} routers, <cube.pes.grid>: {grid} with <cube.hbm.attach>: {hbm.attach}"
        yield Clash(
            {
                "cube.hbm.channels": f"{channels} channels do not spread evenly over {where}; write {nearest}",
                "cube.pes.grid": f"{grid} has {n_sites} routers with controllers, over which <cube.hbm.channels>: "
                f"{channels} do not spread evenly; write cube.hbm.channels: {nearest}",
                "cube.hbm.attach": f"{hbm.attach} gives {n_sites} routers controllers, over which "
                f"<cube.hbm.channels>: {channels} do not spread evenly; write cube.hbm.channels: {nearest}",
            }
        )
        return
    if channels * pseudo < n_pes:
        enough = next(n for n in range(channels, n_pes + 1) if n * pseudo >= n_pes and _spreads(n, n_sites))
        what = f"less than one for each of <cube.pes.count>: {n_pes}"
        yield Clash(
            {
                "cube.hbm.channels": f"{channels} channels of <cube.hbm.pseudo_channels>: {pseudo} are {what}; write "
                f"{enough} or more",
                "cube.hbm.pseudo_channels": f"{pseudo} in each of <cube.hbm.channels>: {channels} are {what}; write "
                f"{-(-n_pes // channels)} or more",
                "cube.pes.count": f"{n_pes} PEs are more than <cube.hbm.channels>: {channels} x "
                f"<cube.hbm.pseudo_channels>: {pseudo}; write cube.hbm.channels: {enough}",
            }
        )


def bursts_divide_a_row(spec: TopologySpec) -> Iterator[Clash]:
    """A burst is a power of two that divides a row."""
    burst, row = spec.cube.hbm.timing.burst_bytes, spec.cube.hbm.org.row_bytes
    if burst & (burst - 1):
        yield alone(
            "cube.hbm.timing.burst", f"{burst} B is not a power of two; write {1 << burst.bit_length()}"
        )
    elif row % burst:
        yield Clash(
            {
                "cube.hbm.timing.burst": f"{burst} B does not divide a row, <cube.hbm.org.row>: {row} B; write "
                f"{row & -row} or a smaller power of two",
                "cube.hbm.org.row": f"{row} B is not a multiple of a burst, <cube.hbm.timing.burst>: {burst} B; write "
                f"{-(-row // burst) * burst}",
            }
        )


def pages_are_powers_of_two(spec: TopologySpec) -> Iterator[Clash]:
    """So that a shift tells the page of an address."""
    page = spec.pe.mmu.page_bytes
    if page & (page - 1):
        yield alone("pe.mmu.page", f"{page} B is not a power of two; write {1 << page.bit_length()}")


def a_page_holds_a_burst(spec: TopologySpec) -> Iterator[Clash]:
    """No burst reaches into two pages."""
    page, burst = spec.pe.mmu.page_bytes, spec.cube.hbm.timing.burst_bytes
    if page < burst:
        yield Clash(
            {
                "pe.mmu.page": f"{page} B is smaller than a burst, <cube.hbm.timing.burst>: {burst} B; write {burst} "
                "or more",
                "cube.hbm.timing.burst": f"{burst} B is larger than a page, <pe.mmu.page>: {page} B; write {page} or "
                "less",
            }
        )


def a_slice_of_hbm_holds_more_than_page_directories(spec: TopologySpec) -> Iterator[Clash]:
    """A burst beside them, at least."""
    hbm, mmu, burst = spec.cube.hbm, spec.pe.mmu, spec.cube.hbm.timing.burst_bytes
    n_slices = max(hbm.channels, spec.cube.pes.count)
    slice_bytes, directories = hbm.capacity_bytes // n_slices // burst * burst, directory_bytes(mmu)
    needed = directories + burst
    if slice_bytes >= needed:
        return
    beside = f" beside {directories} B of page directories" if directories else ""
    enough = f"cube.hbm.capacity: {n_slices * needed} or more"
    less = ", lower pe.mmu.walk_reads, or write pe.mmu.miss: preload" if directories else ""
    what = f"a slice of {slice_bytes} B, of <cube.hbm.capacity>: {hbm.capacity_bytes} B, has no room{beside}"
    texts = {
        "cube.hbm.capacity": f"a slice of {slice_bytes} B, one of {n_slices}, has no room{beside}; write "
        f"{n_slices * needed} or more{less}",
        "cube.pes.count": f"of {n_slices} slices each has {slice_bytes} B of <cube.hbm.capacity>: "
        f"{hbm.capacity_bytes} B, no room{beside}; write {enough}",
        "cube.hbm.channels": f"of {n_slices} slices each has {slice_bytes} B of <cube.hbm.capacity>: "
        f"{hbm.capacity_bytes} B, no room{beside}; write {enough}",
        "cube.hbm.timing.burst": f"{what} for a burst of {burst} B; write {enough}",
    }
    if directories:
        fewer = (slice_bytes - burst) // DIRECTORY_NODE_BYTES + 1
        lower = f"{fewer} or less, or " if fewer > 1 else ""
        texts["pe.mmu.walk_reads"] = f"{what}; write {lower}pe.mmu.miss: preload"
        texts["pe.mmu.miss"] = f"{what}; write preload, or {enough}"
    yield Clash(texts)


def directory_bytes(mmu: MmuSpec) -> int:
    """Bytes of a cube's page directories, which lie in its first PE's slice of HBM; preloaded TLBs need none."""
    return DIRECTORY_NODE_BYTES * max(1, mmu.walk_reads - 1) if mmu.miss == "walk" else 0


def _spreads(channels: int, n_sites: int) -> bool:
    return n_sites % channels == 0 or channels % n_sites == 0


def _nearest(wanted: int, n_sites: int) -> int:
    fitting = [n for n in range(1, 4 * n_sites + 1) if _spreads(n, n_sites)]
    return min(fitting, key=lambda n: (abs(n - wanted), n))
