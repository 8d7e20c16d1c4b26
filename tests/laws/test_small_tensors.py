"""In which shards a small tensor lies changes no value; programs that read it make fewer transactions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernbench as kb
from kernbench import tl
from kernbench.device.placement import SPACES

MACHINE = {"cube.pes": {"count": 6, "grid": [3, 2]}, "cube.hbm.channels": 6, "cube.hbm.capacity": "96 MiB"}
N_PES = 6


@kb.jit
def add_shares(x_ptr, y_ptr, out_ptr, N: tl.constexpr):
    """Program p adds its share of x and y."""
    index, n_programs = tl.program_id(0), tl.num_programs(0)
    share = tl.cdiv(N, n_programs)
    at = index * share + tl.arange(0, 512)
    mask = (at < N) & (at < (index + 1) * share)
    x = tl.load(x_ptr + at, mask=mask, other=0)
    tl.store(out_ptr + at, x + tl.load(y_ptr + at, mask=mask, other=0), mask=mask)


@settings(max_examples=25)
@given(
    shape=st.lists(st.integers(1, 8), min_size=1, max_size=3).map(tuple),
    levels=st.tuples(*[st.sampled_from(["row_wise", "column_wise", "tiled"])] * 3),
    only=st.none() | st.permutations(range(N_PES)),
    space=st.sampled_from(SPACES),
    least_bytes=st.sampled_from([0, 1, 16, 60, 200, 1024]),
    n_programs=st.integers(1, 13),
)
def test_values_are_right_whatever_the_policy(shape, levels, only, space, least_bytes, n_programs):
    values = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    policy = kb.DPPolicy(*levels, only=only, space=space, least_bytes=least_bytes)
    with kb.simulate("tiny", mode="data", overrides=MACHINE) as simulation:
        torch = simulation.torch
        x, y = (torch.from_numpy(n * values).to("ahbm", policy=policy) for n in (1, 10))
        out = torch.zeros_like(x)
        add_shares[(n_programs,)](x, y, out, N=values.size)
        assert out.tolist() == (11 * values).tolist()


@pytest.mark.parametrize("mode", ["data", "timed"])
def test_the_host_speaks_for_all_ranks_with_a_tensor_that_lies_in_one_shard(mode):
    with kb.simulate("tiny", mode=mode) as simulation:
        torch, dist = simulation.torch, simulation.torch.distributed
        dist.init_process_group()
        x = torch.arange(8, dtype=torch.float32)
        assert (x.holders, x.part_pes) == ((0,), (0, 1, 2, 3))
        dist.all_reduce(x)
        assert x.tolist() == 4 * [0 + 2 + 4 + 6, 1 + 3 + 5 + 7]


def test_small_tensors_take_turns_among_their_pes():
    with kb.simulate("tiny", mode="data") as simulation:
        made = [simulation.torch.empty(16) for _ in range(5)]
        assert [x.holders for x in made] == [(0,), (1,), (2,), (3,), (0,)]
        made[1].free()
        assert simulation.torch.empty(16).holders == (1,)  # with the address comes the turn
