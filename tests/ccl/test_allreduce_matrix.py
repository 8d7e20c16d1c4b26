"""All-reduce as host programs ask for it and ``ccl.yaml`` decides it: algorithm, memory of the rings, number of ranks.

The seven cases of the project's brief, timed. The order of each algorithm's reduction is known, so random floats have
one right result.
"""

from collections import Counter
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from kernbench.benches.ccl_allreduce import worker
from kernbench.ccl.communicator import Communicator
from kernbench.device.placement import DPPolicy
from kernbench.simulation import simulate
from tests.ccl.collective_kit import reference

N = 1000  # of no world here a multiple; several slots a rank


class Case(NamedTuple):
    algorithm: str
    n_ranks: int
    buffer: str = "tcm"


MATRIX = {
    "ring, tcm": Case("ring_allreduce", 4, "tcm"),
    "ring, hbm": Case("ring_allreduce", 4, "hbm"),
    "ring, sram": Case("ring_allreduce", 4, "sram"),
    "ring on 8": Case("ring_allreduce", 8),
    "ring on 16": Case("ring_allreduce", 16),
    "mesh on 4": Case("mesh_allreduce", 4),
    "tree on 7": Case("tree_allreduce", 7),
}


class Ran(NamedTuple):
    vectors: list[np.ndarray]
    results: list[np.ndarray]
    wanted: list[np.ndarray]
    moved_bytes: dict[str, int]


@cache
def ran(case):
    """``default`` with what ``case`` chooses in ``ccl.yaml``, and a host program that knows nothing of it."""
    chosen, p = f"ccl.algorithms.{case.algorithm}", case.n_ranks
    overrides = [
        f"ccl.selection.all_reduce={case.algorithm}:0-max",
        f"{chosen}.buffer_kind={case.buffer}",
        f"{chosen}.world_size={p}",
    ]
    simulation = simulate("default", mode="timed", overrides=overrides)
    torch, machine = simulation.torch, simulation.machine
    vectors = list(np.random.default_rng(5).normal(size=(p, N)).astype(np.float32))
    xs = [torch.from_numpy(x).to("ahbm", policy=DPPolicy(only=rank)) for rank, x in enumerate(vectors)]
    torch.multiprocessing.spawn(worker, args=(-1, torch, xs, "ahbm", "SUM"), nprocs=p)
    results = [x.numpy() for x in xs]
    moved = Counter()
    for span in machine.spans:
        for node, size_bytes in span.moved.memories.items():
            moved[machine.graph.nodes[node].kind] += size_bytes
    group = Communicator(torch.ahbm, range(p)).group
    return Ran(vectors, results, reference(case.algorithm, group, vectors, "sum", 0), moved)


@pytest.mark.parametrize("name", MATRIX)
def test_every_rank_has_the_reduction_of_the_configured_algorithm_to_the_bit(name):
    found = ran(MATRIX[name])
    assert [x.tobytes() for x in found.results] == [x.tobytes() for x in found.wanted]
    assert len({x.tobytes() for x in found.results}) == 1


def test_rings_lie_where_they_are_configured_to():
    """There each message is written once and read once."""
    in_tcm, in_hbm, in_sram = (
        ran(Case("ring_allreduce", 4, kind)).moved_bytes for kind in ("tcm", "hbm", "sram")
    )
    sent_bytes = 2 * (4 - 1) * N * 4
    assert in_sram == {**in_tcm, "sram": 2 * sent_bytes}
    assert in_hbm == {**in_tcm, "hbm_ctrl": in_tcm["hbm_ctrl"] + 2 * sent_bytes}
