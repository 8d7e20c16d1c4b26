"""Output blocks of a product: their shape, and the tiles they are made of. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from kernbench.units import ceil_div

Part = tuple[int, int]  # from, to


class Blocking(NamedTuple):
    """Output blocks of ``m x n``, accumulated in steps of ``k``."""

    m: int
    n: int
    k: int


@lru_cache(maxsize=1024)
def block_shape(
    extents: Blocking, array: Blocking, sizes: tuple[int, int, int], acc_room: int, operand_room: int
) -> Blocking | None:
    """The blocks that fetch the fewest operand bytes, or None when not even one array's worth fits.

    A block's accumulators fit ``acc_room`` bytes; one k step of its operands fits ``operand_room``. ``sizes`` are
    bytes per element of a, b and the accumulators. Of equals, the tallest block.
    """
    a_size, b_size, acc_size = sizes
    best: tuple[int, int, int] | None = None
    for m in _steps(extents.m, array.m):
        for n in _steps(extents.n, array.n):
            if m * n * acc_size > acc_room or (m * a_size + n * b_size) * array.k > operand_room:
                break
            traffic = (
                extents.m * ceil_div(extents.n, n) * a_size + extents.n * ceil_div(extents.m, m) * b_size
            )
            best = min(best or (traffic, -m, -n), (traffic, -m, -n))
    if best is None:
        return None
    m, n = -best[1], -best[2]
    k = operand_room // (m * a_size + n * b_size)
    return Blocking(m, n, min(extents.k, k - k % array.k))


def _steps(extent: int, step: int) -> Iterator[int]:
    """Multiples of ``step`` below ``extent``, then ``extent``."""
    yield from range(step, extent, step)
    yield extent


def tile_boxes(extents: Blocking, blocks: Blocking) -> Iterator[tuple[Part, Part, Part]]:
    """Rows, columns and depth of each tile, block by block."""
    for rows in _parts(extents.m, blocks.m):
        for columns in _parts(extents.n, blocks.n):
            for depth in _parts(extents.k, blocks.k):
                yield rows, columns, depth


def _parts(extent: int, step: int) -> list[Part]:
    return [(at, min(at + step, extent)) for at in range(0, extent, step)]
