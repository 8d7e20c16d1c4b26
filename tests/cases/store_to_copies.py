"""Each SIP has a copy of y, as the default arguments of DPPolicy say, and its programs would write their half of it."""

import kernbench as kb
from kernbench import tl


@kb.jit
def fill(y_ptr, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(y_ptr + at, at)


torch = kb.simulate("default").torch
whole = torch.empty(8, policy=torch.DPPolicy(sip="row_wise"))
fill[(2,)](whole, N=4)
print(whole.numpy())
y = torch.empty(8, policy=torch.DPPolicy(), name="y")
fill[(2,)](y, N=4)
print(y.numpy())

# $ python store_to_copies.py
# [0. 1. 2. 3. 4. 5. 6. 7.]
#! kernbench.errors.PageFaultError: sip0.cube0.pe0: store_to_copies.py:10: a store to 'y' [8] fp32, made at store_to_copies.py:17 with 2 copies, would change one of them; place it with one copy, as in policy=DPPolicy(sip='row_wise')
# = 1
