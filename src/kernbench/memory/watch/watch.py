"""The watch of one machine: told of each access as it takes effect, it tells of what is wrong."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kernbench.errors import RaceError, RaceWarning, UninitialisedError, UninitialisedWarning, UsageError
from kernbench.memory.mapping import TensorMapping
from kernbench.memory.page_table import PageTable
from kernbench.memory.shards import ShardMap
from kernbench.memory.store import Bytes
from kernbench.memory.watch.findings import EarlyUse, ElementRange, Race, RacingAccess, UnwrittenRead
from kernbench.memory.watch.lanes import Ints, Lanes, lanes_of
from kernbench.memory.watch.order import Epoch, Thread, WatchedLaunch
from kernbench.memory.watch.races import Accesses, Act
from kernbench.memory.watch.written import Written
from kernbench.messages.access import Access
from kernbench.messages.commands import Command, DmaReadCmd
from kernbench.messages.ipcq import QueueEnd
from kernbench.messages.source_line import SourceLine
from kernbench.registry import did_you_mean
from kernbench.wording import quoted

RACES = ("warn", "error", "off")
UNINITIALISED = ("warn", "error", "ignore")
ALL = slice(None)


# What of a tensor an access touches: all of it, or the lanes at the places behind them among those of a dense one.
_Touched = tuple[ShardMap, Access | Lanes, Ints | slice]


class Watch:
    """Finds races and reads of unwritten bytes where values are computed, whatever the machine does with time.

    ``races`` is "warn", "error" or "off", ``uninitialised`` "warn", "error" or "ignore"; what is found is in
    ``found_races``, ``found_unwritten`` and ``found_early`` until :meth:`begin_window`. A warning is given once for
    each tensor and pair of lines (or line); an error is raised by :meth:`settle`, when no launch is under way any more.
    """

    def __init__(self, *, races: str = "warn", uninitialised: str = "warn") -> None:
        require_known("races", races, RACES)
        require_known("uninitialised", uninitialised, UNINITIALISED)
        self.races = races
        self.uninitialised = uninitialised
        self.found_races: dict[tuple[object, ...], Race] = {}
        self.found_unwritten: dict[tuple[object, ...], UnwrittenRead] = {}
        self.found_early: dict[tuple[object, ...], EarlyUse] = {}
        self._numbers: dict[tuple[object, ...], Ints] = {}  # of the elements of each race
        self._new: dict[tuple[object, ...], None] = {}  # found since the last look, in order
        self._told: set[tuple[object, ...]] = set()
        self._written: dict[ShardMap, Written] = {}
        self._accesses: dict[
            ShardMap | tuple[ShardMap, int], Accesses
        ] = {}  # of each copy, where there are several
        self._n_threads = 0
        self._messages: dict[int, Epoch] = {}
        self._mail: dict[QueueEnd, deque[Epoch | None]] = {}

    # -- programs and messages ----------------------------------------------------------------------------

    def begin(self, name: str, races: str | None) -> WatchedLaunch | None:
        """A launch of kernel ``name`` begins, watched as ``races`` says (None: as everything); None if it is not."""
        level = self.races if races is None else require_known("races", races, RACES)
        return None if level == "off" else WatchedLaunch(name, level)

    def thread(self, launch: WatchedLaunch, ids: tuple[int, int, int], pe_name: str) -> Thread:
        """A program of ``launch``."""
        self._n_threads += 1
        return Thread(self._n_threads - 1, launch, ids, pe_name, self._messages)

    def sent(self, to: QueueEnd, command: Command) -> None:
        """A message leaves for ``to``."""
        epoch = command.epoch
        if epoch is not None:
            epoch.known()  # what it was behind when it left
        mail = self._mail.get(to)
        if mail is None:
            mail = self._mail[to] = deque()
        mail.append(epoch)

    def received(self, at: QueueEnd, version: int) -> None:
        """The oldest message for ``at`` becomes the value ``version``."""
        mail = self._mail[at]
        message = mail.popleft()
        if not mail:
            del self._mail[at]
        if message is not None:
            self._messages[version] = message

    # -- accesses -----------------------------------------------------------------------------------------

    def read(self, table: PageTable, pe: int, access: Access, command: Command, time_ps: int) -> None:
        """A command of PE number ``pe`` has loaded what ``access`` says."""
        is_watched = command.epoch is not None and not (type(command) is DmaReadCmd and command.is_volatile)
        for shards, where, _ in _touched(table, access):
            written = self._written.get(shards)
            if written is not None and not written.is_whole:
                self._require_written(written, shards, where, command.line, str(table.pes[pe]))
            if is_watched:
                self._log(shards, pe).note(where, command.epoch, command.line, time_ps)

    def wrote(
        self,
        table: PageTable,
        pe: int,
        access: Access,
        command: Command,
        time_ps: int,
        old: Bytes | None,
        new: Bytes,
    ) -> None:
        """A command of PE number ``pe`` has made the bytes of ``access``, ``old`` in memory order, ``new``.

        ``old`` is None where nobody looks for races.
        """
        differ = None if old is None else _elements_differ(old, new, access.itemsize)
        for shards, where, at in _touched(table, access):
            written = self._written.get(shards)
            if written is not None and not written.is_whole:
                written.add(lanes_of(where, shards.va))
            if differ is not None:
                mine = differ[at]
                n_changed = np.count_nonzero(mine)
                changed = n_changed == mine.size or (mine if n_changed else False)
                log = self._log(shards, pe)
                log.note(where, command.epoch, command.line, time_ps, is_store=True, changed=changed)

    def host_wrote(self, shards: ShardMap, access: Access) -> None:
        """The host has written what ``access`` says of a tensor."""
        written = self._written.get(shards)
        if written is not None and not written.is_whole:
            written.add(lanes_of(access, shards.va))

    def host_reads(self, shards: ShardMap, access: Access, line: SourceLine) -> None:
        """The host reads, at ``line`` of the user's program, what ``access`` says of a tensor."""
        written = self._written.get(shards)
        if written is not None and not written.is_whole:
            self._require_written(written, shards, access, line, "")

    def used_early(self, use: EarlyUse) -> None:
        """A rank has used a tensor whose asynchronous collective it has not waited for.

        Raises:
            RaceError: races are errors.
        """
        if self.races == "off":
            return
        key = (use.tensor, use.line, use.call_line)
        self.found_early.setdefault(key, use)
        if self.races == "error":
            raise RaceError(str(use))
        self._warn(key, use, RaceWarning)

    # -- tensors ------------------------------------------------------------------------------------------

    def mapped(self, shards: ShardMap) -> None:
        """A tensor begins; nobody has written it."""
        if self.uninitialised != "ignore":
            self._written[shards] = Written(shards.size_bytes, shards.dtype.size_bytes)

    def unmapped(self, mappings: Iterable[TensorMapping]) -> None:
        """Tensors end, and what is known of them: their addresses may be another's."""
        for mapping in mappings:
            self._written.pop(mapping.shards, None)

    # -- what was found -----------------------------------------------------------------------------------

    def begin_window(self) -> None:
        """Forget what was found before now, but for what was told already."""
        self.found_races.clear()
        self._numbers.clear()
        self.found_unwritten.clear()
        self.found_early.clear()

    def settle(self) -> None:
        """No launch is under way any more: look at what they did, tell of it, and forget it.

        Raises:
            RaceError: there is a race of a launch whose races are errors.
        """
        errors = [race for race in self._look() if race.level == "error"]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise RaceError(f"{errors[0].line}: {errors[0]}{more}")

    def give_up(self) -> None:
        """What was under way failed: look at what it did, and tell of it beside the failure."""
        try:
            self._look()
        except RaceWarning as warning:  # where warnings are errors: the failure was first
            sys.stderr.write(f"kernbench: {warning}\n")

    def _look(self) -> list[Race]:
        """What is new of what the launches under way did, warned of; then it is forgotten."""
        for log in self._accesses.values():
            log.finish()
        self._accesses.clear()
        self._messages.clear()
        self._mail.clear()
        self._n_threads = 0
        keys, self._new = list(self._new), {}
        new = [self.found_races[key] for key in keys]
        for key, race in zip(keys, new, strict=True):
            if race.level == "warn":
                self._warn(key, race, RaceWarning)
        return new

    def _warn(
        self, key: tuple[object, ...], found: Race | UnwrittenRead | EarlyUse, category: type[Warning]
    ) -> None:
        """Warn of what was found at its line, if it was not told already."""
        if key not in self._told:
            self._told.add(key)
            warnings.warn_explicit(str(found), category, found.line.file, found.line.line)

    def _log(self, shards: ShardMap, pe: int) -> Accesses:
        key = (shards, shards.view_of(pe)) if shards.n_copies > 1 else shards
        log = self._accesses.get(key)
        if log is None:

            def found(earlier: Act, later: Act, cells: Ints, cell_bytes: int) -> None:
                self._found(shards, earlier, later, cells, cell_bytes)

            log = self._accesses[key] = Accesses(shards.va, shards.size_bytes, shards.dtype.size_bytes, found)
        return log

    def _found(self, shards: ShardMap, earlier: Act, later: Act, cells: Ints, cell_bytes: int) -> None:
        numbers = _elements(cells, cell_bytes, shards)
        is_error = "error" in (earlier.thread.launch.level, later.thread.launch.level)
        race = Race(
            tensor=shards.name,
            shape=shards.shape,
            dtype=str(shards.dtype),
            elements=ElementRange.of(numbers),
            first=_side(earlier),
            second=_side(later),
            n_pairs=1,
            level="error" if is_error else "warn",
        )
        key = (shards.name, shards.shape, frozenset([earlier.line, later.line]))
        known = self.found_races.get(key)
        if known is not None:
            numbers = np.union1d(numbers, self._numbers[key])
            race = replace(
                known,
                elements=ElementRange.of(numbers),
                n_pairs=known.n_pairs + 1,
                level="error" if is_error else known.level,
            )
        self.found_races[key], self._numbers[key] = race, numbers
        self._new[key] = None

    def _require_written(
        self, written: Written, shards: ShardMap, where: Access | Lanes, line: SourceLine, pe: str
    ) -> None:
        cells, cell_bytes = written.missing(lanes_of(where, shards.va))
        if not len(cells):
            return
        key = (shards.name, shards.shape, line)
        if key in self.found_unwritten:
            return
        found = self.found_unwritten[key] = UnwrittenRead(
            tensor=shards.name,
            shape=shards.shape,
            dtype=str(shards.dtype),
            elements=ElementRange.of(_elements(cells, cell_bytes, shards)),
            line=line,
            pe=pe,
            is_float=shards.dtype.is_float,
        )
        if self.uninitialised == "error":
            raise UninitialisedError(f"{line}: {found}")
        self._warn(key, found, UninitialisedWarning)


