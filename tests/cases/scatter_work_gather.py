"""One rank deals out work, each rank's kernel does it on its own PE, and the results come back."""

import kernbench as kb
from kernbench import tl


@kb.jit
def square(x_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(x_ptr + at)
    tl.store(x_ptr + at, x * x)


def worker(rank, n, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm")
    mine = torch.empty(2)
    dist.scatter(mine, [torch.full((2,), r + 1.0) for r in range(n)] if rank == 1 else None, src=1)
    square[(1,)](mine, N=2)
    results = [torch.empty(2) for _ in range(n)] if rank == 2 else None
    dist.gather(mine, results, dst=2)
    if results:
        print([x.tolist() for x in results])
    sizes = [None] * n
    dist.gather_object(("rank", rank, mine.cpu()), sizes if rank == 0 else None)
    if rank == 0:
        print([(name, r, x.tolist()) for name, r, x in sizes])


simulation = kb.simulate("tiny")
torch = simulation.torch
torch.multiprocessing.spawn(worker, args=(4, torch), nprocs=4)
print(sorted(min(span.pes) for span in simulation.machine.spans if span.name == "square"))

# $ python scatter_work_gather.py
# [[1.0, 1.0], [4.0, 4.0], [9.0, 9.0], [16.0, 16.0]]
# [('rank', 0, [1.0, 1.0]), ('rank', 1, [4.0, 4.0]), ('rank', 2, [9.0, 9.0]), ('rank', 3, [16.0, 16.0])]
# [0, 1, 2, 3]
