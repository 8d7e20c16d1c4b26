"""Gives a context what the floor below cannot know: ``torch.distributed`` and ``torch.multiprocessing``."""

from __future__ import annotations

from kernbench.dist.distributed import Distributed
from kernbench.dist.ranks import Hub, Multiprocessing
from kernbench.torch.context import Context


def add_distributed(torch: Context) -> None:
    """Make ``torch`` the one of its host, and of each rank's worker while that runs."""
    hub = Hub(torch)
    torch.distributed = Distributed(torch, hub)
    torch.multiprocessing = Multiprocessing(hub)
