"""Two launches on streams of their own: the first writes x by an address from a table, the second reads x."""

import kernbench as kb
from kernbench import tl


@kb.jit
def write(table_ptr, n):
    wait = tl.load(table_ptr)
    for _ in range(n):
        wait = wait + 0
    tl.store(tl.load(table_ptr).to(tl.pointer_type(tl.float32)), 5.0 + wait.to(tl.float32) * 0.0)


@kb.jit
def read(x_ptr, out_ptr):
    tl.store(out_ptr, tl.load(x_ptr))


for mode in ("timed", "data"):
    torch = kb.simulate("tiny", mode=mode).torch
    x, out = torch.full((1,), 1.0), torch.zeros(1)
    table = torch.tensor([x.data_ptr()])
    torch.launch(write, (1,), (table, 200), place=[0], stream="a")
    torch.launch(read, (1,), (x, out), place=[2], stream="b")
    print(mode, out.numpy())

# $ python stream_and_pointer_table.py
# timed [1.]
# data [5.]
#! stream_and_pointer_table.py:12: RaceWarning: race on 'tensor1' fp32[1], element [0]: stream_and_pointer_table.py:17 (tl.load) by program (0, 0, 0) of 'read' on sip0.cube0.pe2 at 3.861 us, and stream_and_pointer_table.py:12 (tl.store) by program (0, 0, 0) of 'write' on sip0.cube0.pe0 at 8.536 us; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches
#!   tl.store(tl.load(table_ptr).to(tl.pointer_type(tl.float32)), 5.0 + wait.to(tl.float32) * 0.0)
#! stream_and_pointer_table.py:17: RaceWarning: race on 'tensor1' fp32[1], element [0]: stream_and_pointer_table.py:12 (tl.store) by program (0, 0, 0) of 'write' on sip0.cube0.pe0, and stream_and_pointer_table.py:17 (tl.load) by program (0, 0, 0) of 'read' on sip0.cube0.pe2; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches
#!   tl.store(out_ptr, tl.load(x_ptr))
