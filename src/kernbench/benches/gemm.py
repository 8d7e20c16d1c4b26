"""A tiled GEMM over the PEs: A sharded by rows, B a copy per SIP sharded by rows within it."""

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
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import DType, accumulate_type, as_dtype
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.units import ceil_div


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


def fit(room: Room, given: dict[str, Any]) -> dict[str, int]:
    """128 x 128 elements of C for each PE, in blocks of 128 at most.

    A program holds two blocks of A and of B, of which one is being loaded, its block of C, and that as it is stored.
    """
    kind, pes = as_dtype(given["dtype"]), room.pes(given)
    m, n, k = (given.get(name, side(128 * 128 * pes)) for name in "mnk")
    acc, out = acc_and_out(kind)
    blocks = room.blocks(
        {"block_m": block_of(m, 128), "block_n": block_of(n, 128), "block_k": block_of(k, 128)},
        given,
        holds=lambda block_m, block_n, block_k: (
            2 * (block_m + block_n) * block_k * kind.size_bytes
            + block_m * block_n * (acc.size_bytes + out.size_bytes)
        ),
        accumulates=lambda block_m, block_n, block_k: block_m * block_n * acc.size_bytes,
        programs=lambda block_m, block_n, block_k: ceil_div(m, block_m) * ceil_div(n, block_n),
    )
    return {"m": m, "n": n, "k": k, **blocks, "pes": pes}


@bench(
    "gemm",
    fit=fit,
    small={"m": 64, "n": 96, "k": 64, "block_m": 32, "block_n": 32, "block_k": 32},
)
def run(
    torch: Any,
    *,
    m: int,
    n: int,
    k: int,
    dtype: str = "fp16",
    block_m: int,
    block_n: int,
    block_k: int,
    pes: int,
) -> Outcome:
    """C = A @ B, tiled over the first pes PEs."""
    kind = as_dtype(dtype)
    acc, out = acc_and_out(kind)
    by_rows = on_first(pes, torch, DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise"))
    copy_per_sip = on_first(pes, torch, DPPolicy(sip="replicate", cube="row_wise", pe="row_wise"))
    a_host = random_values(torch, m, k, dtype=kind, name="a")
    b_host = random_values(torch, k, n, dtype=kind, name="b")
    a = a_host.to("ahbm", policy=by_rows)
    b = b_host.to("ahbm", policy=copy_per_sip)
    c = torch.empty(m, n, dtype=out, policy=by_rows, name="c")
    grid = (torch.cdiv(m, block_m) * torch.cdiv(n, block_n),)
    gemm_kernel[grid](a, b, c, m, n, k, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k, ACC=acc)

    def expected() -> tuple[Expected, ...]:
        a64, b64 = (x.numpy().astype(np.float64) for x in (a_host, b_host))
        product = a64 @ b64
        return (Expected(values=product, tolerance=dot_tolerance(a64, b64, acc, out, product=product)),)

    return Outcome(
        outputs=(c,), expected=expected, reference="numpy float64 product", flops=2 * m * n * k, gemm=kind
    )


def acc_and_out(kind: DType) -> tuple[DType, DType]:
    """What a product of ``kind`` is summed in, and what it is stored as."""
    acc = accumulate_type(kind)
    return acc, kind if kind.is_float else acc
