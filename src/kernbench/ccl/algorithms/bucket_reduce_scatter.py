"""Reduce-scatter on a rectangle of ranks: along the rows, then along the columns."""

from __future__ import annotations

from functools import partial
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.grids import rings_of
from kernbench.ccl.kernels.rings import reduce_on_ring
from kernbench.ccl.kernels.spans import MOST_IN_TCM, block_of, finish, read, unfinished, whole, write
from kernbench.ccl.orders import Places, axis_layout, axis_queues, no_rectangle, torus_places
from kernbench.theory.closed_forms import bucket_blocks


def bucket_reduce_scatter(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, places: Places
) -> None:
    """Make ``dst`` of rank r, ``[n_elem]``, the reduction of block r of ``src`` over all ranks, ``[n_ranks, n_elem]``.

    For some slices at a time, the rank at place (i, j) of a x b first gets, by a reduce-scatter along its row, those
    of the blocks of all ranks of column i, reduced over its row; they stay in TCM. A reduce-scatter of them along its
    column leaves it those of its own block, complete.
    """
    row, column = rings_of(places)
    at = {place: rank for rank, place in enumerate(places)}
    n_slices, n_rows = len(whole(n_elem, slice_elems)), column.n
    blocks = [block_of(rank, n_elem, slice_elems) for rank in range(len(places))]
    own = whole(n_elem, slice_elems)
    step = max(1, MOST_IN_TCM // n_rows)
    for begin in range(0, n_slices, step):
        n = min(step, n_slices - begin)  # piece k of a part: row k // n, slice begin + k % n

        def from_memory(i: int, k: int) -> Any:
            return read(src, blocks[at[i, k // n]][begin + k % n])  # noqa: B023 - called before the loop goes on

        rows = reduce_on_ring(row, n_rows * n, from_memory, src, unfinished(op), slots)
        mine = reduce_on_ring(column, n, lambda j, k: rows[j * n + k], src, unfinished(op), slots)  # noqa: B023 - likewise
        for k, total in enumerate(mine):
            write(dst, own[begin + k], finish(op, total, len(places)))


ALGORITHMS.register("bucket_reduce_scatter")(
    Algorithm(
        collective="reduce_scatter",
        kernel=bucket_reduce_scatter,
        queues=axis_queues(torus_places),
        layout=axis_layout(torus_places),
        elems_sent=lambda world_size, n_elem: world_size * (world_size - 1) * n_elem,
        refuses=no_rectangle,
        closed_form=partial(bucket_blocks, is_reducing=True),
        source="a reduce-scatter on the ring of a row, and of a column; "
        "Jain and Sabharwal 2010, ICS: bucket algorithms on a torus",
        small=Small(n_ranks=8, n_elem=64),
    )
)
