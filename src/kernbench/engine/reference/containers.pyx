# cython: boundscheck=False, wraparound=False, overflowcheck=False
"""The containers of an engine, as in containers.py, with numbers of C in them that are no Python objects."""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport free, realloc

N_COLUMNS = 19


cdef inline bint is_before(Key* a, Key* b) noexcept:
    if a.time_ps != b.time_ps:
        return a.time_ps < b.time_ps
    if a.rank != b.rank:
        return a.rank < b.rank
    return a.sequence < b.sequence


cdef class Heap:
    """Events that leave by their time, then by rank, then as they came; ``time_ps`` is that of the last that left."""

    def __cinit__(self):
        self.slots = []

    def __dealloc__(self):
        free(self.keys)

    cdef grow(self):
        cdef Py_ssize_t room = 2 * self.room or 64
        cdef Key* keys = <Key*>realloc(self.keys, room * sizeof(Key))
        if keys is NULL:
            raise MemoryError
        self.keys = keys
        # Each key has a slot, which moves with it: those behind the last key are free.
        for slot in range(self.room, room):
            keys[slot].slot = slot
            self.slots.append(None)
        self.room = room

    cpdef push(self, long long time_ps, long long rank, event):
        """Add ``event``."""
        cdef Key new, *keys
        cdef Py_ssize_t at = self.n, parent
        if at == self.room:
            self.grow()
        keys = self.keys
        self.sequence += 1
        new.time_ps = time_ps
        new.rank = rank
        new.sequence = self.sequence
        new.slot = keys[at].slot
        self.slots[new.slot] = event
        while at > 0:
            parent = (at - 1) >> 1
            if not is_before(&new, &keys[parent]):
                break
            keys[at] = keys[parent]
            at = parent
        keys[at] = new
        self.n += 1

    cpdef pop(self):
        """Take the first; None if there is none."""
        cdef Py_ssize_t n = self.n - 1, at = 0, child, slot
        cdef Key last, *keys = self.keys
        if n < 0:
            return None
        self.time_ps = keys[0].time_ps
        slot = keys[0].slot
        last = keys[n]
        # Down along the lesser children, then the last one up from there: it belongs low, and so needs fewer looks.
        child = 1
        while child < n:
            child += child + 1 < n and is_before(&keys[child + 1], &keys[child])
            keys[at] = keys[child]
            at = child
            child = 2 * at + 1
        while at > 0 and is_before(&last, &keys[(at - 1) >> 1]):
            keys[at] = keys[(at - 1) >> 1]
            at = (at - 1) >> 1
        keys[at] = last
        keys[n].slot = slot
        self.n = n
        event = self.slots[slot]
        self.slots[slot] = None
        return event


cdef class Releases:
    """First in, first out: ``(left, time_ps)``."""

    def __dealloc__(self):
        free(self.ring)

    def __len__(self):
        return self.n

    cdef grow(self):
        cdef Py_ssize_t i, room = 2 * self.room or 4
        cdef Release* ring = <Release*>realloc(self.ring, room * sizeof(Release))
        if ring is NULL:
            raise MemoryError
        # What had gone round to the beginning goes on behind the old end.
        for i in range(self.at):
            ring[self.room + i] = ring[i]
        self.ring = ring
        self.room = room

    cdef append(self, (long long, long long) release):
        """Add ``release`` as the last."""
        if self.n == self.room:
            self.grow()
        cdef Release* last = &self.ring[(self.at + self.n) & (self.room - 1)]
        last.left, last.time_ps = release
        self.n += 1

    cdef (long long, long long) first(self) noexcept:
        """The first; (-1, 0) if there is none."""
        if self.n == 0:
            return -1, 0
        return self.ring[self.at].left, self.ring[self.at].time_ps

    cdef popleft(self):
        """Drop the first."""
        self.at = (self.at + 1) & (self.room - 1)
        self.n -= 1


cdef class Rows:
    """Rows of the op log, one behind the other: numbers of 64 bits, which numpy sees without a copy."""

    def __dealloc__(self):
        free(self.numbers)

    def __len__(self):
        return self.n * sizeof(long long)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.numbers, self.n * sizeof(long long), 1, flags)
        self.n_views += 1

    def __releasebuffer__(self, Py_buffer* buffer):
        self.n_views -= 1

    cdef add(
        self, long long node, long long op, long long program, long long command, long long tile, long long ready_ps,
        long long start_ps, long long end_ps, long long commit_ps, long long cause, long long version, long long va,
        long long size_bytes, long long work, tuple marks,
    ):
        """Add one."""
        cdef Py_ssize_t room, i
        cdef long long* row
        if self.n + 19 > self.room:
            if self.n_views:
                raise BufferError("rows are looked at")
            room = 2 * self.room or 19 << 6
            row = <long long*>realloc(self.numbers, room * sizeof(long long))
            if row is NULL:
                raise MemoryError
            self.numbers = row
            self.room = room
        row = &self.numbers[self.n]
        row[0], row[1], row[2], row[3], row[4] = node, op, program, command, tile
        row[5], row[6], row[7], row[8], row[9] = ready_ps, start_ps, end_ps, commit_ps, cause
        row[10], row[11], row[12], row[13] = version, va, size_bytes, work
        for i in range(5):
            row[14 + i] = marks[i]
        self.n += 19
