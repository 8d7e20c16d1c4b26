"""c = a + b, element by element: the memory-bound end of the scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernbench.bench import Expected, Outcome, Room, bench, block_of, on_first, random_values, rounding
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import as_dtype, int1
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.units import ceil_div


@jit
def add_kernel(a_ptr, b_ptr, c_ptr, n_elem, BLOCK: tl.constexpr):
    """One program adds one block."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n_elem
    a = tl.load(a_ptr + at, mask=mask)
    b = tl.load(b_ptr + at, mask=mask)
    tl.store(c_ptr + at, a + b, mask=mask)


def fit(room: Room, given: dict[str, Any]) -> dict[str, int]:
    """8192 elements for each PE, in blocks of 1024 at most; a program holds a block of a, of b and of c."""
    pes = room.pes(given)
    n = given.get("n", 8192 * pes)
    block = room.blocks(
        {"block": block_of(n, 1024)},
        given,
        holds=lambda block: 3 * block * as_dtype(given["dtype"]).size_bytes,
        programs=lambda block: ceil_div(n, block),
    )
    return {"n": n, **block, "pes": pes}


@bench("vector_add", fit=fit, small={"n": 1000, "block": 128})
def run(torch: Any, *, n: int, dtype: str = "fp32", block: int, pes: int) -> Outcome:
    """c = a + b over the first pes PEs."""
    kind = as_dtype(dtype)
    policy = on_first(pes, torch, DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise"))
    host = [random_values(torch, n, dtype=kind, name=name) for name in "ab"]
    a, b = (tensor.to("ahbm", policy=policy) for tensor in host)
    c = torch.empty(n, dtype=kind, policy=policy, name="c")
    add_kernel[(torch.cdiv(n, block),)](a, b, c, n, BLOCK=block)

    def expected() -> tuple[Expected, ...]:
        total = host[0].numpy().astype(np.float64) + host[1].numpy().astype(np.float64)
        if kind is int1:
            total %= 2  # integers wrap, and int1 has one bit
        return (Expected(values=total, tolerance=rounding(total, kind)),)

    return Outcome(outputs=(c,), expected=expected, reference="numpy float64 sum", flops=n)
