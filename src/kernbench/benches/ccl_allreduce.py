"""All-reduce over the PEs, written as for PyTorch: the host runs a worker for each rank.

The worker is any PyTorch program's. ``python ccl_allreduce.py`` runs it on the real PyTorch, over gloo.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernbench.bench import Array, Expected, Outcome, bench, random_values, rounding
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import DType, as_dtype
from kernbench.errors import UsageError
from kernbench.wording import quoted

OPS = {"SUM": np.add, "AVG": np.add, "PRODUCT": np.multiply, "MIN": np.minimum, "MAX": np.maximum}


def worker(rank: int, world_size: int, torch: Any, xs: Sequence[Any], backend: str, op: str) -> None:
    """Replace ``xs[rank]``, this rank's own vector, by the reduction of all ranks' vectors."""
    dist = torch.distributed
    dist.init_process_group(backend, rank=rank, world_size=world_size)
    dist.all_reduce(xs[rank], op=getattr(dist.ReduceOp, op))
    dist.destroy_process_group()


@bench(
    "ccl_allreduce",
    fit=lambda room, given: {"world_size": min(room.n_pes, 16)},
    small={"world_size": 3, "n": 100},
)
def run(torch: Any, *, world_size: int, n: int = 4096, dtype: str = "fp32", op: str = "SUM") -> Outcome:
    """Ranks on the first world_size PEs reduce n elements each; every rank gets the result."""
    if op not in OPS:
        raise UsageError(f"ccl_allreduce: op {quoted(op)} is none of {', '.join(OPS)}")
    n_pes = len(torch.ahbm.pes)
    if not 1 <= world_size <= n_pes:
        raise UsageError(
            f"ccl_allreduce: world_size={world_size}; the machine has {n_pes} PEs, and each rank is one: give 1 to "
            f"{n_pes}"
        )
    kind = as_dtype(dtype)
    hosts = [random_values(torch, n, dtype=kind, name=f"x{rank}") for rank in range(world_size)]
    xs: list[Any] = [host.to("ahbm", policy=DPPolicy(only=rank)) for rank, host in enumerate(hosts)]
    torch.multiprocessing.spawn(worker, args=(world_size, torch, xs, "ahbm", op), nprocs=world_size)

    def expected() -> tuple[Expected, ...]:
        return (reduction([host.numpy() for host in hosts], kind, op),) * world_size

    return Outcome(
        outputs=tuple(xs),
        expected=expected,
        reference="numpy float64, in the order of ranks",
        flops=(world_size - 1) * n,
        unchecked="" if world_size > 1 else "world_size=1: one rank has nothing to reduce",
    )


def reduction(vectors: Sequence[Array], kind: DType, op: str) -> Expected:
    """What every rank has at the end, and how far a reduction in ``kind``, in any order, may be off.

    A sum of p values is off by at most g times the sum of their magnitudes, g = (p - 1) u / (1 - (p - 1) u), and a
    product by g times its own (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
    """
    exact = np.stack(vectors).astype(np.float64 if kind.is_float else kind.numpy)
    values: Array = OPS[op].reduce(exact, axis=0, dtype=exact.dtype)
    if not kind.is_float or op in ("MIN", "MAX"):
        return Expected(values=values, tolerance=0.0)
    n, magnitude = len(vectors), np.abs(values) if op == "PRODUCT" else np.abs(exact).sum(axis=0)
    off = (n - 1) * float(rounding(np.ones(1), kind)[0])
    tolerance = magnitude * (off / (1 - off)) + rounding(magnitude, kind)
    if op == "AVG":
        values, tolerance = values / n, tolerance / n + rounding(values / n, kind)
    return Expected(values=values, tolerance=tolerance)


def gloo_worker(rank: int, world_size: int, port: int, xs: Sequence[Any], op: str) -> None:
    """Run the worker in a process of the real PyTorch."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    worker(rank, world_size, importlib.import_module("torch"), xs, "gloo", op)


def run_on_gloo(vectors: Sequence[Array], op: str) -> list[Array]:
    """What the real PyTorch makes of ``vectors``, one for each rank."""
    torch = importlib.import_module("torch")
    multiprocessing = importlib.import_module("torch.multiprocessing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    xs = [torch.from_numpy(vector.copy()).share_memory_() for vector in vectors]
    multiprocessing.spawn(gloo_worker, args=(len(xs), port, xs, op), nprocs=len(xs))
    return [x.numpy() for x in xs]


if __name__ == "__main__":
    stream = np.random.default_rng(0)
    given = [stream.standard_normal(4096).astype(np.float32) for _ in range(4)]
    wanted = reduction(given, as_dtype("fp32"), "SUM")
    found = run_on_gloo(given, "SUM")
    is_right = all((np.abs(x - wanted.values) <= wanted.tolerance).all() for x in found)
    print("gloo: right on every rank" if is_right else "gloo: WRONG")  # noqa: T201
