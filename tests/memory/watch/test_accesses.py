"""Accesses to one tensor: what is found is what a comparison of every pair, byte by byte, finds (ADR-0037)."""

import gc
import random
import sys
from typing import NamedTuple

import numpy as np
import pytest

from kernbench.memory.watch import races
from kernbench.memory.watch.lanes import Lanes
from kernbench.memory.watch.order import Epoch, Thread, WatchedLaunch
from kernbench.memory.watch.races import Accesses
from kernbench.messages.access import Access
from kernbench.messages.source_line import SourceLine

SIZE, ITEM = 512, 4
VA = 1 << 20


class Done(NamedTuple):
    """An access: of which epoch, which bytes, and the memory behind it."""

    epoch: Epoch
    n_over: tuple[int, ...]  # epochs of each thread that are before it
    touched: set[int]
    is_store: bool
    memory: np.ndarray
    line: int

    def is_behind(self, other):
        thread = other.epoch.thread
        knows = self.n_over[thread.number] > other.epoch.n_sends
        return thread is self.epoch.thread or knows


class History:
    """Random accesses of threads, with the memory that they make, and an order that messages might have made."""

    def __init__(self, seed, n_threads=4):
        self.rng = random.Random(seed)
        self.threads = [
            Thread(i, WatchedLaunch("k", "warn"), (i, 0, 0), f"pe{i}", {}) for i in range(n_threads)
        ]
        self.epochs = [thread.epoch for thread in self.threads]
        self.n_over = [[0] * n_threads for _ in self.threads]  # a vector clock for each
        self.memory = np.zeros(SIZE, np.uint8)
        self.done = []
        self.found = set()
        self.accesses = Accesses(VA, SIZE, ITEM, self.note_found)
        for number in range(self.rng.choice((6, 10, 30))):
            if self.rng.random() < 0.4:
                self.send()
            else:
                self.access(number)
        self.accesses.finish()

    def note_found(self, earlier, later, cells, cell_bytes):
        self.found.add((earlier.line.line, later.line.line))
        assert len(cells)

    def send(self):
        """One thread tells another all that it knows."""
        source, target = self.rng.sample(range(len(self.threads)), 2)
        message = self.epochs[source]
        message.known()
        self.n_over[source][source] += 1
        self.n_over[target] = [*map(max, self.n_over[target], self.n_over[source])]
        before = self.epochs[source]
        self.epochs[source] = Epoch(before.thread, before.n_sends + 1, before, ())
        version = object()
        self.threads[target].messages[version] = message
        before = self.epochs[target]
        self.epochs[target] = Epoch(before.thread, before.n_sends, before, (version,))

    def access(self, number):
        rng, epoch = self.rng, self.rng.choice(self.epochs)
        n_over = tuple(self.n_over[epoch.thread.number])
        where, touched = self.lanes()
        line, is_store = SourceLine("k.py", number), rng.random() < 0.5
        met = self.memory[touched].copy()
        changed = False
        if is_store:
            values = np.repeat(
                np.array([rng.choice((0, 0, 1, 2)) for _ in range(len(touched) // ITEM)]), ITEM
            )
            self.memory[touched] = values
            differ = (met != values).reshape(-1, ITEM).any(axis=1)
            changed = bool(differ.all()) or (differ if differ.any() else False)
        self.accesses.note(where, epoch, line, number, is_store=is_store, changed=changed)
        self.done.append(Done(epoch, n_over, set(touched.tolist()), is_store, self.memory.copy(), number))

    def lanes(self):
        """A range, a box with a pitch, or lanes anywhere: as the tensor's lanes or as an access, and its bytes."""
        rng = self.rng
        kind = rng.choice(("range", "box", "dense"))
        if kind == "dense":
            starts = np.array(sorted(rng.sample(range(SIZE // ITEM), rng.randint(1, 6)))) * ITEM
            return Lanes(0, ITEM, (), starts), (starts[:, None] + np.arange(ITEM)).reshape(-1)
        run = rng.randint(1, 3)
        rows, pitch = (1, run) if kind == "range" else (rng.randint(2, 4), rng.randint(run, 6))
        start = rng.randrange(SIZE // ITEM - (rows - 1) * pitch - run + 1)
        elements = start + (np.arange(rows) * pitch)[:, None] + np.arange(run)
        access = Access(
            va=VA + start * ITEM,
            itemsize=ITEM,
            block_shape=(rows, run),
            shape=(rows, run),
            strides=(pitch * ITEM, ITEM),
            origin=(0, 0),
        )
        return access, (elements.reshape(-1, 1) * ITEM + np.arange(ITEM)).reshape(-1)

    def racing(self):
        """Each pair of lines that nothing orders and whose order shows in what is stored or loaded."""
        for j, later in enumerate(self.done):
            for i, earlier in enumerate(self.done[:j]):
                common = later.touched & earlier.touched
                if common and not later.is_behind(earlier) and self.shows(i, j, common):
                    yield earlier.line, later.line

    def meeting(self):
        """Each pair of lines that nothing orders, of which one stores what both touch."""
        for j, later in enumerate(self.done):
            for earlier in self.done[:j]:
                is_store = later.is_store or earlier.is_store
                if is_store and later.touched & earlier.touched and not later.is_behind(earlier):
                    yield earlier.line, later.line

    def shows(self, i, j, common):
        """A load meets what was changed; a store changes something, or stores other bits than the earlier one met."""
        if not self.done[j].is_store:
            return bool(self.changed(i) & common)
        differ = self.done[i].memory != self.done[j].memory
        return bool(self.changed(j) & common) or any(differ[byte] for byte in common)

    def changed(self, number):
        """The bytes of the elements that access ``number`` changed."""
        before = self.done[number - 1].memory if number else np.zeros(SIZE, np.uint8)
        differ = (before != self.done[number].memory).reshape(-1, ITEM).any(axis=1)
        return set(np.flatnonzero(np.repeat(differ, ITEM)).tolist())


@pytest.mark.parametrize("most_noted", [4096, 3])
@pytest.mark.parametrize("part", range(4))
def test_whatever_races_is_found_and_nothing_else_is(part, most_noted, monkeypatch):
    """Which pair is named may differ: of several accesses that race with one, the latest stands for those before it."""
    monkeypatch.setattr(races, "MOST_NOTED", most_noted)
    monkeypatch.setattr(races, "FEW_ACTS", 1024 if most_noted > 3 else 6)
    n_racing = 0
    for seed in range(part, 240, 4):
        history = History(seed)
        racing = set(history.racing())
        assert bool(history.found) == bool(racing), f"seed {seed}"
        assert history.found <= set(history.meeting()), f"seed {seed}"
        n_racing += bool(racing)
    assert 10 < n_racing < 50


def test_memory_does_not_grow_with_the_number_of_accesses():
    threads = [Thread(i, WatchedLaunch("k", "warn"), (i, 0, 0), f"pe{i}", {}) for i in range(3)]
    accesses = Accesses(VA, SIZE, ITEM, lambda *found: None)
    rng = random.Random(0)

    def blocks_after(n):
        for _ in range(n):
            thread, start = rng.choice(threads), rng.randrange(SIZE // ITEM)
            is_store = rng.random() < 0.3
            line = SourceLine("k.py", rng.randrange(4))
            accesses.note(
                Lanes(start * ITEM, ITEM, ()), thread.epoch, line, 0, is_store=is_store, changed=is_store
            )

        gc.collect()
        return sys.getallocatedblocks()

    none, first, second = blocks_after(0), blocks_after(8192), blocks_after(24576)
    assert second - none < 2 * (first - none)
