"""A helper keeps the pointer to its workspace; the host frees that, and a new tensor takes the same addresses."""

import kernbench as kb
from kernbench import tl

workspace = []


@kb.jit
def use(w_ptr, y_ptr):
    if not workspace:
        workspace.append(w_ptr + 1)
    tl.store(y_ptr, tl.load(workspace[0]))


torch = kb.simulate("tiny").torch
w, y = torch.full((4,), 2.0, name="w"), torch.zeros(1)
torch.launch(use, (1,), (w, y))
w.free()
print(y.numpy())
x = torch.full((4,), 9.0, name="x")
torch.launch(use, (1,), (x, y))
print(y.numpy())

# $ python pointer_of_a_freed_tensor.py
# [2.]
#! kernbench.errors.PageFaultError: pointer_of_a_freed_tensor.py:13: this pointer leads into 'w' fp32[4], made at pointer_of_a_freed_tensor.py:17, which was freed at pointer_of_a_freed_tensor.py:19; free it after the last launch that uses it, or make a new tensor
# = 1
