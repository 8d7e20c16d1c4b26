"""What programs did to one tensor since the last moment at which no launch was under way, and which of it raced.

Accesses are noted as they take effect and looked at later: never, if all were reads or of one program. What is looked
at goes into three rows of numbers, one for each cell (a few bytes) of the tensor: the *writer*, the last store that
changed it; its *readers*, who has loaded it since, or stored the bits that were there already; and the readers
*before*, when that store came. An act is forgotten only for one that comes after it, so that no race is lost, and state
is bounded by the bytes touched (the argument of Flanagan and Freund, FastTrack, 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kernbench.memory.watch.lanes import CellRows, Cells, Ints, Lanes, lanes_of
from kernbench.memory.watch.order import Epoch, Thread
from kernbench.messages.access import Access
from kernbench.messages.source_line import SourceLine

MOST_NOTED = 4096  # accesses kept as they are before they go into the rows
FEW_ACTS = 1024  # and chains of readers: beyond twice what is named, those that no cell names are dropped
MOST_FOUND = 4096  # racing pairs of a tensor; beyond, only the latest readers of a cell are looked at
LATEST = 64  # readers of a chain
NOBODY = 0

# Elements that a store changed: all, none, or as a mask in memory order.
Changed = bool | npt.NDArray[np.bool_]


class Act(NamedTuple):
    """What a program did at a line in an epoch, however often: ``time_ps`` is the first time."""

    thread: Thread
    n_sends: int
    line: SourceLine
    is_store: bool
    time_ps: int


# An access that is not looked at yet: where and when it was, at which line and time, whether it stored, and what.
_Noted = tuple[Access | Lanes, Epoch, SourceLine, int, bool, Changed]


class _Looked(NamedTuple):
    """An access that is being looked at."""

    lanes: Lanes
    epoch: Epoch
    act: int


Found = Callable[[Act, Act, Ints, int], None]


class Accesses:
    """The accesses to the tensor at ``va``; ``found(earlier, later, cells, cell_bytes)`` is told of each race."""

    def __init__(self, va: int, size_bytes: int, cell_bytes: int, found: Found) -> None:
        self._va = va
        self._size_bytes = size_bytes
        self._cell_bytes = cell_bytes
        self._found = found
        self._n_found = 0
        self._noted: list[_Noted] = []
        self._mask_bytes = 0
        self._first: Thread | None = None
        self._is_shared = False
        self._is_changed = False
        self._acts: list[Act] = [Act(None, 0, SourceLine("", 0), False, 0)]  # type: ignore[arg-type]  # nobody's
        self._act_numbers: dict[tuple[Thread, int, SourceLine, bool], int] = {}
        self._chains: list[tuple[int, int]] = [(NOBODY, NOBODY)]  # the chain before, and one act more
        self._chain_numbers: dict[tuple[int, int], int] = {}
        self._most_acts = FEW_ACTS  # and chains
        self._rows: CellRows | None = None

    def note(
        self,
        where: Access | Lanes,
        epoch: Epoch,
        line: SourceLine,
        time_ps: int,
        *,
        is_store: bool = False,
        changed: Changed = False,
    ) -> None:
        """Note an access that takes effect now; ``where`` are lanes if it is but a part of one."""
        thread = epoch.thread
        if thread is not self._first:
            self._is_shared = self._first is not None
            self._first = self._first or thread
        if changed is not False:
            self._is_changed = True
            if changed is not True:
                self._mask_bytes += changed.nbytes
        # A plain tuple, and nothing looked up: most of what is noted is never looked at.
        self._noted.append((where, epoch, line, time_ps, is_store, changed))
        if len(self._noted) >= MOST_NOTED or self._mask_bytes > max(self._size_bytes, MOST_NOTED):
            self._make_room()

    def finish(self) -> None:
        """Look at all that is noted: from now on nothing is under way that could race with it."""
        if self._is_shared and self._is_changed and (self._rows is not None or self._may_meet()):
            self._look()

    def _may_meet(self) -> bool:
        """Whether two programs were in one range of addresses; most often each has one of its own."""
        ends: dict[Thread, tuple[int, int]] = {}
        for where, epoch, *_ in self._noted:
            low, high = where.bounds()
            if isinstance(where, Lanes):
                low, high = low + self._va, high + self._va
            known = ends.get(epoch.thread)
            ends[epoch.thread] = (low, high) if known is None else (min(low, known[0]), max(high, known[1]))
        ranges = sorted(ends.values())
        return any(next_low < high for (_, high), (next_low, _) in pairwise(ranges))

    def _make_room(self) -> None:
        """Forget what is noted twice; if that is too little, look at all."""
        if not (self._is_shared and self._is_changed):
            self._noted = list({_sameness(*noted): noted for noted in self._noted}.values())
            self._mask_bytes = 0
        if len(self._noted) > MOST_NOTED // 2 or self._mask_bytes:
            self._look()
        if max(len(self._acts), len(self._chains)) > self._most_acts:
            self._forget_unnamed()

    def _look(self) -> None:
        noted, self._noted, self._mask_bytes = self._noted, [], 0
        if self._rows is None:
            self._rows = CellRows(self._size_bytes, self._cell_bytes, 3, np.int32)
        for where, epoch, line, time_ps, is_store, changed in noted:
            act = self._numbered(Act(epoch.thread, epoch.n_sends, line, is_store, time_ps))
            lanes = lanes_of(where, self._va)
            (writer, at), (readers, _), (before, _) = self._rows.at(lanes)
            one = _Looked(lanes, epoch, act)
            if not is_store:
                self._compare(one, writer[at], _alone)
                readers[at] = self._with_reader(readers[at], act)
            elif isinstance(changed, bool):
                store = self._store if changed else self._touch
                store(one, at, writer, readers, before, None)
            else:
                here = writer[at]
                which = np.repeat(changed, here.size // changed.size).reshape(here.shape)
                self._store(one, at, writer, readers, before, which)
                self._touch(one, at, writer, readers, before, ~which)

    def _numbered(self, act: Act) -> int:
        """The number of ``act``, whenever it was done first."""
        key = act[:-1]
        number = self._act_numbers.get(key)
        if number is None:
            number = self._act_numbers[key] = len(self._acts)
            self._acts.append(act)
        return number

    def _store(
        self, one: _Looked, at: Any, writer: Cells, readers: Cells, before: Cells, which: Cells | None
    ) -> None:
        """Enter a store of other bits than were there, in all cells of ``at`` or in ``which`` of them."""
        readers_now = readers[at]
        self._compare(one, _only(writer[at], which), _alone)
        self._compare(one, _only(readers_now, which), self._chain)
        self._compare(one, _only(before[at], which), self._chain)
        moves = _only(readers_now, which) != NOBODY
        if moves.any():
            before[at] = np.where(moves, readers_now, before[at])
            readers[at] = np.where(moves, NOBODY, readers_now)
        writer[at] = one.act if which is None else np.where(which, one.act, writer[at])

    def _touch(
        self, one: _Looked, at: Any, writer: Cells, readers: Cells, before: Cells, which: Cells | None
    ) -> None:
        """Enter a store of the bits that are there: no race with who stored them, but with who met others before."""
        self._compare(one, _only(before[at], which), self._chain)
        readers_now = readers[at]
        readers_then = self._with_reader(readers_now, one.act)
        readers[at] = readers_then if which is None else np.where(which, readers_then, readers_now)

    def _compare(self, one: _Looked, numbers: Cells, acts_of: Callable[[int], Iterator[int]]) -> None:
        """Tell of the acts that ``numbers``, of the cells of an access, stand for and that nothing orders before it."""
        for number in _different(numbers):
            if number == NOBODY:
                continue
            for act in acts_of(number):
                earlier = self._acts[act]
                if not one.epoch.is_behind(earlier.thread, earlier.n_sends):
                    self._n_found += 1
                    assert self._rows is not None
                    cell_bytes = self._rows.cell_bytes
                    cells = one.lanes.numbers(cell_bytes).reshape(numbers.shape)[numbers == number]
                    self._found(earlier, self._acts[one.act], cells, cell_bytes)

    # -- chains of readers ----------------------------------------------------------------------------------

    def _chain(self, chain: int) -> Iterator[int]:
        left = LATEST if self._n_found > MOST_FOUND else len(self._chains)
        while chain != NOBODY and left:
            chain, act = self._chains[chain]
            left -= 1
            yield act

    def _with_reader(self, chains: Cells, act: int) -> Cells:
        """``chains``, one for each cell, with ``act`` in each."""
        different = _different(chains)
        if len(different) == 1:
            return np.full(chains.shape, self._chain_with(different[0], act), np.int32)
        found, which = np.unique(chains, return_inverse=True)
        grown = np.array([self._chain_with(int(chain), act) for chain in found], np.int32)
        return grown[which].reshape(chains.shape)

    def _chain_with(self, chain: int, act: int) -> int:
        """``chain`` and ``act``, without an older act of the same program at the same line among the latest."""
        new, at = self._acts[act], chain
        newer: list[int] = []
        for _ in range(LATEST):
            if at == NOBODY:
                break
            at, reader = self._chains[at]
            if reader == act:
                return chain
            old = self._acts[reader]
            if (old.thread, old.line, old.is_store) == (new.thread, new.line, new.is_store):
                for other in reversed(newer):
                    at = self._longer(at, other)
                return self._longer(at, act)
            newer.append(reader)
        return self._longer(chain, act)

    def _longer(self, chain: int, act: int) -> int:
        number = self._chain_numbers.get((chain, act))
        if number is None:
            number = self._chain_numbers[chain, act] = len(self._chains)
            self._chains.append((chain, act))
        return number

    def _forget_unnamed(self) -> None:
        """Number anew the acts and chains that a cell or a noted access names, and forget the others."""
        old_acts, old_chains = self._acts, self._chains
        self._acts, self._act_numbers = old_acts[:1], {}
        self._chains, self._chain_numbers = old_chains[:1], {}

        def renamed(act: int) -> int:
            return self._numbered(old_acts[act])

        def rechained(chain: int) -> int:
            acts: list[int] = []
            while chain != NOBODY:
                chain, act = old_chains[chain]
                acts.append(act)
            for act in reversed(acts):
                chain = self._longer(chain, renamed(act))
            return chain

        if self._rows is not None:
            rules = (renamed, rechained, rechained)
            self._rows.rows = [_mapped(row, rule) for row, rule in zip(self._rows.rows, rules, strict=True)]
        self._most_acts = max(FEW_ACTS, 2 * max(len(self._acts), len(self._chains)))


def _sameness(
    where: Access | Lanes, epoch: Epoch, line: SourceLine, _time_ps: int, is_store: bool, changed: Changed
) -> tuple[Any, ...]:
    """What two accesses of a tensor have in common of which one is enough, as long as nothing is compared."""
    if isinstance(where, Lanes) or where.addresses is not None or not isinstance(changed, bool):
        return (id(where),)
    return (where.va, *where.key, epoch.thread, epoch.n_sends, line, is_store, changed)


def _alone(act: int) -> Iterator[int]:
    yield act


def _only(numbers: Cells, which: Cells | None) -> Cells:
    """``numbers``, and nobody where ``which`` is false."""
    return numbers if which is None else np.where(which, numbers, NOBODY)


def _different(numbers: Cells) -> list[int]:
    """The numbers there are, each once; most often it is one."""
    if not numbers.size:
        return []
    first = numbers.flat[0]
    if (numbers == first).all():
        return [int(first)]
    return [int(number) for number in np.unique(numbers)]


def _mapped(row: Cells, rule: Callable[[int], int]) -> Cells:
    """``row`` with each of its numbers but nobody's put through ``rule``."""
    found, which = np.unique(row, return_inverse=True)
    return np.array([rule(int(n)) if n != NOBODY else NOBODY for n in found], np.int32)[which]
