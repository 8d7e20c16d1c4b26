"""softsign: x / (1 + |x|), element by element."""

import numpy as np

from kernbench.ops.elementwise import elementwise


def softsign(x):
    """Slower than tanh to reach -1 and 1."""
    return x / (1 + np.abs(x))


elementwise("softsign", softsign, add=2, div=1)
