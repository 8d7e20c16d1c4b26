"""Rank 1 tests for a message that rank 0 sends only after it has received one."""

import kernbench as kb
from kernbench import tl
from kernbench.ccl.wiring import install_queues


@kb.jit
def exchange(x_ptr):
    if tl.rank() == 0:
        tl.store(x_ptr, tl.recv("E", (), "fp32"))
        tl.send("E", 1.0)
    else:
        coming = tl.recv_async("W", (), "fp32")
        while not tl.test(coming):
            pass


for mode in ("data", "timing"):
    torch = kb.simulate("tiny", mode=mode).torch
    x, queues = torch.zeros(1), install_queues(torch, pes=[0, 1], slots=2)
    try:
        torch.launch(exchange, (2,), (x,), queues=queues)
        torch.synchronize()
    except kb.errors.DeadlockError as error:
        print(error)

# $ python tested_in_vain.py
# nothing is left to happen that could change what is polled:
#   sip0.cube0.pe1  program (1, 0, 0) polls at tested_in_vain.py:15: 257 times, and nothing changed
#   sip0.cube0.pe0  tl.recv("E") at tested_in_vain.py:11 waits for a message from sip0.cube0.pe1's queue 'W': 0 of 2 slots filled, 2 of 2 credits held
#   sip0.cube0.pe1  tl.recv("W") at tested_in_vain.py:14 waits for a message from sip0.cube0.pe0's queue 'E': 0 of 2 slots filled, 2 of 2 credits held
#   cycle: sip0.cube0.pe0 -> sip0.cube0.pe1 -> sip0.cube0.pe0
# nothing is left to happen at ... that could change what is polled:
#   sip0.cube0.pe1.pe_cpu  program (1, 0, 0) polls at tested_in_vain.py:15: ... times, and nothing changed
#   sip0.cube0.pe0.pe_cpu  waits for recv at tested_in_vain.py:11; 1 command not complete
#   sip0.cube0.pe0.pe_scheduler  tested_in_vain.py:11: recv, 1 of 1 tiles left
#   sip0.cube0.pe0.pe_ipcq  tl.recv("E") at tested_in_vain.py:11 waits for a message from sip0.cube0.pe1's queue 'W': 0 of 2 slots filled, 2 of 2 credits held; last progress at ...
#   sip0.cube0.pe1.pe_ipcq  tl.recv("W") at tested_in_vain.py:14 waits for a message from sip0.cube0.pe0's queue 'E': 0 of 2 slots filled, 2 of 2 credits held; last progress at ...
#   cycle: sip0.cube0.pe0 -> sip0.cube0.pe1 -> sip0.cube0.pe0
