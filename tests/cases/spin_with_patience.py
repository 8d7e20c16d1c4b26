"""A loop that polls in vain, and gives up after a while, is none that polls for ever."""

import kernbench as kb
from kernbench import tl


@kb.jit
def wait_for(flag_ptr, out_ptr, PATIENCE: tl.constexpr):
    n = 0
    while tl.load(flag_ptr) == 0 and n < PATIENCE:
        n += 1
    tl.store(out_ptr, n)


for mode in ("timed", "data"):
    torch = kb.simulate("tiny", mode=mode).torch
    flag, out = torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    wait_for[(1,)](flag, out, PATIENCE=1000)
    print(mode, out.numpy())

# $ python spin_with_patience.py
# timed [1000]
# data [1000]
