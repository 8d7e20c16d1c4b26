"""Program 0 polls a flag that program 1 would set, were it not behind program 0 on the same PE."""

import kernbench as kb
from kernbench import tl


@kb.jit
def handshake(flag_ptr, out_ptr):
    if tl.program_id(0) == 1:
        tl.store(flag_ptr, 1)
    else:
        while tl.load(flag_ptr) == 0:
            pass
        tl.store(out_ptr, 1.0)


for mode in ("data", "timed"):
    torch = kb.simulate("tiny", mode=mode).torch
    flag, out = torch.zeros(1, dtype=torch.int32), torch.zeros(1)
    try:
        torch.launch(handshake, (2,), (flag, out), place=[3, 3])
        torch.synchronize()
    except kb.errors.DeadlockError as error:
        print(error)

# $ python poll_in_vain.py
# nothing is left to happen that could change what is polled:
#   sip0.cube0.pe3  program (0, 0, 0) polls at poll_in_vain.py:12: 257 times, and nothing changed; 1 program behind it
# nothing is left to happen at ... us that could change what is polled:
#   sip0.cube0.pe3.pe_cpu  program (0, 0, 0) polls at poll_in_vain.py:12: 321 times, and nothing changed; 1 program behind it
