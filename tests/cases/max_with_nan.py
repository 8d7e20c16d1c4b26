"""all_reduce(MAX) where rank 0 has a NaN, as a check for bad gradients would; gloo of PyTorch 2.13 gives NaN here."""

import kernbench as kb


def worker(rank, world_size, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm", rank=rank, world_size=world_size)
    x = torch.tensor([float("nan") if rank == 0 else float(rank)])
    dist.all_reduce(x, op=dist.ReduceOp.MAX)
    print(rank, x.item())


torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(4, torch), nprocs=4)

# $ python max_with_nan.py
# 2 nan
# 0 nan
# 1 nan
# 3 nan
