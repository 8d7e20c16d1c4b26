"""A kernel that asks the host for a value of the tensor it works on: it would wait for itself."""

import kernbench as kb
from kernbench import tl


@kb.jit
def add_one(x_ptr):
    tl.store(x_ptr, float(x.numpy()[1]) + 1)


for mode in ("timed", "data"):
    x = kb.simulate("tiny", mode=mode).torch.ones(4)
    try:
        add_one[(1,)](x)
        print(x.tolist())
    except kb.UsageError as error:
        print(mode, error)

# $ python kernel_that_reads_as_the_host.py
# timed kernel_that_reads_as_the_host.py:9: a kernel cannot read, copy or wait as the host does; tl.load and tl.store reach a tensor that is an argument
# data kernel_that_reads_as_the_host.py:9: a kernel cannot read, copy or wait as the host does; tl.load and tl.store reach a tensor that is an argument
