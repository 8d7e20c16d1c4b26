"""Program 0 polls a flag in memory until program 3 sets it: ends in mode timed, and in mode data?"""

import signal
import sys

import numpy as np

import kernbench as kb
from kernbench import tl


@kb.jit
def poll(flag_ptr, out_ptr):
    if tl.program_id(0) == 3:
        tl.store(flag_ptr, 1)
    elif tl.program_id(0) == 0:
        while tl.load(flag_ptr) == 0:
            pass
        tl.store(out_ptr, 1.0)


signal.signal(signal.SIGALRM, lambda *_: sys.exit("hangs"))
for mode in ("timed", "data"):
    signal.alarm(60)
    flag, out = np.zeros(1, np.int32), np.zeros(1, np.float32)
    print(mode, kb.testing.run(poll, (4,), [flag, out], mode=mode).args[1], flush=True)

# $ python spin_on_flag.py
# timed [1.]
# data [1.]
#! spin_on_flag.py:15: RaceWarning: race on 'arg0' int32[1], element [0]: spin_on_flag.py:17 (tl.load) by program ...
#! ...
