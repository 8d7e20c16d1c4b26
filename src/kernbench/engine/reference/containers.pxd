ctypedef struct Key:
    long long time_ps, rank, sequence
    Py_ssize_t slot

ctypedef struct Release:
    long long left, time_ps


cdef class Heap:
    cdef readonly long long time_ps
    cdef Key* keys
    cdef Py_ssize_t n, room
    cdef long long sequence
    cdef list slots  # of events: Python finds cycles through it

    cdef grow(self)
    cpdef push(self, long long time_ps, long long rank, event)
    cpdef pop(self)


cdef class Releases:
    cdef Release* ring
    cdef Py_ssize_t at, n, room

    cdef grow(self)
    cdef append(self, (long long, long long) release)
    cdef (long long, long long) first(self) noexcept
    cdef popleft(self)


cdef class Rows:
    cdef long long* numbers
    cdef Py_ssize_t n, room, n_views

    cdef add(
        self, long long node, long long op, long long program, long long command, long long tile, long long ready_ps,
        long long start_ps, long long end_ps, long long commit_ps, long long cause, long long version, long long va,
        long long size_bytes, long long work, tuple marks,
    )
