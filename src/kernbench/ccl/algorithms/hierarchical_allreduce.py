"""All-reduce level by level: within each cube, between cubes, between SIPs, and back."""

from __future__ import annotations

from typing import Any

from kernbench.ccl.algorithm import ALGORITHMS, Algorithm, Small
from kernbench.ccl.kernels.grids import bucket_all_reduce
from kernbench.ccl.orders import Places, axis_layout, axis_queues, level_places, ragged_levels
from kernbench.theory.closed_forms import buckets


def hierarchical_allreduce(
    src: Any, dst: Any, *, n_elem: int, op: str, slice_elems: int, slots: int, places: Places
) -> None:
    """Make ``dst`` of every rank the reduction of ``src`` over all ranks, ``[n_elem]``.

    Place (i, j, k) is that of a PE in its cube, of the cube in its SIP, and of the SIP. After the reduce-scatter within
    the cubes a rank has part i, reduced over its cube; after that between the cubes of a SIP part j of this part,
    reduced over the SIP; the all-reduce between SIPs completes it; all-gathers bring back the others.
    """
    bucket_all_reduce(places, src, dst, n_elem, op, slice_elems, slots)


ALGORITHMS.register("hierarchical_allreduce")(
    Algorithm(
        collective="all_reduce",
        kernel=hierarchical_allreduce,
        queues=axis_queues(level_places),
        layout=axis_layout(level_places),
        elems_sent=lambda world_size, n_elem: 2 * (world_size - 1) * n_elem,
        refuses=ragged_levels,
        closed_form=buckets,
        source="sum over levels of e: (e-1)(2 alpha + 2 c beta + c gamma); "
        "Chan, Heimlich, Purkayastha and van de Geijn 2007, CCPE 19(13): bucket in each dimension",
        small=Small(n_ranks=4, n_elem=64),
    )
)
