# cython: boundscheck=False, wraparound=False
"""The priority queue of the calendar, as in heap.py: its keys are numbers of C, and its entries stay where they are."""

from libc.stdlib cimport free, realloc


cdef inline bint is_before(Key* a, Key* b) noexcept:
    if a.time_ps != b.time_ps:
        return a.time_ps < b.time_ps
    if a.rank != b.rank:
        return a.rank < b.rank
    return a.sequence < b.sequence


cdef class Heap:
    """Entries that leave in their order, whatever the order in which they came."""

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

    cpdef push(self, tuple entry):
        """Add ``entry``."""
        cdef Key new, *keys
        cdef Py_ssize_t at = self.n, parent
        new.time_ps = entry[0]
        new.rank = entry[1]
        new.sequence = entry[2]
        if at == self.room:
            self.grow()
        keys = self.keys
        new.slot = keys[at].slot
        self.slots[new.slot] = entry
        while at > 0:
            parent = (at - 1) >> 1
            if not is_before(&new, &keys[parent]):
                break
            keys[at] = keys[parent]
            at = parent
        keys[at] = new
        self.n += 1

    cpdef tuple pop(self):
        """Take the first; IndexError if there is none."""
        cdef Py_ssize_t n = self.n - 1, at = 0, child, slot
        cdef Key last, *keys = self.keys
        if n < 0:
            raise IndexError("pop of an empty heap")
        slot = keys[0].slot
        last = keys[n]
        while True:
            child = 2 * at + 1
            if child >= n:
                break
            if child + 1 < n and is_before(&keys[child + 1], &keys[child]):
                child += 1
            if not is_before(&keys[child], &last):
                break
            keys[at] = keys[child]
            at = child
        keys[at] = last
        keys[n].slot = slot
        self.n = n
        entry = self.slots[slot]
        self.slots[slot] = None
        return <tuple>entry
