"""Layer norm, row by row, with a weight and a bias for each column: as in Triton's tutorial, forward.

Every program reads the two small vectors, which the default policy deals out as it does the matrices.
"""

import numpy as np

import kernbench as kb
from kernbench import tl


@kb.jit
def layer_norm_kernel(x_ptr, y_ptr, w_ptr, b_ptr, mean_ptr, rstd_ptr, n_columns, eps, BLOCK: tl.constexpr):
    """Program p normalises row p, and leaves its mean and the reciprocal of its standard deviation."""
    row = tl.program_id(0)
    x_ptr += row * n_columns
    y_ptr += row * n_columns
    sums = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, n_columns, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        sums += tl.load(x_ptr + columns, mask=columns < n_columns, other=0.0).to(tl.float32)
    mean = tl.sum(sums, axis=0) / n_columns
    squares = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, n_columns, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + columns, mask=columns < n_columns, other=0.0).to(tl.float32)
        apart = tl.where(columns < n_columns, x - mean, 0.0)
        squares += apart * apart
    rstd = 1 / tl.sqrt(tl.sum(squares, axis=0) / n_columns + eps)
    tl.store(mean_ptr + row, mean)
    tl.store(rstd_ptr + row, rstd)
    for start in range(0, n_columns, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        mask = columns < n_columns
        w = tl.load(w_ptr + columns, mask=mask)
        b = tl.load(b_ptr + columns, mask=mask)
        x = tl.load(x_ptr + columns, mask=mask, other=0.0).to(tl.float32)
        tl.store(y_ptr + columns, (x - mean) * rstd * w + b, mask=mask)


@kb.bench("layer_norm", small={"rows": 9, "columns": 100})
def run(torch, rows: int = 1151, columns: int = 1024):
    """Row-wise layer norm of fp16, all tensors dealt by the default policy."""
    shapes = {"x": (rows, columns), "w": (columns,), "b": (columns,)}
    hosts = {name: kb.random_values(torch, *shape, dtype="fp16", name=name) for name, shape in shapes.items()}
    x, w, b = (host.to("ahbm") for host in hosts.values())
    y = torch.empty(rows, columns, dtype="fp16", name="y")
    mean, rstd = (torch.empty(rows, dtype="fp32", name=name) for name in ("mean", "rstd"))
    eps = 1e-5
    layer_norm_kernel[(rows,)](x, y, w, b, mean, rstd, columns, eps, BLOCK=1 << (columns - 1).bit_length())

    def expected():
        x, w, b = (host.numpy().astype(np.float64) for host in hosts.values())
        mean = x.mean(axis=1, keepdims=True)
        rstd = 1 / np.sqrt(x.var(axis=1, keepdims=True) + eps)
        y = (x - mean) * rstd * w + b
        # fp32 rounds each step once, and a sum of `columns` terms as often: by their magnitudes, which may cancel
        u = (columns + 8) * 2.0**-24
        mean_off = u * np.abs(x).mean(axis=1, keepdims=True)
        rstd_off = u * rstd + rstd**2 * mean_off
        y_off = (mean_off * rstd + np.abs(x - mean) * rstd_off) * np.abs(w) + u * (np.abs(y) + np.abs(b))
        return (
            kb.Expected(values=y, tolerance=y_off + kb.rounding(y, "fp16")),
            kb.Expected(values=mean[:, 0], tolerance=mean_off[:, 0]),
            kb.Expected(values=rstd[:, 0], tolerance=rstd_off[:, 0]),
        )

    return kb.Outcome(
        outputs=(y, mean, rstd),
        expected=expected,
        reference="numpy float64 layer norm",
        flops=8 * rows * columns,
    )
