"""A script whose last launch nobody waits for, in a function that drops its simulation; what the launch prints, and its fault, are seen."""

import kernbench as kb
from kernbench import tl


@kb.jit
def load_at(x_ptr, offset):
    print("runs")
    tl.load(x_ptr + offset)


def launch(offset):
    torch = kb.simulate("tiny").torch
    load_at[(1,)](torch.zeros(4), offset)


launch(0)
launch(1000)
print("the end")

# in a process of its own
# $ python last_launch_faults.py
# the end
# sip0.cube0.pe0 1.880 us: runs
# sip0.cube0.pe0 1.880 us: runs
#! kernbench: last_launch_faults.py:10: sip0.cube0.pe0 reads VA 0x40000fa0, outside of tensor 'tensor1' fp32[4] at VA [0x40000000, 0x40000010); add a mask that keeps such lanes off
# = 3
