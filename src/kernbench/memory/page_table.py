"""Page tables: which tensor a virtual page belongs to, and the pieces of memory that an access to it means."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from kernbench.errors import PageFaultError
from kernbench.memory.blocks import upward
from kernbench.memory.cut import Ints, run_starts
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.shards import ShardMap
from kernbench.messages.access import Access, Wrapped
from kernbench.messages.fabric import PagePieces, Piece
from kernbench.messages.owners import LaunchId
from kernbench.messages.source_line import SourceLine
from kernbench.topology.ids import PeId
from kernbench.units import format_bytes, format_range

Pages = tuple[PagePieces, ...]
Pieces = tuple[Piece, ...]
N_CACHED = 1 << 16  # translations kept: a speed setting, without effect on any result
N_NAMED = 3  # other tensors that a fault names
N_PAST = 64  # tensors unmapped last, which a fault knows by name
NO_LAUNCHES: Mapping[int, LaunchId] = MappingProxyType({})


class PageTable:
    """The valid pages of one SIP. ``pes`` are the machine's PEs by number.

    An access must lie inside one tensor (each lane of a dense one in some tensor); else it is a page fault.
    """

    def __init__(
        self, pes: Sequence[PeId], page_bytes: int, launches: Mapping[int, LaunchId] = NO_LAUNCHES
    ) -> None:
        self.pes = pes
        self.page_bytes = page_bytes
        self._bases: list[int] = []
        self._mappings: list[TensorMapping] = []
        self._cache: dict[tuple[object, ...], Pages] = {}
        self._launches = launches
        self._past: deque[ShardMap] = deque(maxlen=N_PAST)

    def __len__(self) -> int:
        return len(self._mappings)

    def map(self, mapping: TensorMapping) -> None:
        """Make a tensor's pages valid; its virtual range is its own."""
        at = bisect_right(self._bases, mapping.shards.va)
        self._bases.insert(at, mapping.shards.va)
        self._mappings.insert(at, mapping)

    def unmap(self, mapping: TensorMapping) -> None:
        """Make them invalid again."""
        at = bisect_left(self._bases, mapping.shards.va)
        if self._mappings[at] is not mapping:
            raise AssertionError(f"{mapping.shards.name!r} is not mapped")
        del self._bases[at], self._mappings[at]
        self._cache.clear()
        self._past.append(mapping.shards)

    def mapping_below(self, va: int) -> TensorMapping | None:
        """The tensor that begins at or nearest below ``va``."""
        at = bisect_right(self._bases, va) - 1
        return self._mappings[at] if at >= 0 else None

    def mapping_of(self, page: int) -> TensorMapping:
        """The tensor of a valid page."""
        mapping = self.mapping_below((page + 1) * self.page_bytes - 1)
        assert mapping is not None
        return mapping

    def resolve(self, va: int) -> ShardMap | None:
        """The tensor that ``va`` lies in, if it is mapped."""
        shards = self._below(va)
        return shards if shards is not None and va < shards.end else None

    def translate(self, pe: int, access: Access, line: SourceLine | None, *, is_write: bool = False) -> Pages:
        """The pieces of ``access`` at the copies nearest to PE number ``pe``, page by page.

        Raises:
            PageFaultError: a byte lies outside of all tensors; names PE, kernel ``line``, address, nearest tensor, and
                what else is mapped. Or the access writes to one of several copies.
        """
        if access.addresses is not None:
            return self._gather(pe, access, line, is_write=is_write)
        shards = self._below(access.va)
        if shards is not None and (shards.life.freed or (is_write and shards.n_copies > 1)):
            self._require_allowed(pe, shards, access, access.va, line, is_write=is_write)
        key = (access.va, access.itemsize, access.shape, access.strides, shards.view_of(pe) if shards else -1)
        pages = self._cache.get(key)
        if pages is None:
            if len(self._cache) >= N_CACHED:
                self._cache.clear()
            pages = self._cache[key] = self._affine(pe, upward(access)[0], line, access.wrapped)
        return pages

    def _below(self, va: int) -> ShardMap | None:
        mapping = self.mapping_below(va)
        return None if mapping is None else mapping.shards

    def _affine(self, pe: int, access: Access, line: SourceLine | None, wrapped: Wrapped | None) -> Pages:
        low, high = access.bounds()
        if low == high:
            return ()
        shards = self._below(low)
        if shards is None or high > shards.end:
            va, run_bytes, outer, _ = access.runs()
            raise self._fault(pe, run_starts(va, outer), run_bytes, line, wrapped)
        return shards.pages_for(access, pe, self.page_bytes)

    def _gather(self, pe: int, access: Access, line: SourceLine | None, *, is_write: bool) -> Pages:
        starts, size_bytes = access.addresses, access.itemsize
        assert starts is not None
        pages: Pages = ()
        lanes = np.arange(len(starts))
        while len(lanes):  # once for each tensor that is touched
            shards = self._below(int(starts[lanes[0]]))
            if shards is None:
                raise self._fault(pe, starts, size_bytes, line, access.wrapped)
            inside = (starts[lanes] >= shards.va) & (starts[lanes] + size_bytes <= shards.end)
            if not inside[0]:
                raise self._fault(pe, starts, size_bytes, line, access.wrapped)
            self._require_allowed(pe, shards, access, int(starts[lanes[0]]), line, is_write=is_write)
            here = lanes[inside]
            pages += shards.pages_of_lanes(starts[here], here * size_bytes, size_bytes, pe, self.page_bytes)
            lanes = lanes[~inside]
        return pages

    def _fault(
        self, pe: int, starts: Ints, run_bytes: int, line: SourceLine | None, wrapped: Wrapped | None
    ) -> PageFaultError:
        """The error that names the first byte, in memory order, that is in no tensor."""
        address, where = self._first_unmapped(starts, run_bytes), self._where(pe, line)
        for shards in reversed(self._past):
            if shards.va <= address < shards.end:
                return _freed(where, shards, address)
        if not self._mappings:
            return PageFaultError(f"{where}: address {address:#_x} is not mapped; no tensor is")
        tensor, *others = sorted((m.shards for m in self._mappings), key=lambda m: _distance(m, address))
        is_past = address >= tensor.end
        distance = format_bytes(_distance(tensor, address) + is_past)
        side = "past the end" if is_past else "before the beginning"
        return PageFaultError(
            f"{where}: address {address:#_x} is not mapped; it is {distance} {side} of "
            f"{tensor.name!r} {list(tensor.shape)} {tensor.dtype} "
            f"({format_range(tensor.va, tensor.size_bytes)}); {_listed(others)}; "
            f"{wrapped.cure if wrapped else 'mask the lanes outside or check the strides'}"
        )

    def _where(self, pe: int, line: SourceLine | None) -> str:
        who = str(self.pes[pe]) if pe >= 0 else "host"
        return f"{who}: {line}" if line else who

    def _require_allowed(
        self,
        pe: int,
        shards: ShardMap,
        access: Access,
        address: int,
        line: SourceLine | None,
        *,
        is_write: bool,
    ) -> None:
        """PageFaultError if the launch under way on the PE has no right to ``access`` at ``address``.

        The tensor there was freed when the launch was made; or the access is a store to a tensor of several copies, and
        none of it is the PE's own.
        """
        launch = self._launches.get(pe)
        if launch is None or address >= shards.end:
            return
        if shards.life.ended_before(launch):
            raise _freed(self._where(pe, line), shards, address)
        if is_write and shards.n_copies > 1 and not (shards.life in launch.own and shards.is_own(access, pe)):
            raise PageFaultError(
                f"{self._where(pe, line)}: a store to {shards.name!r} {list(shards.shape)} {shards.dtype}, made at "
                f"{shards.life.made} with {shards.n_copies} copies, would change one of them; place it with one copy, "
                "as in policy=DPPolicy(sip='row_wise')"
            )

    def _first_unmapped(self, starts: Ints, run_bytes: int) -> int:
        for start in starts.tolist():
            tensor = self._below(start)
            if tensor is None or start >= tensor.end:
                return int(start)
            if start + run_bytes > tensor.end:
                return tensor.end
        raise AssertionError("a fault without an unmapped byte")


