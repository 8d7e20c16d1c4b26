"""Blocks of 16 with a mask that is one lane too long: program 1 stores what is program 2's."""

import numpy as np

import kernbench as kb
from kernbench import tl


@kb.jit
def number(x_ptr, ROWS: tl.constexpr):
    p, at = tl.program_id(0), tl.arange(0, 16)
    tl.store(x_ptr + p * ROWS + at, (p * 100 + at).to(tl.float32), mask=at <= ROWS)


done = kb.testing.run(number, (3,), [np.zeros(40, np.float32)], ROWS=12, mode="data")
for race in done.report.races:
    print(race.elements.text(race.shape), race.n_pairs, "pairs")

# $ python tail_of_a_block.py
# 2 elements from [12] to [24] 2 pairs
#! tail_of_a_block.py:12: RaceWarning: race on 'arg0' fp32[40], 2 elements from [12] to [24]: tail_of_a_block.py:12 (tl.store) by program (0, 0, 0) of 'number' on sip0.cube0.pe0, and tail_of_a_block.py:12 (tl.store) by program (1, 0, 0) of 'number' on sip0.cube0.pe1; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches; 1 more pair of programs at these lines
#!   tl.store(x_ptr + p * ROWS + at, (p * 100 + at).to(tl.float32), mask=at <= ROWS)
