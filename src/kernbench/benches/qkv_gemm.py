"""The three projections of a transformer layer: Q, K, V = X @ Wq, X @ Wk, X @ Wv on sharded weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernbench.bench import Expected, Outcome, bench, dot_tolerance, random_values
from kernbench.dtypes import accumulate_type, as_dtype
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.runtime.placement import DPPolicy


@jit
def qkv_kernel(
    x_ptr,
    wq_ptr,
    wk_ptr,
    wv_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    TOKENS,
    WIDTH,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ACC: tl.constexpr,
):
    """One program makes one tile of Q, of K and of V: a block of X is loaded once for the three."""
    n_rows = tl.cdiv(TOKENS, BLOCK_M)
    pid = tl.program_id(0)
    rows = (pid % n_rows) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = (pid // n_rows) * BLOCK_N + tl.arange(0, BLOCK_N)
    n_steps = tl.cdiv(WIDTH, BLOCK_K)
    q = tl.zeros((BLOCK_M, BLOCK_N), dtype=ACC)
    k = tl.zeros((BLOCK_M, BLOCK_N), dtype=ACC)
    v = tl.zeros((BLOCK_M, BLOCK_N), dtype=ACC)
    for step in range(n_steps):
        ks = ((pid + step) % n_steps) * BLOCK_K + tl.arange(0, BLOCK_K)
        x_mask = (rows[:, None] < TOKENS) & (ks[None, :] < WIDTH)
        w_mask = (ks[:, None] < WIDTH) & (columns[None, :] < WIDTH)
        w_at = ks[:, None] * WIDTH + columns[None, :]
        x = tl.load(x_ptr + rows[:, None] * WIDTH + ks[None, :], mask=x_mask, other=0.0)
        q = tl.dot(x, tl.load(wq_ptr + w_at, mask=w_mask, other=0.0), q)
        k = tl.dot(x, tl.load(wk_ptr + w_at, mask=w_mask, other=0.0), k)
        v = tl.dot(x, tl.load(wv_ptr + w_at, mask=w_mask, other=0.0), v)
    at = rows[:, None] * WIDTH + columns[None, :]
    mask = (rows[:, None] < TOKENS) & (columns[None, :] < WIDTH)
    tl.store(q_ptr + at, q.to(q_ptr.dtype.element_ty), mask=mask)
    tl.store(k_ptr + at, k.to(k_ptr.dtype.element_ty), mask=mask)
    tl.store(v_ptr + at, v.to(v_ptr.dtype.element_ty), mask=mask)


@bench("qkv_gemm")
def run(
    torch: Any,
    tokens: int = 256,
    width: int = 1024,
    dtype: str = "fp16",
    block_m: int = 32,
    block_n: int = 64,
    block_k: int = 64,
) -> Outcome:
    """Q, K and V of one layer, X replicated per SIP, weights sharded by columns over the cubes."""
    kind = as_dtype(dtype)
    acc = accumulate_type(kind)
    out = kind if kind.is_float else acc
    by_columns = DPPolicy(sip="column_wise", cube="column_wise", pe="row_wise")
    copy_per_sip = DPPolicy(sip="replicate", cube="row_wise", pe="row_wise")
    x_host = random_values(torch, tokens, width, dtype=kind, name="x")
    w_host = [random_values(torch, width, width, dtype=kind, name=f"w{p}") for p in "qkv"]
    x = x_host.to("ahbm", policy=copy_per_sip)
    weights = [w.to("ahbm", policy=by_columns) for w in w_host]
    outputs = [torch.empty(tokens, width, dtype=out, policy=by_columns, name=p) for p in "qkv"]
    grid = (torch.cdiv(tokens, block_m) * torch.cdiv(width, block_n),)
    qkv_kernel[grid](
        x, *weights, *outputs, tokens, width, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k, ACC=acc
    )

    def expected() -> tuple[Expected, ...]:
        x64 = x_host.numpy().astype(np.float64)
        w64 = [w.numpy().astype(np.float64) for w in w_host]
        return tuple(Expected(values=x64 @ w, tolerance=dot_tolerance(x64, w, acc, out)) for w in w64)

    return Outcome(
        outputs=tuple(outputs),
        expected=expected,
        reference="numpy float64 products",
        flops=3 * 2 * tokens * width * width,
        gemm=kind,
    )
