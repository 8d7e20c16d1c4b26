"""A helper keeps the block it loaded first; a second simulation multiplies by it: 2 * 10, an error, or something else?"""

import numpy as np

import kernbench as kb
from kernbench import tl

kept = []


@kb.jit
def scale(w_ptr, x_ptr, y_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    if not kept:
        kept.append(tl.load(w_ptr + at))
    x = tl.load(x_ptr + at)
    tl.store(y_ptr + at, kept[0] * x)


for _ in range(2):
    w, x, y = (np.full(4, v, np.float32) for v in (2, 10, 0))
    print(kb.testing.run(scale, (1,), [w, x, y], N=4).args[2])

# $ python block_of_an_earlier_simulation.py
# [20. 20. 20. 20.]
#! kernbench.errors.UsageError: block_of_an_earlier_simulation.py:17: a block of another simulation is used here: fp32[4] was made at block_of_an_earlier_simulation.py:15 by program (0, 0, 0) on sip0.cube0.pe0; load it again in this program, or pass it on through memory or a queue
# = 1
