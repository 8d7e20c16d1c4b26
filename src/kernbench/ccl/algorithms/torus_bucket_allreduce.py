"""All-reduce on a torus: along the rows, along the columns, and back along the rows."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.grids import bucket_all_reduce
from kernbench.ccl.orders import Places, axis_layout, axis_queues, no_torus, torus_places
from kernbench.theory.closed_forms import buckets


def torus_bucket_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, places: Places
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    The last rank of a row or column is next to the first. The rank at place (i, j) of a x b has, reduced over its row,
    part i of a after the reduce-scatter along the row; the all-reduce of that along its column completes it; and the
    all-gather along the row brings the other parts.
    """
    bucket_all_reduce(places, src, dst, n_elem, op, slice_elems, slots)


ALGORITHMS.register("torus_bucket_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=torus_bucket_allreduce,
        queues=axis_queues(torus_places),
        layout=axis_layout(torus_places),
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
        refuses=no_torus,
        closed_form=buckets,
        source="sum over axes of e: (e-1)(2 alpha + 2 c beta + c gamma); "
        "Jain and Sabharwal 2010, ICS: bucket algorithms on a torus",
        small=Small(n_ranks=8, n_elem=64),
    )
)
