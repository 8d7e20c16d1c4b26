"""A block that a kernel keeps is handed to the next launch, as if it were a tensor of the host."""

import kernbench as kb
from kernbench import tl

kept = []


@kb.jit
def load(w_ptr):
    kept.append(tl.load(w_ptr + tl.arange(0, 4)))


@kb.jit
def store(block, y_ptr):
    tl.store(y_ptr + tl.arange(0, 4), block + 1.0)


torch = kb.simulate("tiny", mode="data").torch
w, y = torch.full((4,), 2.0), torch.zeros(4)
torch.launch(load, (1,), (w,))
torch.synchronize()
torch.launch(store, (1,), (kept[0], y))
print(y.numpy())

# $ python block_as_an_argument.py
#! kernbench.errors.UsageError: block_as_an_argument.py:16: a block of an earlier launch is used here: fp32[4] was made at block_as_an_argument.py:11 by program (0, 0, 0) on sip0.cube0.pe0; load it again in this program, or pass it on through memory or a queue
# = 1
