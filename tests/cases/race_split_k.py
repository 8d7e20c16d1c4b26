"""Four programs add to one element without order: three of four additions are lost in time, none without."""

import numpy as np

import kernbench as kb
from kernbench import tl


@kb.jit
def add_part(x_ptr, sum_ptr, K: tl.constexpr):
    part = tl.sum(tl.load(x_ptr + tl.program_id(0) * K + tl.arange(0, K)))
    tl.store(sum_ptr, tl.load(sum_ptr) + part)


for mode in ("timed", "data"):
    done = kb.testing.run(add_part, (4,), [np.ones(64, np.float32), np.zeros(1, np.float32)], K=16, mode=mode)
    print(mode, done.args[1])

# $ python race_split_k.py
# timed [16.]
# data [64.]
#! race_split_k.py:12: RaceWarning: race on 'arg1' fp32[1], element [0]: race_split_k.py:12 (tl.load) by program (3, 0, 0) of 'add_part' on sip0.cube0.pe3 at 3.084 us, and race_split_k.py:12 (tl.store) by program (0, 0, 0) of 'add_part' on sip0.cube0.pe0 at 3.128 us; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches; 11 more pairs of programs at these lines
#!   tl.store(sum_ptr, tl.load(sum_ptr) + part)
#! race_split_k.py:12: RaceWarning: race on 'arg1' fp32[1], element [0]: race_split_k.py:12 (tl.store) by program (0, 0, 0) of 'add_part' on sip0.cube0.pe0, and race_split_k.py:12 (tl.load) by program (1, 0, 0) of 'add_part' on sip0.cube0.pe1; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches; 8 more pairs of programs at these lines
#!   tl.store(sum_ptr, tl.load(sum_ptr) + part)
