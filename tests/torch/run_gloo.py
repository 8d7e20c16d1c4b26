"""Runs the cases on the real torch over gloo, a process for each rank: ``run_gloo.py result.json port``."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import cases
import torch
import torch.distributed
import torch.multiprocessing


def worker(rank, world_size, path, port):
    """One rank."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}

    def init():
        torch.distributed.init_process_group(
            "gloo", rank=rank, world_size=world_size, timeout=timedelta(seconds=100)
        )

    torch.set_num_threads(1)
    found = cases.run(torch, rank, world_size, init)
    Path(f"{path}.{rank}").write_text(json.dumps(found))


def main(path, port):
    """All ranks, into one file."""
    n = cases.WORLD_SIZE
    torch.multiprocessing.spawn(worker, args=(n, path, port), nprocs=n)
    Path(path).write_text(json.dumps([json.loads(Path(f"{path}.{rank}").read_text()) for rank in range(n)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
