"""A grid that is too small: the last block of the output is what nobody wrote, and the host is told when it reads it."""

import kernbench as kb
from kernbench import tl


@kb.jit
def ones(x_ptr, N: tl.constexpr):
    tl.store(x_ptr + tl.program_id(0) * N + tl.arange(0, N), tl.full((N,), 1, tl.float32))


torch = kb.simulate("tiny", mode="data").torch
x = torch.empty(64, name="x")
ones[(3,)](x, N=16)
print(x.numpy().sum())

# $ python output_that_no_program_wrote.py
# nan
#! output_that_no_program_wrote.py:15: UninitialisedWarning: the host reads 16 elements from [48] to [63] of 'x' fp32[64] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   print(x.numpy().sum())
