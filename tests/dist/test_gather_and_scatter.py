"""Lists of tensors go where gather, scatter and all_to_all send them: each transfer once, all in one kernel.

That names, numbers and words are PyTorch's is tested against PyTorch itself, in ``tests/torch``.
"""

import pytest

from kernbench.errors import DeadlockError, UsageError
from kernbench.simulation import simulate
from tests.dist.rank_kit import N, fails, joined, listed, spawned


@pytest.mark.parametrize("mode", ["data", "timed"])
@pytest.mark.parametrize("root", [0, 2])
def test_gather_and_scatter_are_each_others_inverse(mode, root):
    def body(rank, n, torch):
        dist, mine, back = torch.distributed, torch.full((3,), float(rank)), torch.zeros(3)
        into = [torch.zeros(3) for _ in range(n)] if rank == root else None
        dist.gather(mine, into, root)
        dist.scatter(back, into, root)
        return listed(*(into or ())), listed(back)

    for rank, (gathered, back) in enumerate(spawned(joined(body), mode=mode)):
        assert gathered == ([[float(r)] * 3 for r in range(N)] if rank == root else [])
        assert back == [[float(rank)] * 3]


def test_each_is_one_kernel():
    def body(rank, n, torch):
        dist = torch.distributed
        xs, ys = ([torch.zeros(2) for _ in range(n)] for _ in "xy")
        dist.gather(xs[0], ys if rank == 1 else None, 1)
        dist.scatter(xs[0], ys if rank == 1 else None, 1)
        dist.all_to_all(ys, xs)

    spans = []
    spawned(
        joined(body), mode="timing", after=lambda s: spans.extend((s.name, s.pes) for s in s.machine.spans)
    )
    assert spans == [("exchange", set(range(N)))] * 3


def test_all_to_all_takes_parts_of_different_sizes():
    def body(rank, n, torch):
        ys = [torch.zeros(r + rank) for r in range(n)]
        torch.distributed.all_to_all(ys, [torch.full((rank + s,), 10.0 * rank + s) for s in range(n)])
        return listed(*ys)

    assert spawned(joined(body)) == [[[10.0 * r + s] * (r + s) for r in range(N)] for s in range(N)]


def test_parts_that_do_not_fit_are_an_error_of_both_ranks():
    def body(rank, n, torch):
        xs, ys = [torch.zeros(2)] * n, [torch.zeros(3 if rank == 1 and r == 2 else 2) for r in range(n)]
        torch.distributed.all_to_all(ys, xs)

    text = fails(body, RuntimeError)
    here = "test_gather_and_scatter.py:"
    assert text.startswith(f"all_to_all: rank 2 sends 2 elements to rank 1 ({here}")
    assert text.endswith("; give both the same size")
    assert f"which expects 3 ({here}" in text


def test_ranks_that_name_different_roots_are_told_so():
    def body(rank, n, torch):
        x = torch.zeros(2)
        torch.distributed.gather(x, [x] * n if rank == 0 else None, 0 if rank < 3 else 1)

    text = fails(body, RuntimeError)
    assert "gather(numel=2, dtype=fp32, dst=1)" in text
    assert "gather(numel=2, dtype=fp32, dst=0)" in text


def test_the_host_gathers_and_scatters_for_all_ranks():
    with simulate("tiny", mode="data") as simulation:
        torch, dist = simulation.torch, simulation.torch.distributed
        dist.init_process_group()
        x, y = torch.arange(8, dtype=torch.float32), torch.zeros(8)
        everywhere = torch.DPPolicy(sip="replicate", cube="replicate", pe="replicate")
        into = [torch.zeros(2, policy=everywhere) for _ in range(N)]
        dist.gather(x, into)
        assert listed(*into) == [[0, 1], [2, 3], [4, 5], [6, 7]]  # the first copy is that of rank 0, the root
        dist.scatter(y, into[::-1])
        assert listed(y) == [[6, 7, 4, 5, 2, 3, 0, 1]]
        with pytest.raises(ValueError, match="``gather_list`` must be specified on destination rank"):
            dist.gather(x)


def test_who_does_not_come_to_a_watched_barrier_is_named():
    def body(rank, n, torch):
        if rank != 2:
            torch.distributed.monitored_barrier(wait_all_ranks=True)

    text = fails(body, DeadlockError)
    assert "rank 0  monitored_barrier() at test_gather_and_scatter.py:" in text
    assert "waits for ranks 2 of group '0' (ranks 0, 1, 2, 3)" in text


def test_a_tensor_on_the_host_is_gathered_by_nobody():
    def body(rank, n, torch):
        torch.distributed.gather(torch.zeros(2, device="host", name="x"))

    assert "'x' is there: copy it to the device with .to('ahbm')" in fails(body, UsageError)
