"""y = a * x + y, element by element."""

import numpy as np

from kernbench.bench import Expected, Outcome, bench, block_of, random_values, rounding
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import as_dtype
from kernbench.errors import UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit


@jit
def axpy_kernel(a, x_ptr, y_ptr, n_elem, BLOCK: tl.constexpr):
    """One program updates one block."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n_elem
    x, y = tl.load(x_ptr + at, mask=mask), tl.load(y_ptr + at, mask=mask)
    tl.store(y_ptr + at, a * x + y, mask=mask)


def fit(room, given):
    """Blocks of 1024 elements at most."""
    return {"block": block_of(given["n"], 1024)}


@bench("axpy", fit=fit, small={"n": 1000, "block": 128})
def run(torch, *, n: int = 4096, a: float = 2.0, dtype: str = "fp32", block: int):
    """y = a * x + y over all PEs."""
    kind, policy = as_dtype(dtype), DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise")
    if not kind.is_float:
        raise UsageError(f"axpy: dtype={kind}: a is a float, and so must x and y be; give fp16, bf16 or fp32")
    host = [random_values(torch, n, dtype=kind, name=name) for name in "xy"]
    x, y = (tensor.to("ahbm", policy=policy) for tensor in host)
    axpy_kernel[(torch.cdiv(n, block),)](a, x, y, n, BLOCK=block)

    def expected():
        x, y = (tensor.numpy().astype(np.float64) for tensor in host)
        steps = rounding(np.abs(a * x), kind) + rounding(np.abs(a * x) + np.abs(y), kind)
        return (Expected(values=a * x + y, tolerance=steps),)

    return Outcome(outputs=(y,), expected=expected, reference="numpy float64", flops=2 * n)
