"""The translator without page tables: finds the tensor of an address and the pieces of an access to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernbench.errors import PageFaultError
from kernbench.memory.blocks import upward
from kernbench.memory.cut import Ints, run_starts
from kernbench.memory.shards import ShardMap, ShardMaps
from kernbench.messages.access import Access
from kernbench.messages.commands import SourceLine
from kernbench.messages.fabric import Piece
from kernbench.topology.ids import PeId
from kernbench.units import format_bytes

Pieces = tuple[Piece, ...]
N_CACHED = 1 << 16  # translations kept: a speed setting, without effect on any result


class DirectMap:
    """Virtual accesses to pieces, at ``hit_ps`` each.

    It fills the seam of PE_MMU: it knows all tensors of a context. ``pes`` are the machine's PEs by number. An
    access must lie inside one tensor (each lane of a dense one in some tensor); else it is a page fault.
    """

    def __init__(self, pes: Sequence[PeId], hit_ps: int) -> None:
        self.pes = pes
        self.hit_ps = hit_ps
        self._tensors = ShardMaps()
        self._cache: dict[tuple[object, ...], Pieces] = {}

    def map(self, shards: ShardMap) -> None:
        """Make a tensor's addresses valid."""
        self._tensors.add(shards)

    def unmap(self, shards: ShardMap) -> None:
        """Make them invalid again."""
        self._tensors.remove(shards)
        self._cache.clear()

    def resolve(self, va: int) -> ShardMap | None:
        """The tensor that ``va`` lies in, if it is mapped."""
        shards = self._tensors.below(va)
        return shards if shards is not None and va < shards.end else None

    def translate(self, pe: int, access: Access, line: SourceLine | None) -> tuple[Pieces, int]:
        """The pieces of ``access`` at the copies nearest to PE number ``pe``, and the time that takes.

        Raises:
            PageFaultError: a byte lies outside of all tensors; names PE, kernel line, address, nearest tensor.
        """
        if access.addresses is not None:
            return self._gather(pe, access, line), self.hit_ps
        shards = self._tensors.below(access.va)
        key = (access.va, access.itemsize, access.shape, access.strides, shards.view_of(pe) if shards else -1)
        pieces = self._cache.get(key)
        if pieces is None:
            if len(self._cache) >= N_CACHED:
                self._cache.clear()
            pieces = self._cache[key] = self._affine(pe, upward(access)[0], line)
        return pieces, self.hit_ps

    def _affine(self, pe: int, access: Access, line: SourceLine | None) -> Pieces:
        low, high = access.bounds()
        if low == high:
            return ()
        shards = self._tensors.below(low)
        if shards is None or high > shards.end:
            va, run_bytes, outer, _ = access.runs()
            raise self._fault(pe, run_starts(va, outer), run_bytes, line)
        return shards.pieces_for(access, pe)

    def _gather(self, pe: int, access: Access, line: SourceLine | None) -> Pieces:
        starts = access.addresses
        assert starts is not None
        pieces: Pieces = ()
        lanes = np.arange(len(starts))
        while len(lanes):  # once for each tensor that is touched
            shards = self._tensors.below(int(starts[lanes[0]]))
            if shards is None:
                raise self._fault(pe, starts, access.itemsize, line)
            inside = (starts[lanes] >= shards.va) & (starts[lanes] + access.itemsize <= shards.end)
            if not inside[0]:
                raise self._fault(pe, starts, access.itemsize, line)
            here = lanes[inside]
            pieces += shards.pieces_of_lanes(starts[here], here * access.itemsize, access.itemsize, pe)
            lanes = lanes[~inside]
        return pieces

    def _fault(self, pe: int, starts: Ints, run_bytes: int, line: SourceLine | None) -> PageFaultError:
        """The error that names the first byte, in memory order, that is in no tensor."""
        address = self._first_unmapped(starts, run_bytes)
        who = str(self.pes[pe]) if pe >= 0 else "host"
        where = f"{who}: {line}" if line else who
        tensor = self._tensors.nearest(address)
        if tensor is None:
            return PageFaultError(f"{where}: address {address:#_x} is not mapped; no tensor is")
        is_past = address >= tensor.end
        distance = format_bytes(address - tensor.end + 1 if is_past else tensor.va - address)
        side = "past the end" if is_past else "before the beginning"
        return PageFaultError(
            f"{where}: address {address:#_x} is not mapped; it is {distance} {side} of "
            f"{tensor.name!r} {list(tensor.shape)} {tensor.dtype} ({tensor.va:#_x}..{tensor.end - 1:#_x}); "
            "mask the lanes outside or check the strides"
        )

    def _first_unmapped(self, starts: Ints, run_bytes: int) -> int:
        for start in starts.tolist():
            tensor = self._tensors.below(start)
            if tensor is None or start >= tensor.end:
                return int(start)
            if start + run_bytes > tensor.end:
                return tensor.end
        raise AssertionError("a fault without an unmapped byte")
