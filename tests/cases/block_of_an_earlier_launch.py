"""The same within one simulation: the second launch uses a block of the first."""

import kernbench as kb
from kernbench import tl

kept = []


@kb.jit
def scale(w_ptr, y_ptr):
    if not kept:
        kept.append(tl.load(w_ptr))
    tl.store(y_ptr, kept[0] * 10.0)


torch = kb.simulate("tiny").torch
w, y = torch.full((1,), 2.0), torch.zeros(1)
for _ in range(2):
    torch.launch(scale, (1,), (w, y))
    print(y.numpy())

# $ python block_of_an_earlier_launch.py
# [20.]
#! kernbench.errors.UsageError: block_of_an_earlier_launch.py:13: a block of an earlier launch is used here: fp32 was made at block_of_an_earlier_launch.py:12 by program (0, 0, 0) on sip0.cube0.pe0; load it again in this program, or pass it on through memory or a queue
# = 1
