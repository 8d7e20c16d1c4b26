"""A part that a user wrote in Python takes the place of a shipped one, on both engines: the same logs."""

from pathlib import Path

import pytest

from kernbench.simulation import load_plugin
from tests.twin.benches import bench
from tests.twin.random_kernels import kernels

PLUGIN = Path(__file__).with_name("users_parts.py")
PARTS = {
    "PE_GEMM": ("components.pe_gemm=users_gemm",),
    "FETCH_STORE": ("components.pe_fetch_store=users_fetch_store",),
    "HBM model": ("cube.hbm.model=users_hbm",),
    "memory controller": ("components.hbm_ctrl=users_controller",),
    "router": ("components.router=users_router",),
}
BENCHES = ("gemm", "softmax", "vector_add")
SEEDS = range(40)


def plugged_in(subject, *question):
    """What ``subject`` answers where the user's parts are known."""
    load_plugin(PLUGIN)
    return subject(*question)


@pytest.mark.parametrize("part", PARTS)
def test_a_users_part_gives_the_logs_of_the_one_that_it_replaces(twins, some, part):
    questions = [(bench, name, "tiny", {}, "timed", None) for name in BENCHES]
    questions += [(kernels, seed, (None, 1)) for seed in some(SEEDS)]
    shipped = twins.agreed(plugged_in, questions)
    replaced = twins.agreed(plugged_in, [(*question, PARTS[part]) for question in questions])
    assert replaced == shipped
