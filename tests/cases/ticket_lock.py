"""Four programs take turns by a ticket in memory, each behind the one before it, in an order that no placement gives."""

import kernbench as kb
from kernbench import tl


@kb.jit
def in_turn(now_ptr, order_ptr, out_ptr):
    ticket = int(tl.load(order_ptr + tl.program_id(0)))
    while tl.load(now_ptr, volatile=True) != ticket:
        pass
    tl.store(out_ptr + ticket, tl.program_id(0))
    tl.store(now_ptr, ticket + 1)


for mode in ("timed", "data"):
    torch = kb.simulate("tiny", mode=mode).torch
    now, order, out = (torch.tensor(x, dtype=torch.int32) for x in ([0], [2, 0, 3, 1], [0] * 4))
    in_turn[(4,)](now, order, out)
    print(mode, out.numpy())

# $ python ticket_lock.py
# timed [1 3 0 2]
# data [1 3 0 2]
#! ticket_lock.py:13: RaceWarning: race on 'tensor1' int32[1], element [0]: ticket_lock.py:13 (tl.store) by program ...
#! ...
