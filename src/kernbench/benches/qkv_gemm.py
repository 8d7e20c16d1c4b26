"""The three projections of a transformer layer: Q, K, V = X @ Wq, X @ Wk, X @ Wv on sharded weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernbench.bench import (
    Expected,
    Outcome,
    Room,
    bench,
    block_of,
    dot_tolerance,
    on_first,
    random_values,
    side,
)
from kernbench.benches.gemm import acc_and_out
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import as_dtype
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.units import ceil_div


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


def fit(room: Room, given: dict[str, Any]) -> dict[str, int]:
    """32 x 32 elements of each of Q, K and V for each PE, twice as wide as there are tokens.

    Blocks are of 128 at most. A program holds two blocks of X and of each weight, of which one is being loaded, its
    blocks of Q, K and V, and one of them as it is stored.
    """
    kind, pes = as_dtype(given["dtype"]), room.pes(given)
    width = given.get("width", side(2 * 32 * 32 * pes))
    tokens = given.get("tokens", ceil_div(width, 2))
    acc, out = acc_and_out(kind)
    blocks = room.blocks(
        {"block_m": block_of(tokens, 128), "block_n": block_of(width, 128), "block_k": block_of(width, 128)},
        given,
        holds=lambda block_m, block_n, block_k: (
            2 * (block_m + 3 * block_n) * block_k * kind.size_bytes
            + block_m * block_n * (3 * acc.size_bytes + out.size_bytes)
        ),
        accumulates=lambda block_m, block_n, block_k: 3 * block_m * block_n * acc.size_bytes,
        programs=lambda block_m, block_n, block_k: ceil_div(tokens, block_m) * ceil_div(width, block_n),
    )
    return {"tokens": tokens, "width": width, **blocks, "pes": pes}


@bench(
    "qkv_gemm",
    fit=fit,
    small={"tokens": 32, "width": 64, "block_m": 16, "block_n": 16, "block_k": 32},
)
def run(
    torch: Any,
    *,
    tokens: int,
    width: int,
    dtype: str = "fp16",
    block_m: int,
    block_n: int,
    block_k: int,
    pes: int,
) -> Outcome:
    """Q, K and V of one layer on the first pes PEs, X replicated per SIP, weights sharded by columns over the cubes."""
    kind = as_dtype(dtype)
    acc, out = acc_and_out(kind)
    by_columns = on_first(pes, torch, DPPolicy(sip="column_wise", cube="column_wise", pe="row_wise"))
    copy_per_sip = on_first(pes, torch, DPPolicy(sip="replicate", cube="row_wise", pe="row_wise"))
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
