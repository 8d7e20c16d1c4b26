"""A kernel takes a tensor whose broadcast was not waited for; after the wait it may."""

import kernbench as kb
from kernbench import tl


@kb.jit
def double(x_ptr):
    tl.store(x_ptr, 2 * tl.load(x_ptr))


def worker(rank, n, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm")
    x = torch.full((1,), float(rank + 1), name="x")
    work = dist.broadcast(x, 0, async_op=True)
    try:
        double[(1,)](x)
    except Exception as error:
        told[rank] = str(error)
    work.wait()
    double[(1,)](x)
    results[rank] = x.item()


told, results = {}, {}
torch = kb.simulate("tiny", races="error").torch
torch.multiprocessing.spawn(worker, args=(2, torch), nprocs=2)
print(results[0], results[1])
print(told[1])

# $ python launch_before_wait.py
# 2.0 2.0
# rank 1: 'x'[1] is used in a launch at launch_before_wait.py:18 before broadcast at launch_before_wait.py:16 was waited for, so that it is open what is there; call wait() on its work first
