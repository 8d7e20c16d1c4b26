"""A tiled GEMM over all PEs: A sharded by rows, B a copy per SIP sharded by rows within it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernbench import lang as tl
from kernbench.bench import Outcome, bench
from kernbench.dtypes import as_dtype
from kernbench.lang import jit
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
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
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
    by_rows = DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise")
    copy_per_sip = DPPolicy(sip="replicate", cube="row_wise", pe="row_wise")
    a = torch.randn(m, k, dtype=kind, policy=by_rows, name="a")
    b = torch.randn(k, n, dtype=kind, policy=copy_per_sip, name="b")
    c = torch.empty(m, n, dtype=kind, policy=by_rows, name="c")
    grid = (torch.cdiv(m, block_m) * torch.cdiv(n, block_n),)
    gemm_kernel[grid](a, b, c, m, n, k, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k)
    torch.synchronize()

    def expected() -> tuple[np.ndarray, ...]:
        return (a.host_copy().astype(np.float64) @ b.host_copy().astype(np.float64),)

    return Outcome(
        outputs=(c,),
        expected=expected,
        reference="numpy float64",
        flops=2 * m * n * k,
        gemm_dtype=kind.name,
        rtol=2.0 ** -(mantissa_bits(kind) - 1),
        atol=k * 2.0**-20,
    )


def mantissa_bits(kind):
    ...
