"""The product of a composite streams into a tensor with a copy on every PE; PEs that read it would see different ones."""

import kernbench as kb
from kernbench import tl


@kb.jit
def square(x_ptr, y_ptr):
    x = tl.ref(x_ptr, (16, 16))
    tl.wait(tl.composite("gemm", x, x, out=tl.ref(y_ptr, (16, 16))))


torch = kb.simulate("tiny", mode="data").torch
everywhere = kb.DPPolicy(sip="replicate", cube="replicate", pe="replicate")
x = torch.ones(16, 16, policy=everywhere)
y = torch.zeros(16, 16, policy=kb.DPPolicy(only=2))
square[(1,)](x, y)
print(y.numpy()[0, :4])
square[(1,)](x, x)

# $ python composite_into_copies.py
# [16. 16. 16. 16.]
#! kernbench.errors.PageFaultError: sip0.cube0.pe0: composite_into_copies.py:10: a store to 'tensor1' [16, 16] fp32, made at composite_into_copies.py:15 with 4 copies, would change one of them; place it with one copy, as in policy=DPPolicy(sip='row_wise')
# = 1
