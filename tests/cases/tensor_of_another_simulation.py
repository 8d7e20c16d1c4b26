"""Two machines are compared, and a tensor of the first one reaches the second."""

import kernbench as kb
from kernbench import tl


@kb.jit
def double(x_ptr, y_ptr):
    at = tl.arange(0, 4)
    tl.store(y_ptr + at, 2.0 * tl.load(x_ptr + at))


x = kb.simulate("tiny").torch.ones(4, name="x")
torch = kb.simulate("tiny", mode="data").torch
y = torch.zeros(4, name="y")
torch.launch(double, (1,), (torch.tensor(x.numpy()), y))
print(y.numpy())
torch.launch(double, (1,), (x, y))

# $ python tensor_of_another_simulation.py
# [2. 2. 2. 2.]
#! kernbench.errors.UsageError: kernel 'double': argument 'x_ptr' is 'x', a tensor of another simulation, made at tensor_of_another_simulation.py:13; copy it by way of numpy()
# = 1
