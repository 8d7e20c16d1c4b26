"""A pool of threads shares one simulation: each makes a tensor, launches a kernel on it and reads it back."""

from concurrent.futures import ThreadPoolExecutor

import kernbench as kb
from kernbench import tl


@kb.jit
def square(x_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(x_ptr + at)
    tl.store(x_ptr + at, x * x)


def squares(of):
    x = torch.full((4,), float(of))
    square[(1,)](x, N=4)
    return x.tolist()[0]


torch = kb.simulate("tiny").torch
with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(squares, range(12))))

# $ python pool_of_threads.py
# [0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0, 64.0, 81.0, 100.0, 121.0]
