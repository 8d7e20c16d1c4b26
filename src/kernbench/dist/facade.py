"""Gives a context what the floor below cannot know: ``torch.distributed`` and ``torch.multiprocessing``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernbench.torch.context import Context
from kernbench.torch.generator import Generator

NAMES = ("distributed", "multiprocessing")


def distributed(torch: Context, seed: int) -> Mapping[str, Any]:
    """The two by their names, for a host's ``torch``, and each rank's worker while that runs.

    Ranks begin with the random numbers of ``seed``.
    """
    from kernbench.dist.distributed import (
        Distributed,
    )  # with all that collectives need: most programs have none
    from kernbench.dist.ranks import Hub, Multiprocessing

    hub = Hub(torch, Generator(seed).stream.bit_generator.state)
    return dict(zip(NAMES, (Distributed(torch, hub), Multiprocessing(hub)), strict=True))
