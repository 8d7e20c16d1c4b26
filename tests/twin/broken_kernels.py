"""Kernels that end in an error, and one that never ends."""

import kernbench as kb
from kernbench import tl


@kb.jit
def kernel(x_ptr, what: tl.constexpr):
    at = tl.arange(0, 64)
    x = tl.load(x_ptr + at)
    if what == "raise" and tl.program_id(0) == 1:
        raise RuntimeError("it was the second one")
    if what == "divide":
        x = x + 1 // (tl.program_id(0) - 1)
    if what == "outside":
        x = tl.load(x_ptr + (1 << 30) + at)
    if what == "shape":
        x = x + tl.arange(0, 32)
    if what == "fill":
        x = x + tl.sum(tl.zeros((1 << 14, 16), tl.float32) + tl.load(x_ptr))
    while what == "spin" and tl.load(x_ptr) < 1e9:
        x = x + 1.0
    tl.store(x_ptr + at, x * 2.0)


@kb.bench("broken")
def run(torch, what: str = "nothing"):
    """A launch of two programs."""
    x = torch.zeros(64)
    kernel[(2,)](x, what)
    x.numpy()
