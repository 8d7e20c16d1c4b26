"""A launcher started the program as its only process; each worker sees its own rank, and the program what it had."""

import os

import kernbench as kb


def worker(rank, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm", init_method="env://")
    seen = [os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")]
    dist.barrier()
    assert seen == [os.environ[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")]
    found[rank] = seen, dist.get_rank(), dist.get_world_size(), dist.get_node_local_rank()


os.environ.update(RANK="0", WORLD_SIZE="1", MASTER_ADDR="10.0.0.1", MASTER_PORT="29400")
os.environ.pop("LOCAL_RANK", None)
found = {}
torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(torch,), nprocs=3)
for rank in range(3):
    print(rank, *found[rank])
print(os.environ["RANK"], os.environ["MASTER_ADDR"], "LOCAL_RANK" in os.environ)
torch.distributed.init_process_group()
print(torch.distributed.get_rank(), "of", torch.distributed.get_world_size())

# $ python environment_of_workers.py
# 0 ['0', '0', '3'] 0 3 0
# 1 ['1', '1', '3'] 1 3 1
# 2 ['2', '2', '3'] 2 3 2
# 0 10.0.0.1 False
# 0 of 1
