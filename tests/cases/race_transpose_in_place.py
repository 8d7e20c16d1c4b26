"""Each program stores a column that others still have to load as part of their rows."""

import numpy as np

import kernbench as kb
from kernbench import tl


@kb.jit
def transpose(x_ptr, N: tl.constexpr):
    i, p = tl.arange(0, N), tl.program_id(0)
    tl.store(x_ptr + i * N + p, tl.load(x_ptr + p * N + i))


for mode in ("timed", "data"):
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    print(mode, kb.testing.run(transpose, (4,), [x], N=4, mode=mode).args[0].tolist())

# $ python race_transpose_in_place.py
# timed [[0.0, 4.0, 8.0, 12.0], [1.0, 5.0, 9.0, 13.0], [2.0, 6.0, 10.0, 14.0], [3.0, 7.0, 11.0, 15.0]]
# data [[0.0, 1.0, 2.0, 3.0], [1.0, 5.0, 6.0, 7.0], [2.0, 6.0, 10.0, 11.0], [3.0, 7.0, 11.0, 15.0]]
#! race_transpose_in_place.py:12: RaceWarning: race on 'arg0' fp32[4, 4], 12 elements from [0, 1] to [3, 2]: race_transpose_in_place.py:12 (tl.load) by program (1, 0, 0) of 'transpose' on sip0.cube0.pe1 at 2.114 us, and race_transpose_in_place.py:12 (tl.store) by program (0, 0, 0) of 'transpose' on sip0.cube0.pe0 at 2.173 us; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches; 11 more pairs of programs at these lines
#!   tl.store(x_ptr + i * N + p, tl.load(x_ptr + p * N + i))
#! race_transpose_in_place.py:12: RaceWarning: race on 'arg0' fp32[4, 4], 6 elements from [1, 0] to [3, 2]: race_transpose_in_place.py:12 (tl.store) by program (0, 0, 0) of 'transpose' on sip0.cube0.pe0, and race_transpose_in_place.py:12 (tl.load) by program (1, 0, 0) of 'transpose' on sip0.cube0.pe1; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches; 5 more pairs of programs at these lines
#!   tl.store(x_ptr + i * N + p, tl.load(x_ptr + p * N + i))
