"""The bytes of every memory of the machine, by physical address.

Memory that nobody has written holds 0xFF in every byte: NaN in each of our float types, -1 in the signed
integers. So what is read before it is written shows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from kernbench.messages.fabric import Piece

Bytes = npt.NDArray[np.uint8]
UNWRITTEN = 0xFF


class MemoryStore:
    """Real bytes behind physical addresses, moved in whole pieces.

    ``regions`` are ``(base, size_bytes)`` of the disjoint ranges that exist: a PE's slice of HBM, a bank of SRAM. A
    region takes memory of the computer as far as it was touched, from its base on.
    """

    def __init__(self, regions: Iterable[tuple[int, int]]) -> None:
        self._regions = sorted(regions)
        self._bases = [base for base, _ in self._regions]
        self._banks: dict[int, Bytes] = {}

    def read(self, pieces: Iterable[Piece], size_bytes: int) -> Bytes:
        """The ``[size_bytes]`` bytes of ``pieces``, in the memory order of their access."""
        buffer = np.empty(size_bytes, np.uint8)
        for _, pa, run_bytes, pitch, count, offset, offset_pitch in pieces:
            bank, at = self._locate(pa, run_bytes + (count - 1) * pitch)
            if count == 1:
                buffer[offset : offset + run_bytes] = bank[at : at + run_bytes]
            else:
                runs = _runs(bank, at, run_bytes, pitch, count)
                _runs(buffer, offset, run_bytes, offset_pitch, count)[...] = runs
        return buffer

    def write(self, pieces: Iterable[Piece], buffer: Bytes) -> None:
        """Put ``buffer``, the bytes of an access in memory order, where ``pieces`` say."""
        for _, pa, run_bytes, pitch, count, offset, offset_pitch in pieces:
            bank, at = self._locate(pa, run_bytes + (count - 1) * pitch)
            if count == 1:
                bank[at : at + run_bytes] = buffer[offset : offset + run_bytes]
            else:
                runs = _runs(buffer, offset, run_bytes, offset_pitch, count)
                _runs(bank, at, run_bytes, pitch, count)[...] = runs

    def discard(self, pa: int, size_bytes: int) -> None:
        """Forget ``[pa, pa + size_bytes)``: it reads as unwritten again."""
        region = self._region(pa)
        bank = self._banks.get(region)
        if bank is not None:
            at = pa - self._bases[region]
            bank[at : at + size_bytes] = UNWRITTEN

    @property
    def held_bytes(self) -> int:
        """Memory of the computer in use for the banks."""
        return sum(len(bank) for bank in self._banks.values())

    def _region(self, pa: int) -> int:
        return bisect_right(self._bases, pa) - 1

    def _locate(self, pa: int, span_bytes: int) -> tuple[Bytes, int]:
        """The bank that holds ``[pa, pa + span_bytes)``, grown to do so, and the index of ``pa`` in it."""
        region = self._region(pa)
        base, size_bytes = self._regions[region] if region >= 0 else (0, 0)
        end = pa - base + span_bytes
        if end > size_bytes:
            raise AssertionError(f"{span_bytes} bytes at physical {pa:#_x} lie in no region")
        bank = self._banks.get(region)
        if bank is None or len(bank) < end:
            bank = self._banks[region] = _grown(bank, end, size_bytes)
        return bank, pa - base


def _runs(memory: Bytes, at: int, run_bytes: int, pitch: int, count: int) -> Bytes:
    """View ``count`` runs in ``memory`` as ``[count, run_bytes]``, whatever their pitch."""
    return np.ndarray((count, run_bytes), np.uint8, memory, at, (pitch, 1))


def _grown(bank: Bytes | None, needed_bytes: int, limit_bytes: int) -> Bytes:
    """``bank`` with room for ``needed_bytes``, doubling so that growth costs a constant per byte."""
    held = 0 if bank is None else len(bank)
    grown = np.full(min(max(needed_bytes, 2 * held), limit_bytes), UNWRITTEN, np.uint8)
    if bank is not None:
        grown[:held] = bank
    return grown
