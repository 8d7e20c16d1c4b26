"""A row that is read from memory, times the width of a large tensor: the product does not fit int32."""

import kernbench as kb
from kernbench import tl


@kb.jit
def pick(x_ptr, rows_ptr, out_ptr, WIDTH: tl.constexpr):
    row = tl.load(rows_ptr)
    there = row * WIDTH
    tl.store(out_ptr, tl.load(x_ptr + there))


torch = kb.simulate("default", mode="data").torch
x = torch.empty(64, 2**26, dtype=torch.int8)
rows, out = torch.tensor([40], dtype=torch.int32), torch.empty(1, dtype=torch.int8)
torch.launch(pick, (1,), (x, rows, out), {"WIDTH": 2**26})
torch.synchronize()

# $ python row_beyond_int32.py
#! kernbench.errors.PageFaultError: row_beyond_int32.py:11: sip0.cube0.pe0 reads VA -0x20000000, outside of tensor 'tensor1' int8[64, 67108864] at VA [0x40000000, 0x140000000); an offset was computed in int32 at row_beyond_int32.py:10; if it wrapped there, compute it in int64, as in x.to(tl.int64) * y
# = 1
