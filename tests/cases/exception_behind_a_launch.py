"""A script that an exception ends behind a launch that faults: the launch runs all the same, and its fault is told too."""

import kernbench as kb
from kernbench import tl


@kb.jit
def load_at(x_ptr, offset):
    print("runs")
    tl.load(x_ptr + offset)


load_at[(1,)](kb.simulate("tiny").torch.zeros(4), 1000)
raise RuntimeError("of the host")

# in a process of its own
# $ python exception_behind_a_launch.py
# sip0.cube0.pe0 1.880 us: runs
#! RuntimeError: of the host
#! kernbench: exception_behind_a_launch.py:10: sip0.cube0.pe0 reads VA 0x40000fa0, outside of tensor 'tensor1' fp32[4] at VA [0x40000000, 0x40000010); add a mask that keeps such lanes off
# = 1
