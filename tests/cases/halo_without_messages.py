"""A stencil in place: each program reads the last element of its neighbour, which that one changes."""

import numpy as np

import kernbench as kb
from kernbench import tl


@kb.jit
def smooth(x_ptr, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    left = tl.load(x_ptr + at - 1, mask=at > 0, other=0.0)
    tl.store(x_ptr + at, tl.load(x_ptr + at) + left)


print(kb.testing.run(smooth, (4,), [np.ones(16, np.float32)], N=4, mode="data").args[0].tolist())

# $ python halo_without_messages.py
# [1.0, 2.0, 2.0, 2.0, 3.0, 2.0, 2.0, 2.0, 3.0, 2.0, 2.0, 2.0, 3.0, 2.0, 2.0, 2.0]
#! halo_without_messages.py:12: RaceWarning: race on 'arg0' fp32[16], 3 elements from [3] to [11]: halo_without_messages.py:13 (tl.store) by program (0, 0, 0) of 'smooth' on sip0.cube0.pe0, and halo_without_messages.py:12 (tl.load) by program (1, 0, 0) of 'smooth' on sip0.cube0.pe1; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches; 2 more pairs of programs at these lines
#!   left = tl.load(x_ptr + at - 1, mask=at > 0, other=0.0)
