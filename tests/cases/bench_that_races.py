"""A bench whose result is right by accident: the page says what is wrong with it, and so does the exit code if asked."""

import numpy as np

import kernbench as kb
from kernbench import tl


@kb.jit
def mark(x_ptr):
    tl.store(x_ptr, tl.program_id(0) - tl.program_id(0) + 1 + 0 * tl.load(x_ptr + 1))
    tl.store(x_ptr + 1, tl.program_id(0).to(tl.float32))


@kb.bench("bench_that_races")
def run(torch):
    """Mark an element."""
    x = torch.zeros(2, name="x")
    mark[(4,)](x)

    def expected():
        return (kb.Expected(values=np.ones(1), tolerance=0),)

    return kb.Outcome(outputs=(x.narrow(0, 0, 1),), expected=expected, reference="one", flops=0)


# $ kernbench run bench_that_races.py --topology tiny --mode data
# bench    bench_that_races
# machine  tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs
# time     none is simulated in mode data
#
# 0 events in ... CPU s, ... MB at most; configuration ...
# bench_that_races.py:12: race on 'x' fp32[2], element [1]: bench_that_races.py:12 (tl.store) by program (0, 0, 0) of 'mark' on sip0.cube0.pe0, and bench_that_races.py:12 (tl.store) by program (1, 0, 0) of 'mark' on sip0.cube0.pe0; that both ran on one PE is no order: give each program elements of its own, let the first send and the second receive, or use two launches; 3 more pairs of programs at these lines
# bench_that_races.py:12: race on 'x' fp32[2], element [1]: bench_that_races.py:11 (tl.load) by program (0, 0, 0) of 'mark' on sip0.cube0.pe0, and bench_that_races.py:12 (tl.store) by program (1, 0, 0) of 'mark' on sip0.cube0.pe0; that both ran on one PE is no order: give each program elements of its own, let the first send and the second receive, or use two launches; 5 more pairs of programs at these lines
# check ok: max abs err 0 against one
# No time passes in mode 'data'.
#! kernbench: warning: bench_that_races.py:12: race on 'x' fp32[2], element [1]: bench_that_races.py:12 (tl.store) by program (0, 0, 0) of 'mark' on sip0.cube0.pe0, and bench_that_races.py:12 (tl.store) by program (1, 0, 0) of 'mark' on sip0.cube0.pe0; that both ran on one PE is no order: give each program elements of its own, let the first send and the second receive, or use two launches; 3 more pairs of programs at these lines
#! kernbench: warning: bench_that_races.py:12: race on 'x' fp32[2], element [1]: bench_that_races.py:11 (tl.load) by program (0, 0, 0) of 'mark' on sip0.cube0.pe0, and bench_that_races.py:12 (tl.store) by program (1, 0, 0) of 'mark' on sip0.cube0.pe0; that both ran on one PE is no order: give each program elements of its own, let the first send and the second receive, or use two launches; 5 more pairs of programs at these lines

# $ kernbench run bench_that_races.py --topology tiny --races error
#! kernbench: bench_that_races.py:12: race on 'x' fp32[2], element [1]: bench_that_races.py:12 (tl.store) by program (0, 0, 0) of 'mark' on sip0.cube0.pe0 at 2.245 us, and bench_that_races.py:12 (tl.store) by program (2, 0, 0) of 'mark' on sip0.cube0.pe1 at 2.252 us; nothing orders them: give each program elements of its own, let the first send and the second receive, or use two launches; 3 more pairs of programs at these lines (and 1 more)
# = 3

# $ kernbench run bench_that_races.py --topology tiny --mode data --races off
# bench    bench_that_races
# machine  tiny: 1 SIP x 1 cube x 4 PEs = 4 PEs
# time     none is simulated in mode data
#
# 0 events in ... CPU s, ... MB at most; configuration ...
# check ok: max abs err 0 against one
# No time passes in mode 'data'.
