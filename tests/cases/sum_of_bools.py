"""Is a flag set on any rank? all_reduce(SUM) of bools, which gloo of PyTorch 2.13 answers with [True, True, False]."""

import kernbench as kb


def worker(rank, world_size, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm", rank=rank, world_size=world_size)
    flags = torch.tensor([rank == 1, True, False])
    dist.all_reduce(flags, op=dist.ReduceOp.SUM)
    print(rank, flags.tolist())
    dist.destroy_process_group()


torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(4, torch), nprocs=4)

# $ python sum_of_bools.py
# 2 [True, True, False]
# 0 [True, True, False]
# 1 [True, True, False]
# 3 [True, True, False]
