"""What a notebook may do: every cell runs in a copy of a context that knows nothing of the other cells."""

from contextvars import Context

import kernbench as kb
from kernbench import tl


@kb.jit
def negate(x_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(x_ptr + at, -tl.load(x_ptr + at))


cells = {}
Context().run(lambda: cells.update(torch=kb.simulate("tiny").torch))
Context().run(lambda: cells.update(x=cells["torch"].arange(4, dtype="fp32")))
Context().run(lambda: negate[(1,)](cells["x"], N=4))
Context().run(lambda: print(cells["x"].tolist()))

# $ python cells_with_contexts_of_their_own.py
# [-0.0, -1.0, -2.0, -3.0]
