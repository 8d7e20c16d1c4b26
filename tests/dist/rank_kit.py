"""Programs of ``torch.distributed`` on the machine `tiny`, run to their end."""

import pytest

from kernbench.simulation import simulate

N = 4  # PEs of `tiny`


def spawned(body, n=N, mode="data", topology="tiny", after=None, **options):
    """What ``body(rank, n, torch)`` gives on each rank, on a machine of its own."""
    found = [None] * n

    def worker(rank, n, torch):
        found[rank] = body(rank, n, torch)

    with simulate(topology, mode=mode, **options) as simulation:
        simulation.torch.multiprocessing.spawn(worker, args=(n, simulation.torch), nprocs=n)
        if after is not None:
            after(simulation)
    return found


def joined(body):
    """``body`` between the making of the default group and its end."""

    def worker(rank, n, torch):
        torch.distributed.init_process_group("ahbm")
        answer = body(rank, n, torch)
        torch.distributed.destroy_process_group()
        return answer

    return worker


def fails(body, kind, *, joins=True, **options):
    """The text of the error of ``kind`` with which a run of ``body`` ends; without ``joins`` it makes its own group."""
    with pytest.raises(kind) as caught:
        spawned(joined(body) if joins else body, **options)
    return str(caught.value)


def listed(*tensors):
    return [tensor.numpy().tolist() for tensor in tensors]
