"""The cure of a race on one element: elements of one's own, and a second launch, which waits for the first."""

import kernbench as kb
from kernbench import tl


@kb.jit
def add_parts(x_ptr, part_ptr, K: tl.constexpr):
    p = tl.program_id(0)
    tl.store(part_ptr + p, tl.sum(tl.load(x_ptr + p * K + tl.arange(0, K))))


@kb.jit
def add_up(part_ptr, sum_ptr, N: tl.constexpr):
    tl.store(sum_ptr, tl.sum(tl.load(part_ptr + tl.arange(0, N))))


for mode in ("timed", "data"):
    torch = kb.simulate("tiny", mode=mode, races="error", uninitialised="error").torch
    x, parts, total = torch.ones(64), torch.empty(4), torch.empty(1)
    add_parts[(4,)](x, parts, K=16)
    add_up[(1,)](parts, total, N=4)
    print(mode, total.item())

# $ python sum_in_two_launches.py
# timed 64.0
# data 64.0
