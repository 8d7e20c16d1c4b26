ctypedef struct Key:
    long long time_ps
    long long rank
    long long sequence
    Py_ssize_t slot


cdef class Heap:
    cdef Key* keys
    cdef Py_ssize_t n, room
    cdef list slots  # of entries: Python finds cycles through it

    cdef grow(self)
    cpdef push(self, tuple entry)
    cpdef tuple pop(self)
