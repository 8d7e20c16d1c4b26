"""y = a * x + y on all PEs: a kernel to change, and the bench that runs and judges it.

kernbench run my_bench.py -p n=65536
kernbench run my_bench.py --mode data      # values only, at once: the debugger; print() works in kernels
kernbench run my_bench.py --trace trace.json      # opens in ui.perfetto.dev
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernbench.bench import Expected, Outcome, bench, random_values, rounding
from kernbench.dtypes import as_dtype
from kernbench.lang import tl
from kernbench.lang.jit import jit
from kernbench.runtime.placement import DPPolicy


@jit
def axpy_kernel(x_ptr, y_ptr, a, n_elem, BLOCK: tl.constexpr):
    """Program p makes the elements from p * BLOCK on; the mask ends the last block where the tensors end."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n_elem
    x = tl.load(x_ptr + at, mask=mask)
    y = tl.load(y_ptr + at, mask=mask)
    tl.store(y_ptr + at, a * x + y, mask=mask)


@bench("my_bench")
def run(torch: Any, n: int = 1 << 18, a: float = 2.0, dtype: str = "fp32", block: int = 1024) -> Outcome:
    """y = a * x + y; every parameter here can be set with -p."""
    kind = as_dtype(dtype)
    policy = DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise")
    x_host, y_host = (random_values(torch, n, dtype=kind, name=name) for name in "xy")
    x, y = x_host.to("ahbm", policy=policy), y_host.to("ahbm", policy=policy)
    axpy_kernel[(torch.cdiv(n, block),)](x, y, a, n, BLOCK=block)

    def expected() -> tuple[Expected, ...]:
        scaled = a * x_host.numpy().astype(np.float64)
        total = scaled + y_host.numpy().astype(np.float64)
        # the product and the sum are each rounded once
        return (Expected(values=total, tolerance=rounding(kind) * (2 * np.abs(scaled) + np.abs(total))),)

    return Outcome(outputs=(y,), expected=expected, reference="numpy float64", flops=2 * n)
