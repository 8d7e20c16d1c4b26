"""Random numbers, with PyTorch's names."""

from __future__ import annotations

import numpy as np


class Generator:
    """A stream of random numbers of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Begin the stream of ``seed``."""
        self.stream = np.random.Generator(np.random.PCG64(seed))
        return self
