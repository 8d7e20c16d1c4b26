"""Jacobi's iteration on a grid of tiles, one per PE: at each step neighbours exchange the edges of their tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernbench.bench import Array, Expected, Outcome, bench, random_values
from kernbench.ccl.wiring import coords_of, grid_extents, install_queues
from kernbench.dtypes import float32
from kernbench.errors import UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.runtime.placement import DPPolicy


@jit
def jacobi_kernel(x_ptr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """Replace the tile of each rank, ``x_ptr[rank]``, by that of the grid STEPS steps later.

    One step makes of each cell a quarter of the sum of its four neighbours, all as they were before it; beyond the
    edge of the grid is 0. Before step s a tile in memory is that of the grid after s steps. Its edges go out first;
    a queue keeps order, so what arrives in step s is the edge that the neighbour sent in step s. ``north`` is the tile
    moved down by one row, and the row that is missing at its top is the bottom edge of the tile to the north, so each
    cell of it holds the cell's northern neighbour; the other three likewise. All that a step reads is read, in program
    order, before its one store.
    """
    tile_ptr = x_ptr + tl.rank() * BLOCK * BLOCK
    rows, columns = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK)[None, :]
    at_ptr = tile_ptr + rows * BLOCK + columns
    last = BLOCK - 1
    row, column, kind = (1, BLOCK), (BLOCK, 1), tl.float32
    edges = {
        "N": tile_ptr + columns,
        "S": tile_ptr + last * BLOCK + columns,
        "W": tile_ptr + rows * BLOCK,
        "E": tile_ptr + rows * BLOCK + last,
    }
    for _ in range(STEPS):
        for to, edge_ptr in edges.items():
            if tl.neighbor(to) is not None:
                tl.send_async(to, tl.load(edge_ptr))
        north = tl.load(at_ptr - BLOCK, mask=rows > 0, other=0.0)
        south = tl.load(at_ptr + BLOCK, mask=rows < last, other=0.0)
        west = tl.load(at_ptr - 1, mask=columns > 0, other=0.0)
        east = tl.load(at_ptr + 1, mask=columns < last, other=0.0)
        if tl.neighbor("N") is not None:
            north = tl.where(rows == 0, tl.recv("N", row, kind), north)
        if tl.neighbor("S") is not None:
            south = tl.where(rows == last, tl.recv("S", row, kind), south)
        if tl.neighbor("W") is not None:
            west = tl.where(columns == 0, tl.recv("W", column, kind), west)
        if tl.neighbor("E") is not None:
            east = tl.where(columns == last, tl.recv("E", column, kind), east)
        tl.store(at_ptr, 0.25 * (north + south + west + east))


@bench("halo_exchange")
def run(torch: Any, block: int = 32, steps: int = 4) -> Outcome:
    """Jacobi's iteration on block x block cells per PE, edges exchanged with up to 4 neighbours."""
    if steps < 0:
        raise UsageError(f"halo_exchange: steps must be 0 or more, not {steps}")
    spec, pes = torch.machine.spec, torch.machine.pes
    by_pe = DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise")
    x_host = random_values(torch, len(pes) * block, block, dtype=float32, name="x")
    x: Any = x_host.to("ahbm", policy=by_pe)
    queues = install_queues(torch, directions="NESW")
    torch.launch(jacobi_kernel, (len(pes),), (x,), {"STEPS": steps, "BLOCK": block}, queues=queues)

    def expected() -> tuple[Expected, ...]:
        tiles = x_host.numpy().reshape(len(pes), block, block)
        n_columns, n_rows = grid_extents(spec)
        grid = np.empty((n_rows * block, n_columns * block), np.float32)
        places = [
            (slice(y * block, (y + 1) * block), slice(x * block, (x + 1) * block))
            for x, y in (coords_of(spec, pe) for pe in pes)
        ]
        for place, tile in zip(places, tiles, strict=True):
            grid[place] = tile
        for _ in range(steps):
            grid = jacobi_step(
                grid,
                wrap_rows=spec.neighbours.wrap and n_rows > 1,
                wrap_columns=spec.neighbours.wrap and n_columns > 1,
            )
        return (Expected(values=np.concatenate([grid[place] for place in places]), tolerance=0.0),)

    return Outcome(
        outputs=(x,),
        expected=expected,
        reference="numpy, the same float32 operations in the same order",
        flops=4 * steps * len(pes) * block * block,
    )


def jacobi_step(grid: Array, *, wrap_rows: bool, wrap_columns: bool) -> Array:
    """The whole grid one step later; beyond an edge is 0, or the other edge."""
    padded = np.pad(grid, ((1, 1), (0, 0)), mode="wrap" if wrap_rows else "constant")
    padded = np.pad(padded, ((0, 0), (1, 1)), mode="wrap" if wrap_columns else "constant")
    north, south = padded[:-2, 1:-1], padded[2:, 1:-1]
    west, east = padded[1:-1, :-2], padded[1:-1, 2:]
    stepped: Array = np.float32(0.25) * (north + south + west + east)
    return stepped
