"""A tensor of more than 2^31 elements, and an offset that was computed in int32."""

import kernbench as kb
from kernbench import tl


@kb.jit
def mark(x_ptr, STRIDE: tl.constexpr):
    tl.store(x_ptr + tl.program_id(0) * STRIDE, tl.full((), 7, tl.int8))


torch = kb.simulate("default", mode="data").torch
x = torch.empty(2**32 + 64, dtype=torch.int8)
torch.launch(mark, (4,), (x,), {"STRIDE": 2**30})
torch.synchronize()

# $ python index_beyond_int32.py
#! kernbench.errors.PageFaultError: index_beyond_int32.py:9: sip1.cube0.pe0 writes VA -0x40000000, outside of tensor 'tensor1' int8[4294967360] at VA [0x40000000, 0x140000040); an offset left int32 at index_beyond_int32.py:9 and wrapped: compute it in int64, as in x.to(tl.int64) * y
# = 1