def watch_of(races: str, uninitialised: str) -> Watch | None:
    """A watch; None where there is nothing to look for.

    Raises:
        UsageError: a setting is unknown.
    """
    watch = Watch(races=races, uninitialised=uninitialised)
    return None if (races, uninitialised) == ("off", "ignore") else watch


def require_known(what: str, value: str, known: tuple[str, ...]) -> str:
    """``value``, if it is one of ``known``.

    Raises:
        UsageError: it is not.
    """
    if value not in known:
        raise UsageError(f"{what}={quoted(value)} is unknown; {did_you_mean(value, known)}")
    return value


def _touched(table: PageTable, access: Access) -> Sequence[_Touched]:
    """The tensors that an access touches, all mapped; most often one."""
    starts = access.addresses
    if starts is None:
        # Where strides fall, ``va`` is not the lowest address, but in the tensor all the same.
        return () if 0 in access.shape else ((_tensor_at(table, access.va), access, ALL),)
    found: list[_Touched] = []
    left = np.arange(len(starts))
    while len(left):
        shards = _tensor_at(table, int(starts[left[0]]))
        is_here = (starts[left] >= shards.va) & (starts[left] < shards.end)
        here, left = left[is_here], left[~is_here]
        found.append((shards, Lanes(0, access.itemsize, (), starts[here] - shards.va), here))
    return found


def _elements_differ(old: Bytes, new: Bytes, itemsize: int) -> npt.NDArray[np.bool_]:
    """Which elements of ``itemsize`` bytes are not the same bits."""
    bits = f"u{itemsize}"
    differ: npt.NDArray[np.bool_] = old.view(bits) != new.view(bits)
    return differ


def _tensor_at(table: PageTable, va: int) -> ShardMap:
    mapping = table.mapping_below(va)
    assert mapping is not None
    return mapping.shards


def _elements(cells: Ints, cell_bytes: int, shards: ShardMap) -> Ints:
    """The flat numbers of the elements that these cells are part of, rising."""
    return np.unique(cells * cell_bytes // shards.dtype.size_bytes)


def _side(act: Act) -> RacingAccess:
    thread = act.thread
    return RacingAccess(
        verb="tl.store" if act.is_store else "tl.load",
        line=act.line,
        kernel=thread.launch.name,
        program=thread.ids,
        pe=thread.pe_name,
        time_ps=act.time_ps,
    )
