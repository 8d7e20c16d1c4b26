"""Every rank reads its tensor between an asynchronous all_reduce and its wait()."""

import kernbench as kb


def worker(rank, world_size, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm", rank=rank, world_size=world_size)
    x = torch.full((4,), float(rank))
    work = dist.all_reduce(x, async_op=True)
    early = x.numpy()[0]
    work.wait()
    print(f"rank {rank} before wait(): {early}, after: {x.numpy()[0]}")
    dist.destroy_process_group()


torch = kb.simulate("tiny").torch
torch.multiprocessing.spawn(worker, args=(4, torch), nprocs=4)

# $ python read_before_wait.py
# rank 2 before wait(): 6.0, after: 6.0
# rank 0 before wait(): 0.0, after: 6.0
# rank 1 before wait(): 1.0, after: 6.0
# rank 3 before wait(): 3.0, after: 6.0
#! read_before_wait.py:11: RaceWarning: rank 3: 'tensor1'[4] is read at read_before_wait.py:11 before all_reduce at read_before_wait.py:10 was waited for, so that it is open what is there; call wait() on its work first
#!   early = x.numpy()[0]
#! read_before_wait.py:11: RaceWarning: rank 0: 'tensor2'[4] is read at read_before_wait.py:11 before all_reduce at read_before_wait.py:10 was waited for, so that it is open what is there; call wait() on its work first
#!   early = x.numpy()[0]
#! read_before_wait.py:11: RaceWarning: rank 1: 'tensor3'[4] is read at read_before_wait.py:11 before all_reduce at read_before_wait.py:10 was waited for, so that it is open what is there; call wait() on its work first
#!   early = x.numpy()[0]
#! read_before_wait.py:11: RaceWarning: rank 2: 'tensor4'[4] is read at read_before_wait.py:11 before all_reduce at read_before_wait.py:10 was waited for, so that it is open what is there; call wait() on its work first
#!   early = x.numpy()[0]
