"""A sum over memory that nobody wrote: NaN if it is fp32, but -1 each if it is int32."""

import kernbench as kb
from kernbench import tl


@kb.jit
def total(x_ptr, out_ptr, N: tl.constexpr):
    tl.store(out_ptr, tl.sum(tl.load(x_ptr + tl.arange(0, N))))


torch = kb.simulate("tiny").torch
for dtype in ("fp32", "int32"):
    x, out = torch.empty(16, dtype=dtype), torch.zeros(1, dtype=dtype)
    torch.launch(total, (1,), (x, out), {"N": 16})
    print(dtype, out.numpy())

# $ python unwritten_integers.py
# fp32 [nan]
# int32 [-16]
#! unwritten_integers.py:9: UninitialisedWarning: sip0.cube0.pe0 reads 16 elements from [0] to [15] of 'tensor1' fp32[16] that nobody wrote, which hold NaN; fill it first, as in torch.zeros, or mask them
#!   tl.store(out_ptr, tl.sum(tl.load(x_ptr + tl.arange(0, N))))
#! unwritten_integers.py:9: UninitialisedWarning: sip0.cube0.pe0 reads 16 elements from [0] to [15] of 'tensor3' int32[16] that nobody wrote, which hold all ones (-1 where it is signed); fill it first, as in torch.zeros, or mask them
#!   tl.store(out_ptr, tl.sum(tl.load(x_ptr + tl.arange(0, N))))
