"""What is run to see how fast KernBench itself is: cases, and what a process that ran one of them used."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness import used_by

LAYER_NORM = Path(__file__).with_name("layer_norm.py")
BIG = "big"  # a topology of 8192 PEs
PARTS = ("start", "configuration", "language", "machine", "values", "report")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to run: arguments of ``kernbench``, and its bars (None: no bar).

    ``is_run``: it writes the JSON of a run, for which pydantic is imported. ``bar_ratio`` is the least CPU time on the
    reference engine over that on the compiled one.
    """

    name: str
    what: str
    args: tuple[str, ...]
    is_run: bool = False
    bar_cpu_s: float | None = None
    bar_peak_mb: float | None = None
    bar_ratio: float | None = None
    interpreter_cpu_s: float | None = None


def run(
    name: str,
    what: str,
    bench: str,
    *options: str,
    bar_cpu_s: float | None = None,
    bar_peak_mb: float | None = None,
    bar_ratio: float | None = None,
    interpreter_cpu_s: float | None = None,
    **params: int,
) -> Case:
    """The case of ``kernbench run``."""
    assignments = [word for key, value in params.items() for word in ("-p", f"{key}={value}")]
    return Case(
        name=name,
        what=what,
        args=("run", bench, *options, *assignments),
        is_run=True,
        bar_cpu_s=bar_cpu_s,
        bar_peak_mb=bar_peak_mb,
        bar_ratio=bar_ratio,
        interpreter_cpu_s=interpreter_cpu_s,
    )


def in_both_modes(
    name: str, what: str, bench: str, interpreter_cpu_s: float, bar_ratio: float | None = None, **params: int
) -> list[Case]:
    """A kernel of Triton's tutorials in modes ``timed`` and ``data``."""
    timed = run(
        name,
        f"{what}, timed",
        bench,
        bar_ratio=bar_ratio,
        interpreter_cpu_s=interpreter_cpu_s,
        **params,
    )
    data = run(
        f"{name}-data",
        f"{what}, data",
        bench,
        "--mode",
        "data",
        interpreter_cpu_s=interpreter_cpu_s,
        **params,
    )
    return [timed, data]


def square_gemm(side: int, *, bar_cpu_s: float | None = None, bar_ratio: float | None = None) -> Case:
    """A product of square matrices in mode ``timing``, in tiles that keep the number of events low."""
    return run(
        f"gemm-{side}",
        f"GEMM {side}^3, tiles 256 x 512 x 128, timing",
        "gemm",
        "--mode",
        "timing",
        bar_cpu_s=bar_cpu_s,
        bar_ratio=bar_ratio,
        m=side,
        n=side,
        k=side,
        block_m=256,
        block_n=512,
        block_k=128,
    )


def ring(name: str, what: str, n_ranks: int, n_elem: int, bar_ratio: float) -> Case:
    """A ring all-reduce of fp32, whichever algorithm is chosen for that size."""
    algorithm = ("--set", "ccl.selection.all_reduce=ring_allreduce")
    return run(name, what, "ccl_allreduce", *algorithm, bar_ratio=bar_ratio, world_size=n_ranks, n=n_elem)


CASES = (
    run(
        "gemm",
        "GEMM 1024^3 on 128 PEs, timed and checked",
        "gemm",
        bar_cpu_s=15,
        bar_peak_mb=1024,
        bar_ratio=2.4,
    ),
    run("gemm-data", "the same, data", "gemm", "--mode", "data"),
    square_gemm(4096, bar_cpu_s=150, bar_ratio=3.8),
    square_gemm(2048, bar_ratio=2.8),
    ring("ring-128", "ring all-reduce of 128 ranks x 1 MiB, timed", 128, 1 << 18, 1.9),
    ring("ring-64", "ring all-reduce of 64 ranks x 64 KiB, timed", 64, 1 << 14, 1.5),
    run("halo", "100 steps of a stencil on 128 PEs, timed", "halo_exchange", bar_ratio=1.4, steps=100),
    *in_both_modes("softmax", "softmax 1823 x 781", "softmax", 7.3, 1.4, rows=1823, columns=781),
    *in_both_modes("vector_add", "add of 1 M, blocks of 1024", "vector_add", 1.71, 1.5),
    run(
        "big-add",
        "add of 8 M on 8192 PEs, timing",
        "vector_add",
        "--topology",
        BIG,
        "--mode",
        "timing",
        bar_ratio=3.5,
        n=1 << 23,
        pes=8192,
    ),
    *in_both_modes("layer_norm", "layer norm of 1151 x 1024 fp16", str(LAYER_NORM), 9.6, 1.3),
    *in_both_modes(
        "matmul",
        "GEMM 512^3, tiles 64 x 64 x 32",
        "gemm",
        3.3,
        m=512,
        n=512,
        k=512,
        block_m=64,
        block_n=64,
        block_k=32,
    ),
    run("tiny", "add of 1024 on 4 PEs, timed", "vector_add", "--topology", "tiny", n=1024),
    Case(
        name="page",
        what="the same, without JSON",
        args=("run", "vector_add", "--topology", "tiny", "-p", "n=1024"),
        bar_cpu_s=0.35,
    ),
    Case(
        name="big",
        what="8192 PEs: graph, machine, all hardware",
        args=(BIG,),
        bar_cpu_s=8,
        bar_peak_mb=1024,
    ),
    Case(name="help", what="kernbench --help", args=("--help",), bar_cpu_s=0.1),
)


class Used(NamedTuple):
    """What one process used, and what it simulated; ``parts_s`` is empty where it does not say."""

    cpu_s: float
    peak_mb: float
    events: int
    chunk_hops: int
    oplog_sha256: str
    parts_s: dict[str, float]


def used(case: Case, kernbench: Sequence[str], *options: str) -> Used:
    """Run ``case`` with ``options`` in a process of its own; stop if it fails."""
    if not case.is_run:
        return Used(*used_by([*kernbench, *case.args]), 0, 0, "", {})
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "run.json"
        cpu_s, peak_mb = used_by([*kernbench, *case.args, *options, "--json", str(result)])
        found = _found(result)
    parts_s = {part: int(found[f"{part}_ns"]) / 1e9 for part in PARTS if f"{part}_ns" in found}
    events, chunk_hops = int(found["events"]), int(found["chunk_hops"])
    return Used(cpu_s, peak_mb, events, chunk_hops, found["oplog_sha256"], parts_s)


def _found(result: Path) -> dict[str, str]:
    """Members of a run's JSON, line by line: Linux counts a child's peak from its parent's size."""
    wanted = {f'  "{name}"' for name in ("events", "chunk_hops", "oplog_sha256")}
    wanted |= {f'    "{part}_ns"' for part in PARTS}
    found = {}
    with result.open(encoding="utf-8") as lines:
        for line in lines:
            name, _, value = line.rstrip(",\n").partition(": ")
            if name in wanted:
                found[name.strip(' "')] = value.strip('"')
    return found
