"""Jacobi's iteration on a grid of tiles, one per PE: at each step neighbours exchange the edges of their tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kernbench.bench import Array, Expected, Outcome, bench, on_first, random_values
from kernbench.ccl.wiring import install_queues
from kernbench.config.schema import TopologySpec
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import float32
from kernbench.errors import UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.topology.ids import PeId
from kernbench.topology.levels import coords_of, grid_extents


@jit
def jacobi_kernel(x_ptr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """Replace the tile of each rank, ``x_ptr[rank]``, by that of the grid STEPS steps later.

    One step makes of each cell a quarter of the sum of its four neighbours, all as they were before it; beyond the
    edge of the grid is 0. The tile stays in TCM. ``beside`` has a quarter where row and column are next to each other:
    its product with the tile adds up what lies above and below within the tile, the product the other way round what
    lies left and right. A unit vector times the tile is one of its edges, which goes to the neighbour there; what came
    from a neighbour, times that vector and a quarter, is added to that edge. A queue keeps order, so what arrives in
    step s is the edge that the neighbour sent in step s.
    """
    rows, columns = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK)[None, :]
    tile_ptr = x_ptr + tl.rank() * BLOCK * BLOCK + rows * BLOCK + columns
    beside = tl.where((rows == columns + 1) | (columns == rows + 1), 0.25, 0.0)
    row, column, last = (1, BLOCK), (BLOCK, 1), BLOCK - 1
    at_row = {"N": tl.where(columns == 0, 1.0, 0.0), "S": tl.where(columns == last, 1.0, 0.0)}
    at_column = {"W": tl.where(rows == 0, 1.0, 0.0), "E": tl.where(rows == last, 1.0, 0.0)}
    onto_row = {"N": 0.25 * at_column["W"], "S": 0.25 * at_column["E"]}
    onto_column = {"W": 0.25 * at_row["N"], "E": 0.25 * at_row["S"]}
    rows_to = [to for to in at_row if tl.neighbor(to) is not None]
    columns_to = [to for to in at_column if tl.neighbor(to) is not None]
    tile = tl.load(tile_ptr)
    for _ in range(STEPS):
        for to in rows_to:
            tl.send_async(to, tl.dot(at_row[to], tile))
        for to in columns_to:
            tl.send_async(to, tl.dot(tile, at_column[to]))
        tile = tl.dot(beside, tile, tl.dot(tile, beside))
        for to in rows_to:
            tile = tl.dot(onto_row[to], tl.recv(to, row, tl.float32), tile)
        for to in columns_to:
            tile = tl.dot(tl.recv(to, column, tl.float32), onto_column[to], tile)
    tl.store(tile_ptr, tile)


@bench("halo_exchange", fit=lambda room, given: {"pes": room.pes(given)}, small={"block": 8, "steps": 3})
def run(torch: Any, *, block: int = 32, steps: int = 4, pes: int) -> Outcome:
    """Jacobi's iteration on block x block cells per PE, on the first pes PEs; edges go to up to 4 neighbours."""
    if block < 1 or steps < 0:
        raise UsageError(
            f"halo_exchange: block must be 1 or more and steps 0 or more, not {block} and {steps}"
        )
    x_host = random_values(torch, pes * block, block, dtype=float32, name="x")
    x: Any = x_host.to(
        "ahbm", policy=on_first(pes, torch, DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise"))
    )
    queues = install_queues(torch, pes=range(pes), directions=("N", "E", "S", "W"))
    torch.launch(jacobi_kernel, (pes,), (x,), {"STEPS": steps, "BLOCK": block}, queues=queues)

    def expected() -> tuple[Expected, ...]:
        tiles = jacobi(torch.ahbm.spec, torch.ahbm.pes[:pes], x_host.numpy(), block, steps)
        return (Expected(values=tiles, tolerance=0.0),)

    return Outcome(
        outputs=(x,),
        expected=expected,
        reference="numpy, the same float32 operations in the same order",
        flops=4 * steps * pes * block * block,
    )


def jacobi(spec: TopologySpec, pes: Sequence[PeId], tiles: Array, block: int, steps: int) -> Array:
    """The tiles of ``pes``, one below the other, ``steps`` steps later; where the grid has no tile is 0."""
    coords = [coords_of(spec, pe) for pe in pes]
    n_columns, n_rows = grid_extents(spec)
    wraps = spec.neighbours.wrap
    if not wraps:  # what lies beyond the last tiles is 0 as well
        n_columns, n_rows = (1 + max(place) for place in zip(*coords, strict=True))
    places = [(slice(y * block, (y + 1) * block), slice(x * block, (x + 1) * block)) for x, y in coords]
    grid = np.zeros((n_rows * block, n_columns * block), np.float32)
    is_there = np.zeros_like(grid)
    for place, tile in zip(places, tiles.reshape(len(pes), block, block), strict=True):
        grid[place], is_there[place] = tile, 1
    for _ in range(steps):
        grid = is_there * jacobi_step(
            grid, block, wrap_rows=wraps and n_rows > 1, wrap_columns=wraps and n_columns > 1
        )
    return np.concatenate([grid[place] for place in places])


def jacobi_step(grid: Array, block: int, *, wrap_rows: bool, wrap_columns: bool) -> Array:
    """The whole grid one step later; beyond an edge is 0, or the other edge.

    First comes what lies in the same tile of block x block, then what lies across each of its edges.
    """
    padded = np.pad(grid, ((1, 1), (0, 0)), mode="wrap" if wrap_rows else "constant")
    padded = np.pad(padded, ((0, 0), (1, 1)), mode="wrap" if wrap_columns else "constant")
    rows, columns = (np.arange(n) % block for n in grid.shape)
    first, last = rows[:, None] == 0, rows[:, None] == block - 1
    left, right = columns == 0, columns == block - 1
    north, south = padded[:-2, 1:-1], padded[2:, 1:-1]
    west, east = padded[1:-1, :-2], padded[1:-1, 2:]
    quarter = np.float32(0.25)
    stepped: Array = quarter * (np.where(first, 0, north) + np.where(last, 0, south))
    stepped += quarter * (np.where(left, 0, west) + np.where(right, 0, east))
    for is_across, neighbour in ((first, north), (last, south), (left, west), (right, east)):
        stepped += quarter * np.where(is_across, neighbour, 0)
    return stepped
