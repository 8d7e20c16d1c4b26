"""A row that is longer than what was filled: the sum reads padding that nobody wrote; a mask is the cure."""

import kernbench as kb
from kernbench import tl


@kb.jit
def total(x_ptr, out_ptr, n, N: tl.constexpr, MASKED: tl.constexpr):
    at = tl.arange(0, N)
    mask = at < n if MASKED else at < N
    tl.store(out_ptr, tl.sum(tl.load(x_ptr + at, mask=mask, other=0)))


torch = kb.simulate("tiny", uninitialised="error").torch
row, out = torch.empty(16, dtype=torch.int32, name="row"), torch.zeros(1, dtype=torch.int32)
row.narrow(0, 0, 10).copy_(torch.arange(10, dtype=torch.int32, device="host"))
for masked in (True, False):
    try:
        total[(1,)](row, out, 10, N=16, MASKED=masked)
        print(masked, out.item())
    except kb.errors.UninitialisedError as error:
        print(masked, error)

# $ python sum_over_padding.py
# True 45
# False sum_over_padding.py:11: sip0.cube0.pe0 reads 6 elements from [10] to [15] of 'row' int32[16] that nobody wrote, which hold all ones (-1 where it is signed); fill it first, as in torch.zeros, or mask them
