"""A table that a kernel looks into is replaced in part while the kernel, which nobody waited for, has not run yet."""

import kernbench as kb
from kernbench import tl

limits = {"low": 0.0, "high": 6.0}


@kb.jit
def fill(out_ptr):
    tl.store(out_ptr, limits["high"])


torch = kb.simulate("tiny").torch
out = torch.zeros(1)
fill[(1,)](out)
limits["high"] = 1.0
print(out.tolist())

# $ python table_changed_too_early.py
#! kernbench.errors.UsageError: table_changed_too_early.py:9: kernel 'fill' reads 'limits', a dict that the host has changed between the launch and its end; wait before you change it (torch.synchronize()), or give each launch one of its own
# = 1
