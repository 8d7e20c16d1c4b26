"""A batch that is empty this time: the grid is cdiv(0, 4) programs, which Triton launches as nothing."""

import kernbench as kb
from kernbench import tl


@kb.jit
def double(x_ptr, n, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(x_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n), mask=at < n)


torch = kb.simulate("tiny").torch
x = torch.empty(0)
double[lambda meta: (torch.cdiv(x.numel(), meta["N"]),)](x, x.numel(), N=4)
print(x.numpy())

# $ python grid_of_no_programs.py
# []
