"""A bench whose batch is empty this time: nothing is launched, nothing is checked, and its page says so."""

import numpy as np

import kernbench as kb
from kernbench import tl
from kernbench.bench import bench


@kb.jit
def negate(x_ptr, n, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(x_ptr + at, -tl.load(x_ptr + at, mask=at < n), mask=at < n)


@bench("bench_of_nothing")
def run(torch, n: int = 0):
    x = torch.ones(n)
    negate[(torch.cdiv(n, 64),)](x, n, N=64)
    expected = kb.Expected(values=np.full(n, -1.0), tolerance=0)
    return kb.Outcome(outputs=(x,), expected=lambda: (expected,), reference="numpy", flops=n)


# $ kernbench run bench_of_nothing.py --topology tiny
# bench    bench_of_nothing n=0
# machine  tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs
# time     none has passed
#
# 0 events in ...
# check: none (its outputs have no elements)
# No kernel ran.
# engine ...
# $ kernbench run bench_of_nothing.py --topology tiny -p n=64 --mode data
# bench    bench_of_nothing n=64
# ...
# check ok: max abs err 0 against numpy
# No time passes in mode 'data'.
