"""The PE-local scratch region of TCM, as the kernel language sees it: what lives at each point of the program.

Lifetimes are in program order: a value takes its bytes when its command is issued and gives them back with the first
command issued after its last handle died. A value that fits no single hole takes several.
"""

from __future__ import annotations

from bisect import bisect

from kernbench.errors import CapacityError
from kernbench.lang.block import describe
from kernbench.messages.commands import TCM, Command, Operand
from kernbench.messages.source_line import SourceLine
from kernbench.units import format_bytes

MOST_LISTED = 8  # live values an error names


Extents = tuple[tuple[int, int], ...]
"""``(start, end)`` of each."""


class LiveValue:
    """A value in TCM: what it is, where it was made, and where it lies."""

    __slots__ = ("extents", "line", "operand", "size_bytes")

    def __init__(self, operand: Operand, line: SourceLine, size_bytes: int, extents: Extents) -> None:
        self.operand = operand
        self.line = line
        self.size_bytes = size_bytes
        self.extents = extents

    @property
    def address(self) -> int:
        """Where it begins; 0 if it has no bytes here."""
        return self.extents[0][0] if self.extents else 0

    def __str__(self) -> str:
        return describe(self.operand.shape, self.operand.dtype)


class Scratch:
    """Live values by version, and the holes between them.

    Invariant: live bytes + bytes of the holes = ``tcm_bytes``.
    """

    def __init__(self, tcm_bytes: int) -> None:
        self.tcm_bytes = tcm_bytes
        self.live_bytes = 0
        self.live: dict[int, LiveValue] = {}
        self._holes: list[tuple[int, int]] = [(0, tcm_bytes)]

    def owns(self, version: int) -> bool:
        """Whether a live value has bytes of its own here; a received one may lie in the slots of its queue."""
        value = self.live.get(version)
        return value is not None and value.size_bytes > 0

    def admit(self, command: Command) -> None:
        """Free what ``command`` releases, then place its result; fills in the addresses of its operands.

        Raises:
            CapacityError: the live values and the result do not fit TCM together.
        """
        for version in command.releases:
            self._free(version)
        for operand in command.operands:
            if operand.space is TCM:
                operand.address = self.live[operand.version].address
        result = command.result
        if result is None:
            return
        size_bytes = command.tcm_bytes
        if command.inherits >= 0:
            inherited = self.live.pop(command.inherits)
            size_bytes, extents = inherited.size_bytes, inherited.extents
        elif self.live_bytes + size_bytes > self.tcm_bytes:
            raise CapacityError(self._overflow(command, size_bytes))
        else:
            extents = self._take(size_bytes)
            self.live_bytes += size_bytes
        value = self.live[result.version] = LiveValue(result, command.line, size_bytes, extents)
        result.address = value.address

    def _free(self, version: int) -> None:
        value = self.live.pop(version)
        self.live_bytes -= value.size_bytes
        for extent in value.extents:
            self._open(extent[0], extent[1])

    def _open(self, start: int, end: int) -> None:
        """Make a hole, one with those it touches."""
        holes = self._holes
        at = first = bisect(holes, (start, end))
        if first and holes[first - 1][1] == start:
            first -= 1
            start = holes[first][0]
        if at < len(holes) and holes[at][0] == end:
            end = holes[at][1]
            at += 1
        holes[first:at] = [(start, end)]

    def _take(self, size_bytes: int) -> Extents:
        """The first hole that is large enough, else the first holes together."""
        if not size_bytes:
            return ()
        holes = self._holes
        for i, (start, end) in enumerate(holes):
            if end - start >= size_bytes:
                holes[i : i + 1] = [(start + size_bytes, end)] if end - start > size_bytes else []
                return ((start, start + size_bytes),)
        taken: list[tuple[int, int]] = []
        while size_bytes:
            start, end = holes.pop(0)
            stop = min(end, start + size_bytes)
            taken.append((start, stop))
            size_bytes -= stop - start
            if stop < end:
                holes.insert(0, (stop, end))
        return tuple(taken)

    def _overflow(self, command: Command, size_bytes: int) -> str:
        by_size = sorted(self.live.items(), key=lambda item: (-item[1].size_bytes, item[0]))
        listed = [
            f"{value} {format_bytes(value.size_bytes)} ({value.line})" for _, value in by_size[:MOST_LISTED]
        ]
        if len(by_size) > MOST_LISTED:
            listed.append(f"{len(by_size) - MOST_LISTED} smaller ones")
        assert command.result is not None
        free_bytes = self.tcm_bytes - self.live_bytes
        return (
            f"{command.line}: {describe(command.result.shape, command.result.dtype)} needs {format_bytes(size_bytes)} "
            f"of TCM, and {format_bytes(free_bytes)} of {format_bytes(self.tcm_bytes)} are free; "
            f"live: {', '.join(listed) or 'nothing'}; use smaller blocks, or drop (del) a value no longer needed"
        )
