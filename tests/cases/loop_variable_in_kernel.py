"""Three launches of a kernel that uses the host's loop variable: which value does each see?"""

import kernbench as kb
from kernbench import tl

for mode in ("timed", "data"):
    torch = kb.simulate("tiny", mode=mode).torch
    out = torch.zeros(3)
    for i in range(3):

        @kb.jit
        def mark(out_ptr):
            tl.store(out_ptr + i, i + 1.0)

        mark[(1,)](out)
    print(mode, out.numpy())

# $ python loop_variable_in_kernel.py
# timed [1. 2. 3.]
# data [1. 2. 3.]
