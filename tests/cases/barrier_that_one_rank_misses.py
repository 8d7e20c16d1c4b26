"""Rank 1 of three never comes to a monitored barrier: the error names it, and every line that waits."""

import kernbench as kb


def worker(rank, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm")
    if rank != 1:
        dist.monitored_barrier()


torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(torch,), nprocs=3)

# $ python barrier_that_one_rank_misses.py
#! kernbench.errors.DeadlockError: 2 of 3 workers wait and nothing is left to happen:
#!   rank 0  monitored_barrier() at barrier_that_one_rank_misses.py:10: waits for ranks 1 of group '0' (ranks 0, 1, 2)
#!   rank 2  monitored_barrier() at barrier_that_one_rank_misses.py:10: waits for ranks 1 of group '0' (ranks 0, 1, 2)
#!   ended: 1
# = 1
