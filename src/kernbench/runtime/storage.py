"""What a tensor and its views share: the memory. And where in the user's program it was freed."""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from pathlib import Path
from types import FrameType

from kernbench.memory.shards import ShardMap
from kernbench.messages.commands import SourceLine
from kernbench.runtime.heap import Heap
from kernbench.runtime.placement import DPPolicy

_PACKAGE = Path(__file__).parent.parent
_OURS = (str(_PACKAGE) + os.sep, contextlib.__file__)  # contextlib ends the blocks of an ExitStack
_BENCHES = str(_PACKAGE / "benches") + os.sep


class Storage:
    """The memory of one tensor and all its views; it returns when the last of them is gone, or one is freed."""

    def __init__(self, heap: Heap, shards: ShardMap, policy: DPPolicy) -> None:
        self.shards = shards
        self.policy = policy
        self.life = shards.life
        self.life.made = user_line()
        self._burial = weakref.finalize(self, heap.bury, shards, policy.space)
        self._burial.atexit = False

    @property
    def freed(self) -> str:
        """How and where it was freed, as in "at my_bench.py:12"; empty before."""
        return self.life.freed

    def free(self, freed: str) -> None:
        """Give the memory back, once."""
        self.life.end(freed)
        self._burial()


def user_line() -> SourceLine:
    """The line of the user's program that is being executed: the innermost outside of KernBench, its benches apart."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return (
        SourceLine("?", 0)
        if frame is None
        else SourceLine(Path(frame.f_code.co_filename).name, frame.f_lineno)
    )


def _is_ours(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    if path == "<string>":  # a dataclass's __init__, which Python writes; or a program of the user
        return str(frame.f_globals.get("__name__")).startswith("kernbench.")
    return path.startswith(_OURS) and not path.startswith(_BENCHES)
