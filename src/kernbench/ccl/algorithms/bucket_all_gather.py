"""All-gather on a rectangle of ranks: along the columns, then along the rows."""

from __future__ import annotations

from functools import partial
from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.grids import rings_of
from kernbench.ccl.kernels.rings import all_gather_on, go_round
from kernbench.ccl.kernels.spans import block_of
from kernbench.ccl.orders import Places, axis_layout, axis_queues, no_rectangle, torus_places
from kernbench.lang import tl
from kernbench.theory.closed_forms import bucket_blocks


def bucket_all_gather(
    src: Any, dst: Any, *, n_elem: int, slice_elems: int, slots: int, places: Places
) -> None:
    """Make block r of every ``dst``, ``[n_ranks, n_elem]``, the ``src`` of rank r, ``[n_elem]``.

    After the all-gather along its column, the rank at place (i, j) has the blocks of all ranks of column i. Along its
    row each of these columns is one part; after that it has all.
    """
    row, column = rings_of(places)
    at = {place: rank for rank, place in enumerate(places)}
    blocks = [block_of(rank, n_elem, slice_elems) for rank in range(len(places))]
    home = src + -tl.rank() * n_elem  # where block 0 would be, if src were as large as dst
    mine = [blocks[at[row.me, j]] for j in range(column.n)]
    go_round(all_gather_on(column, mine, home, dst, slots), slots)
    columns = [[piece for j in range(column.n) for piece in blocks[at[i, j]]] for i in range(row.n)]
    go_round(all_gather_on(row, columns, dst, dst, slots), slots)


ALGORITHMS.register("bucket_all_gather")(
    Algorithm(
        collective="all_gather",
        kernel=bucket_all_gather,
        queues=axis_queues(torus_places),
        layout=axis_layout(torus_places),
        elems_sent=lambda world_size, n_elem: world_size * (world_size - 1) * n_elem,
        refuses=no_rectangle,
        closed_form=partial(bucket_blocks, is_reducing=False),
        source="an all-gather on the ring of a column, and of a row; "
        "Jain and Sabharwal 2010, ICS: bucket algorithms on a torus",
        small=Small(n_ranks=8, n_elem=64),
    )
)
