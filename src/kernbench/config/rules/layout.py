"""Rules of how many of each there are, and where they sit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from kernbench.config.quantities import Grid, Side
from kernbench.config.rules.clash import Clash, alone
from kernbench.config.schema import TopologySpec

MOST_PES = 1 << 17  # 16 times `big`; a graph of more does not fit the memory of a large computer


def counts_fill_their_grids(spec: TopologySpec) -> Iterator[Clash]:
    """As many as the grid has places."""
    for path, part in (
        ("system.sips", spec.system.sips),
        ("sip.cubes", spec.sip.cubes),
        ("cube.pes", spec.cube.pes),
    ):
        count, n_places = part.count, prod(part.grid)
        if count != n_places:
            yield Clash(
                {
                    f"{path}.count": f"{count} do not fill <{path}.grid>: {list(part.grid)}; write count: {n_places}, "
                    f"or a grid of {count}",
                    f"{path}.grid": f"{list(part.grid)} has {n_places} places, and <{path}.count> is {count}; write "
                    f"{path}: {{count: {n_places}, grid: {list(part.grid)}}}",
                }
            )


def the_pes_can_be_counted(spec: TopologySpec) -> Iterator[Clash]:
    """No more than a computer can hold."""
    counts = {
        "cube.pes.count": spec.cube.pes.count,
        "sip.cubes.count": spec.sip.cubes.count,
        "system.sips.count": spec.system.sips.count,
    }
    n_pes = prod(counts.values())
    if n_pes > MOST_PES:
        texts = {}
        for key in sorted(counts, key=lambda key: -counts[key]):
            others = " and ".join(f"<{other}>: {counts[other]}" for other in counts if other != key)
            most = max(1, MOST_PES * counts[key] // n_pes)
            texts[key] = (
                f"{counts[key]}, with {others}, makes {n_pes} PEs in all; a machine has {MOST_PES} at most; write "
                f"{most} or less"
            )
        yield Clash(texts)


def units_of_a_cube_sit_at_its_routers(spec: TopologySpec) -> Iterator[Clash]:
    """M_CPU and each SRAM bank have a router, and banks share the SRAM evenly."""
    grid, sram, m_cpu = list(spec.cube.pes.grid), spec.cube.sram, list(spec.cube.m_cpu.at)
    corner = [grid[0] - 1, grid[1] - 1]
    if not _is_in(spec.cube.m_cpu.at, spec.cube.pes.grid):
        yield Clash(
            {
                "cube.m_cpu.at": f"{m_cpu} is outside of the routers, <cube.pes.grid>: {grid}; write a place from "
                f"[0, 0] to {corner}",
                "cube.pes.grid": f"{grid} has no router at {m_cpu}, where <cube.m_cpu.at> puts M_CPU; write "
                "cube.m_cpu.at: [0, 0]",
            }
        )
    outside = [i for i, at in enumerate(sram.at) if not _is_in(at, spec.cube.pes.grid)]
    if outside:
        first, kept = outside[0], [list(at) for at in sram.at if _is_in(at, spec.cube.pes.grid)] or [[0, 0]]
        gone = ", ".join(str(list(sram.at[i])) for i in outside)
        yield Clash(
            {
                f"cube.sram.at.{first}": f"{list(sram.at[first])} is outside of the routers, <cube.pes.grid>: {grid}; "
                f"write a place from [0, 0] to {corner}",
                "cube.pes.grid": f"{grid} has no router at {gone}, where <cube.sram.at> puts banks; write "
                f"cube.sram: {{banks: {len(kept)}, at: {kept}}}",
            }
        )
    if len(sram.at) != sram.banks:
        yield Clash(
            {
                "cube.sram.at": f"{len(sram.at)} places for <cube.sram.banks>: {sram.banks}; write one [x, y] for "
                f"each, or cube.sram.banks: {len(sram.at)}",
                "cube.sram.banks": f"{sram.banks} banks, and <cube.sram.at> has {len(sram.at)} places; write "
                f"cube.sram.at with one [x, y] for each, or banks: {len(sram.at)}",
            }
        )
    if sram.size_bytes % sram.banks:
        least = -(-sram.size_bytes // sram.banks) * sram.banks
        yield Clash(
            {
                "cube.sram.size": f"{sram.size_bytes} B do not divide among <cube.sram.banks>: {sram.banks}; write "
                f"{least}",
                "cube.sram.banks": f"<cube.sram.size>: {sram.size_bytes} B do not divide among {sram.banks} banks; "
                f"write cube.sram.size: {least}",
            }
        )


def dies_that_touch_have_ports(spec: TopologySpec) -> Iterator[Clash]:
    """North to the IO die, and to each cube beside or below."""

    def is_there(side: Side) -> bool:
        return spec.cube.ucie_ports.get(side, "none") != "none"

    if not is_there("N"):
        yield alone(
            "cube.ucie_ports.N",
            "there is no port N, but the IO die is joined to it; write cube.ucie_ports.N: edge",
        )
    grid = list(spec.sip.cubes.grid)
    beside: tuple[Side, ...] = ("E", "W") if grid[0] > 1 else ()
    below: tuple[Side, ...] = ("S",) if grid[1] > 1 else ()
    absent = [side for side in (*below, *beside) if not is_there(side)]
    if absent:
        ports = ", ".join(f'"{side}": edge' for side in absent)
        texts = {
            f"cube.ucie_ports.{side}": f"there is no port {side}, but cubes have neighbours "
            f"{'to the south' if side == 'S' else 'beside them'}, <sip.cubes.grid>: {grid}; write "
            f"cube.ucie_ports.{side}: edge"
            for side in absent
        }
        texts["sip.cubes.grid"] = (
            f"{grid} has cubes that touch where <cube.ucie_ports.{absent[0]}> is none; write "
            f"cube.ucie_ports: {{{ports}}}"
        )
        yield Clash(texts)


def every_column_reaches_the_io_die(spec: TopologySpec) -> Iterator[Clash]:
    """Each column of cubes is attached to it once."""
    path, grid = "sip.io_die.ucie_ports.attach", list(spec.sip.cubes.grid)
    attached = [list(at) for at in spec.sip.io_die.ucie_ports.attach]
    wanted = [[x, 0] for x in range(grid[0])]
    wrong = next((at for at in attached if at[0] >= grid[0] or at[1]), None)
    if wrong is not None:
        what = f"{wrong} is no cube of the y = 0 row of <sip.cubes.grid>: {grid}; write {wanted}"
    else:
        what = (
            f"every column of <sip.cubes.grid>: {grid} must be attached once, or traffic to the IO die has to turn and "
            f"full buffers can close a cycle; write {wanted}"
        )
    if sorted(attached) != wanted:
        yield Clash(
            {
                path: what,
                "sip.cubes.grid": f"{grid} has {grid[0]} in a row, and each is attached to the IO die once, where "
                f"<{path}> is {attached}; write {path}: {wanted}",
            }
        )


def _is_in(at: Sequence[int], grid: Grid) -> bool:
    return at[0] < grid[0] and at[1] < grid[1]
