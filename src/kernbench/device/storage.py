"""What a tensor and its views share: the memory."""

from __future__ import annotations

import weakref

from kernbench.device.heap import Heap
from kernbench.device.placement import DPPolicy
from kernbench.lang.source import user_line
from kernbench.memory.shards import ShardGrid, ShardMap


class Storage:
    """The memory of one tensor and all its views; it returns when the last of them is gone, or one is freed."""

    def __init__(self, heap: Heap, shards: ShardMap, parts: ShardGrid, policy: DPPolicy) -> None:
        self.shards = shards
        self.parts = parts
        self.policy = policy
        self.life = shards.life
        self.life.made = user_line()
        self._burial = weakref.finalize(self, heap.bury, shards, policy.space)
        self._burial.atexit = False

    def free(self, freed: str) -> None:
        """Give the memory back, once."""
        self.life.end(freed)
        self._burial()
