"""A sweep over a module's constant, which a helper of the kernel reads: nothing waits between the launches."""

import kernbench as kb
from kernbench import tl

SCALE = 0.0


def scaled(x):
    return x * SCALE


@kb.jit
def scale(x_ptr, y_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(y_ptr + at, scaled(tl.load(x_ptr + at)))


for mode in ("timed", "data"):
    torch = kb.simulate("tiny", mode=mode).torch
    x = torch.ones(2)
    results = []
    for SCALE in (1.0, 2.0, 3.0):
        results.append(torch.empty(2))
        scale[(1,)](x, results[-1], N=2)
    print(mode, [y.tolist() for y in results])

# $ python constant_of_the_next_launch.py
# timed [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
# data [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
