"""Random numbers, with PyTorch's names."""

from __future__ import annotations

import numpy as np

from kernbench.errors import UsageError
from kernbench.wording import quoted


class Generator:
    """A stream of random numbers of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Begin the stream of ``seed``; UsageError if it is no whole number of 0 or more."""
        if not isinstance(seed, (int, np.integer)) or seed < 0:
            raise UsageError(f"seed {quoted(seed)}: a seed is a whole number, 0 or more")
        self.stream = np.random.Generator(np.random.PCG64(seed))
        return self
