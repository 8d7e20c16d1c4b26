"""A NaN is found on whichever rank and place it is, by MAX and MIN, by reduce and by reduce_scatter."""

import math

import kernbench as kb


def worker(rank, world_size, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm")
    for where in range(world_size):
        kept = []
        for op in (dist.ReduceOp.MAX, dist.ReduceOp.MIN):
            value = math.nan if rank == where else float(rank)
            x, y, part = torch.full((9,), value), torch.full((9,), value), torch.zeros(2)
            dist.all_reduce(x, op=op)
            dist.reduce(y, 1, op=op)
            dist.reduce_scatter_single(part, torch.full((8,), value, dtype=torch.float32), op=op)
            kept += [*x.tolist(), *part.tolist(), *(y.tolist() if rank == 1 else [])]
        assert all(map(math.isnan, kept)), (rank, where, kept)
    print(rank, "kept every NaN")


torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(4, torch), nprocs=4)

# $ python nan_on_any_rank.py
# 3 kept every NaN
# 0 kept every NaN
# 1 kept every NaN
# 2 kept every NaN
