"""The exchange of halos alone: 128 PEs of ``default`` send to all their neighbours and receive from them, 500 times.

Mode ``timed``, values checked, without an op log. An edge is 128 B; a step passes on what the step before received. The
bar is 60 CPU s, with flat memory. CPU time is that of the launch; the peak is of the whole process.

    python benchmarks/exchange.py [STEPS]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from harness import peak_mb

from kernbench.ccl import install_queues
from kernbench.lang import jit, tl
from kernbench.simulation import Simulation

N = 32
N_PES = 128
DIRECTIONS = "NSEW"


@jit
def exchange(x_ptr, y_ptr, steps: tl.constexpr):
    """Edge d of rank r begins as ``x[r]``; a step sends edge d to d and replaces it by what came from there."""
    rank = tl.rank()
    x = tl.load(x_ptr + rank * N, shape=(N,))
    edges = {d: x for d in DIRECTIONS if tl.neighbor(d) is not None}
    for _ in range(steps):
        for d in edges:
            tl.send_async(d, edges[d])
        for d in edges:
            edges[d] = tl.recv(d, (N,), tl.float32)
    for d in edges:
        tl.store(y_ptr + (rank * len(DIRECTIONS) + DIRECTIONS.index(d)) * N, edges[d])


def main() -> None:
    """Run, check, print."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    simulation = Simulation.of("default", keep_log=False)
    torch = simulation.torch
    wiring = install_queues(torch)
    x = torch.arange(N_PES * N, dtype=torch.float32)
    y = torch.zeros(N_PES * len(DIRECTIONS) * N)
    begin_s = time.process_time()
    torch.launch(exchange, (N_PES,), (x, y), {"steps": steps}, queues=wiring)
    torch.synchronize()
    cpu_s = time.process_time() - begin_s
    found, mine = y.numpy().reshape(N_PES, len(DIRECTIONS), N), x.numpy().reshape(N_PES, N)
    n_ends = 0
    for site in wiring.sites.values():
        for name, end in site.ends.items():
            n_ends += 1
            # What goes out at d comes back at d: after an odd number of steps it is the neighbour's, else the own.
            sender = end.peer.rank if steps % 2 else site.rank
            if not np.array_equal(found[site.rank, DIRECTIONS.index(name)], mine[sender]):
                raise SystemExit(f"rank {site.rank} has a wrong value from {name}")
    messages = n_ends * steps
    print(
        f"{steps} exchanges, {messages} messages, values right: {cpu_s:.1f} CPU s, "
        f"{cpu_s / messages * 1e6:.0f} us a message, {peak_mb():.0f} MB at most"
    )


if __name__ == "__main__":
    main()
