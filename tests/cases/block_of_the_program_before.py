"""The first program loads a table for all others, as a cache in a Python list would: they are programs of other PEs."""

import kernbench as kb
from kernbench import tl

cache = {}


@kb.jit
def scale(table_ptr, y_ptr):
    if "factor" not in cache:
        cache["factor"] = tl.load(table_ptr)
    tl.store(y_ptr + tl.program_id(0), cache["factor"] * 3.0)


torch = kb.simulate("tiny").torch
table, y = torch.full((1,), 2.0), torch.zeros(4)
torch.launch(scale, (4,), (table, y))
print(y.numpy())

# $ python block_of_the_program_before.py
#! kernbench.errors.UsageError: block_of_the_program_before.py:13: a block of another program is used here: fp32 was made at block_of_the_program_before.py:12 by program (0, 0, 0) on sip0.cube0.pe0; load it again in this program, or pass it on through memory or a queue
# = 1
