"""A table of addresses, as grouped kernels take, names a tensor that the host has freed meanwhile."""

import kernbench as kb
from kernbench import tl


@kb.jit
def gather(table_ptr, y_ptr):
    i = tl.program_id(0)
    x_ptr = tl.load(table_ptr + i).to(tl.pointer_type(tl.float32))
    tl.store(y_ptr + i, tl.load(x_ptr))


torch = kb.simulate("tiny").torch
a, b = torch.full((4,), 2.0, name="a"), torch.full((4,), 3.0, name="b")
table, y = torch.tensor([a.data_ptr(), b.data_ptr()]), torch.zeros(2)
gather[(2,)](table, y)
b.free()
print(y.numpy())
gather[(2,)](table, y)
print(y.numpy())

# $ python address_of_a_freed_tensor.py
# [2. 3.]
#! kernbench.errors.PageFaultError: sip0.cube0.pe1: address_of_a_freed_tensor.py:11: address 0x4000_2000 is in 'b' [4] fp32 (0x4000_2000..0x4000_200f), made at address_of_a_freed_tensor.py:15, which was freed at address_of_a_freed_tensor.py:18; free it after the last launch that uses it, or make a new tensor
# = 1
