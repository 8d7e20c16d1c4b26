"""Row-wise softmax, one row per program: as in Triton's tutorial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from kernbench.bench import Expected, Outcome, Room, bench, on_first, random_values, rounding
from kernbench.device.placement import DPPolicy
from kernbench.dtypes import DType, as_dtype
from kernbench.errors import UsageError
from kernbench.lang import tl
from kernbench.lang.jit import jit


@jit
def softmax_kernel(x_ptr, y_ptr, n_columns, BLOCK: tl.constexpr, LOWEST: tl.constexpr):
    """One program normalises one row. LOWEST pads it: the smallest number of its dtype, as fp8e4nv has no infinity."""
    start = tl.program_id(0) * n_columns
    columns = tl.arange(0, BLOCK)
    mask = columns < n_columns
    row = tl.load(x_ptr + start + columns, mask=mask, other=LOWEST)
    powers = tl.exp(row - tl.max(row, axis=0))
    tl.store(y_ptr + start + columns, powers / tl.sum(powers, axis=0), mask=mask)


def fit(room: Room, given: dict[str, Any]) -> dict[str, int]:
    """Eight rows for each PE, of 1024 elements or of as many as it can hold.

    A program holds a row as it was loaded and, in fp32, what it was before and after a step.
    """
    size_bytes = as_dtype(given["dtype"]).size_bytes
    row = room.blocks({"columns": 1024}, {}, holds=lambda columns: columns * (size_bytes + 8))
    pes = room.pes(given)
    return {"rows": 8 * pes, **row, "pes": pes}


@bench("softmax", fit=fit, small={"rows": 9, "columns": 100})
def run(torch: Any, *, rows: int, columns: int, dtype: str = "fp32", pes: int) -> Outcome:
    """Row-wise softmax over the first pes PEs."""
    if columns < 1:
        raise UsageError(
            f"softmax: columns must be 1 or more, not {columns}: a row of none has no largest element"
        )
    kind = as_dtype(dtype)
    if not kind.is_float:
        raise UsageError(
            f"softmax: dtype={kind}: tl.exp is of floats; give fp16, bf16, fp32, fp64, fp8e4nv or fp8e5"
        )
    policy = on_first(pes, torch, DPPolicy(sip="row_wise", cube="row_wise", pe="row_wise"))
    x_host = random_values(torch, rows, columns, dtype=kind, name="x")
    x = x_host.to("ahbm", policy=policy)
    y = torch.empty(rows, columns, dtype=kind, policy=policy, name="y")
    softmax_kernel[(rows,)](x, y, columns, BLOCK=1 << (columns - 1).bit_length(), LOWEST=_lowest(kind))

    def expected() -> tuple[Expected, ...]:
        values = x_host.numpy().astype(np.float64)
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        wanted = powers / powers.sum(axis=1, keepdims=True)
        # each step rounds once, in fp32: the difference (exp multiplies its error by the exponent), exp, the sum of
        # `columns` terms, the quotient; then the result is rounded to its dtype
        u32 = 2.0**-24
        spread = values.max(axis=1, keepdims=True) - values
        computing = wanted * u32 * (spread + columns + 6)
        return (Expected(values=wanted, tolerance=computing + rounding(wanted + computing, kind)),)

    return Outcome(
        outputs=(y,), expected=expected, reference="numpy float64 softmax", flops=5 * rows * columns
    )


def _lowest(kind: DType) -> float:
    """The smallest finite number of a float dtype."""
    finfo: Callable[[Any], Any] = ml_dtypes.finfo
    return float(finfo(kind.numpy).min)
