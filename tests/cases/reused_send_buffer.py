"""A rank fills its send buffer anew before the message has gone: what the next rank gets is open."""

import kernbench as kb


def worker(rank, n, torch):
    dist = torch.distributed
    dist.init_process_group("ahbm")
    if rank == 0:
        x = torch.ones(2, name="buffer")
        work = dist.isend(x, 1)
        x.copy_(torch.zeros(2, device="cpu"))
        work.wait()
    if rank == 1:
        y = torch.empty(2)
        dist.recv(y, 0)


torch = kb.simulate("tiny", races="error").torch
torch.multiprocessing.spawn(worker, args=(2, torch), nprocs=2)

# $ python reused_send_buffer.py
#! kernbench.errors.RaceError: rank 0: 'buffer'[2] is written at reused_send_buffer.py:12 before isend at reused_send_buffer.py:11 was waited for, so that it is open what is there; call wait() on its work first
# = 1
