"""Who owns what a kernel can name: the launches and the tensors of a device, and when they came and went."""

from __future__ import annotations

from itertools import count

from kernbench.messages.source_line import SourceLine

_moments = count(1)  # of this process, in the order of the host's calls


class LaunchId:
    """A launch as its programs know it: in which memory, and at which moment it was made.

    ``own`` are the tensors whose copies its programs have as their own, each that of its PE.
    """

    __slots__ = ("memory", "moment", "own")

    def __init__(self, memory: object, own: frozenset[Lifetime] = frozenset()) -> None:
        self.memory = memory
        self.moment = next(_moments)
        self.own = own


class Lifetime:
    """A tensor's part of ``memory``, that of its device, from where it was ``made`` until it is freed.

    ``freed`` says how and where, as in "at my_bench.py:12"; it is empty before.
    """

    __slots__ = ("_freed_moment", "freed", "made", "memory")

    def __init__(self, memory: object = None) -> None:
        self.memory = memory
        self.made = SourceLine("?", 0)
        self.freed = ""
        self._freed_moment = 0

    def end(self, freed: str) -> None:
        """Free it, once: for the launches from this moment on."""
        self.freed = freed
        self._freed_moment = next(_moments)

    def ended_before(self, launch: LaunchId) -> bool:
        """Whether it was freed when ``launch`` was made."""
        return bool(self.freed) and self._freed_moment < launch.moment
