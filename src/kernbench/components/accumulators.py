"""Which results of PE_GEMM are still in its accumulators. Decided in program order, when a command is planned."""

from __future__ import annotations

from typing import NamedTuple


class _Resident:
    """A result in the accumulators. ``readers`` are the commands that read it there, other than PE_GEMM's."""

    __slots__ = ("is_stored", "maker", "readers", "size_bytes", "tcm_bytes")

    def __init__(self, size_bytes: int, tcm_bytes: int, maker: int) -> None:
        self.size_bytes = size_bytes
        self.tcm_bytes = tcm_bytes
        self.maker = maker
        self.readers: list[int] = []
        self.is_stored = False


class Eviction(NamedTuple):
    """What has to happen before a result may use its room.

    ``stores`` are the bytes of each result that has to go to TCM first; ``behind`` the commands that must be
    complete.
    """

    stores: tuple[int, ...]
    behind: tuple[int, ...]


NOTHING_FIRST = Eviction((), ())


class AccumulatorFile:
    """``capacity_bytes`` of accumulators, handed out to results by version; the least recently used leaves first.

    Commands are named by number. Room that was left carries the commands that may still be using it; it is reused
    oldest first, after room that was never used. Results, room that was left and unused room add up to the capacity.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._unused_bytes = capacity_bytes
        self._residents: dict[int, _Resident] = {}  # least recently used first
        self._left: list[tuple[int, tuple[int, ...]]] = []
        self._stored_by: dict[int, int] = {}

    def __contains__(self, version: object) -> bool:
        return version in self._residents

    @property
    def used_bytes(self) -> int:
        """Bytes of all results in the file."""
        return sum(resident.size_bytes for resident in self._residents.values())

    def read(self, version: int, reader: int) -> bool:
        """Whether command ``reader`` finds ``version`` here; if so, it keeps its room until that is complete."""
        resident = self._residents.pop(version, None)
        if resident is None:
            return False
        self._residents[version] = resident
        resident.readers.append(reader)
        return True

    def to_tcm(self, version: int, reader: int) -> Eviction:
        """What has to leave, or to be stored, so that command ``reader`` finds ``version`` in TCM."""
        resident = self._residents.get(version)
        if resident is None or resident.is_stored:
            storer = self._stored_by.get(version, reader)
            return NOTHING_FIRST if storer == reader else Eviction((), (storer,))
        resident.is_stored = True
        resident.readers.append(reader)
        self._stored_by[version] = reader
        return Eviction((resident.tcm_bytes,), (resident.maker,))

    def place(self, version: int, size_bytes: int, tcm_bytes: int, maker: int) -> Eviction:
        """Give ``size_bytes`` to the result ``version`` of command ``maker``."""
        room = self._make_room(size_bytes, maker)
        self._residents[version] = _Resident(size_bytes, tcm_bytes, maker)
        return room

    def accumulate(self, acc: int, version: int, maker: int, *, lives_on: bool) -> Eviction:
        """Let command ``maker`` add onto ``acc`` in its place: that is ``version`` then.

        An accumulator that lives on is stored first.
        """
        room = self.to_tcm(acc, maker) if lives_on else NOTHING_FIRST
        old = self._residents.pop(acc)
        self._residents[version] = _Resident(old.size_bytes, old.tcm_bytes, maker)
        readers = tuple(reader for reader in old.readers if reader != maker)
        return Eviction(room.stores, room.behind + readers)

    def use_all(self, maker: int) -> Eviction:
        """Give the whole file to the passing blocks of command ``maker``."""
        room = self._make_room(self.capacity_bytes, maker)
        self._left = [(self.capacity_bytes, (maker,))]
        return room

    def drop(self, version: int) -> None:
        """``version`` is dead."""
        self._stored_by.pop(version, None)
        resident = self._residents.pop(version, None)
        if resident is not None:
            self._leave(resident)

    def _make_room(self, size_bytes: int, maker: int) -> Eviction:
        stores: list[int] = []
        behind: list[int] = []
        free_bytes = self._unused_bytes
        while free_bytes < size_bytes:
            if not self._left:
                stores += self._evict(maker)
            left_bytes, users = self._left.pop(0)
            free_bytes += left_bytes
            behind += users
        self._unused_bytes = free_bytes - size_bytes
        return Eviction(tuple(stores), tuple(behind))

    def _evict(self, evictor: int) -> tuple[int, ...]:
        version, resident = next(iter(self._residents.items()))
        del self._residents[version]
        self._leave(resident)
        if resident.is_stored:
            return ()
        self._stored_by[version] = evictor
        return (resident.tcm_bytes,)

    def _leave(self, resident: _Resident) -> None:
        self._left.append((resident.size_bytes, (resident.maker, *resident.readers)))