def _distance(tensor: ShardMap, address: int) -> int:
    return max(tensor.va - address, address - tensor.end, 0)


def _freed(where: str, shards: ShardMap, address: int) -> PageFaultError:
    """The error about an address in a tensor that is freed."""
    return PageFaultError(
        f"{where}: address {address:#_x} is in {shards.name!r} {list(shards.shape)} {shards.dtype} "
        f"({format_range(shards.va, shards.size_bytes)}), made at {shards.life.made}, which was freed "
        f"{shards.life.freed}; free it after the last launch that uses it, or make a new tensor"
    )


def _listed(tensors: Sequence[ShardMap]) -> str:
    """What a fault says of the tensors that are further away."""
    named = [f"{tensor.name!r} {format_range(tensor.va, tensor.size_bytes)}" for tensor in tensors[:N_NAMED]]
    if len(tensors) > N_NAMED:
        named.append(f"{len(tensors) - N_NAMED} more")
    return f"also mapped here: {', '.join(named)}" if named else "nothing else is mapped here"


class PageTables:
    """One table for each SIP of a machine."""

    def __init__(self, pes: Sequence[PeId], page_bytes: int) -> None:
        self.pes = pes
        self._launches: dict[int, LaunchId] = {}
        self.by_sip = [PageTable(pes, page_bytes, self._launches) for _ in range(pes[-1][0] + 1)]

    def of(self, pe: int) -> PageTable:
        """The table of the SIP of PE number ``pe``."""
        return self.by_sip[self.pes[pe][0]]

    def begin(self, launch: LaunchId, pes: Iterable[int]) -> None:
        """What the PEs of these numbers access from now on is asked for by ``launch``."""
        self._launches.update(dict.fromkeys(pes, launch))

    def map(self, mapping: TensorMapping) -> None:
        """Make a tensor's pages valid everywhere, at once."""
        for table in self.by_sip:
            table.map(mapping)

    def unmap(self, mappings: Iterable[TensorMapping]) -> None:
        """Make the pages of tensors invalid everywhere, at once."""
        for mapping in mappings:
            for table in self.by_sip:
                table.unmap(mapping)

    def pieces(self, pe: int, access: Access, line: SourceLine | None, *, is_write: bool = False) -> Pieces:
        """Where the bytes of ``access`` are for PE number ``pe``; PageFaultError as :meth:`PageTable.translate`."""
        pages = self.of(pe).translate(pe, access, line, is_write=is_write)
        if len(pages) == 1:
            return pages[0].pieces
        return tuple(piece for page in pages for piece in page.pieces)
