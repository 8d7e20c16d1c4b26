"""Watches what programs do to memory: races between them, and reads of bytes that nobody wrote (ADR-0037).

``order`` knows which program comes before which, ``lanes`` where an access lies in a tensor, ``races`` and ``written``
keep what happened to one tensor, ``findings`` are what is told of it, and ``watch`` is what the machine talks to.
"""

from kernbench.memory.watch.findings import EarlyUse, Race, RacingAccess, UnwrittenRead
from kernbench.memory.watch.order import Thread, WatchedLaunch
from kernbench.memory.watch.watch import RACES, UNINITIALISED, Watch, require_known, watch_of

__all__ = [
    "RACES",
    "UNINITIALISED",
    "EarlyUse",
    "WatchedLaunch",
    "Race",
    "RacingAccess",
    "Thread",
    "UnwrittenRead",
    "Watch",
    "require_known",
    "watch_of",
]
