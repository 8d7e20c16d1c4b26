"""A kernel that lets a thread of its own store its result: a program has one thread."""

import threading

import kernbench as kb
from kernbench import tl


@kb.jit
def fill(x_ptr):
    thread = threading.Thread(target=lambda: tl.store(x_ptr, 1.0), name="storer")
    thread.start()
    thread.join()


@kb.bench("thread_of_a_kernel")
def run(torch):
    x = torch.zeros(1)
    fill[(1,)](x)
    return kb.Outcome(outputs=(x,), expected=lambda: (), reference="none", flops=0)


# $ kernbench run thread_of_a_kernel.py --topology tiny
#! kernbench: thread_of_a_kernel.py:11: thread 'storer' calls tl, and only the thread that runs a kernel may; let the kernel do it, or compute in the thread with numpy
# = 3
# $ kernbench run thread_of_a_kernel.py --topology tiny --mode data
#! kernbench: thread_of_a_kernel.py:11: thread 'storer' calls tl, and only the thread that runs a kernel may; let the kernel do it, or compute in the thread with numpy
# = 3
