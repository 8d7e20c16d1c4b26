"""Each rank sets a bit of a mask: BOR is their union, BAND what all have, BXOR the parity; of bools too."""

import kernbench as kb


def worker(rank, world_size, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm", rank=rank, world_size=world_size)
    for name in ("BOR", "BAND", "BXOR"):
        mask = torch.tensor([1 << rank, 8 | rank], dtype=torch.int32)
        flag = torch.tensor([rank > 0])
        dist.all_reduce(mask, op=getattr(dist.ReduceOp, name))
        dist.all_reduce(flag, op=getattr(dist.ReduceOp, name))
        if rank == 0:
            print(name, mask.tolist(), flag.tolist())
    try:
        dist.all_reduce(torch.ones(2), op=dist.ReduceOp.BOR)
    except RuntimeError as error:
        refused[rank] = str(error)


refused = {}
torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(4, torch), nprocs=4)
print(sorted(refused), *set(refused.values()))

# $ python bits_of_all_ranks.py
# BOR [15, 11] [True]
# BAND [0, 8] [False]
# BXOR [15, 0] [True]
# [0, 1, 2, 3] Cannot use ReduceOp.BOR with non-integral dtype
