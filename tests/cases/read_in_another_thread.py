"""Launched in the main thread, read in another one, as ``asyncio.to_thread`` or a GUI does."""

import threading

import kernbench as kb
from kernbench import tl


@kb.jit
def double(x_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(x_ptr + at, 2 * tl.load(x_ptr + at))


simulation = kb.simulate("tiny")
x = simulation.torch.arange(4, dtype=simulation.torch.float32)
double[(1,)](x, N=4)
thread = threading.Thread(target=lambda: print("thread", x.numpy()))
thread.start()
thread.join()
print("main", x.numpy())

# $ python read_in_another_thread.py
# thread [0. 2. 4. 6.]
# main [0. 2. 4. 6.]
