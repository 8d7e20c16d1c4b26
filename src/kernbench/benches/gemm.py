"""A tiled GEMM over all PEs: A sharded by rows, B a copy per SIP sharded by rows within it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernbench.bench import Expected, Outcome, bench, dot_tolerance, random_values
from kernbench.dtypes import accumulate_type, as_dtype
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.runtime.placement import DPPolicy


@jit
def gemm_kernel(
    a_ptr,
    b_ptr,
    c_ptr,
    M,
    N,
    K,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ACC: tl.constexpr,
):
    """One program makes one BLOCK_M x BLOCK_N tile of C.

    The k loop begins at a different block in each program, so that the programs do not all read the same rows
    of B, which lie in one channel, at the same time.
    """
    pid = tl.program_id(0)
    n_columns = tl.cdiv(N, BLOCK_N)
    rows = (pid // n_columns) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = (pid % n_columns) * BLOCK_N + tl.arange(0, BLOCK_N)
    n_steps = tl.cdiv(K, BLOCK_K)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=ACC)
    for step in range(n_steps):
        ks = ((pid + step) % n_steps) * BLOCK_K + tl.arange(0, BLOCK_K)
        a = tl.load(
            a_ptr + rows[:, None] * K + ks[None, :], mask=(rows[:, None] < M) & (ks[None, :] < K), other=0.0
        )
        b = tl.load(
            b_ptr + ks[:, None] * N + columns[None, :],
            mask=(ks[:, None] < K) & (columns[None, :] < N),
            other=0.0,
        )
        acc = tl.dot(a, b, acc)
    tl.store(
        c_ptr + rows[:, None] * N + columns[None, :],
        acc.to(c_ptr.dtype.element_ty),
        mask=(rows[:, None] < M) & (columns[None, :] < N),
    )


@bench("gemm")
def run(
    torch: Any,
    m: int = 1024,
    n: int = 1024,
    k: int = 1024,
    dtype: str = "fp16",
    block_m: int = 64,
    block_n: int = 128,
    block_k: int = 128,
) -> Outcome:
    """C = A @ B, tiled over all PEs."""
    kind = as_dtype(dtype)
    acc = accumulate_type(kind)
    out = kind if kind.is_float else acc
    by_rows = DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise")
    copy_per_sip = DPPolicy(sip="replicate", cube="row_wise", pe="row_wise")
    a_host = random_values(torch, m, k, dtype=kind, name="a")
    b_host = random_values(torch, k, n, dtype=kind, name="b")
    a = a_host.to("ahbm", policy=by_rows)
    b = b_host.to("ahbm", policy=copy_per_sip)
    c = torch.empty(m, n, dtype=out, policy=by_rows, name="c")
    grid = (torch.cdiv(m, block_m) * torch.cdiv(n, block_n),)
    gemm_kernel[grid](a, b, c, m, n, k, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k, ACC=acc)

    def expected() -> tuple[Expected, ...]:
        a64, b64 = (x.numpy().astype(np.float64) for x in (a_host, b_host))
        return (Expected(values=a64 @ b64, tolerance=dot_tolerance(a64, b64, acc, out)),)

    return Outcome(
        outputs=(c,), expected=expected, reference="numpy float64 product", flops=2 * m * n * k, gemm=kind
    )
