cimport cython

from kernbench.messages.fabric cimport Transaction


cdef class Transfer:
    cdef public object token
    cdef public object stage
    cdef public bint is_chained
    cdef public long long begin_ps
    cdef public long long end_ps
    cdef public long long left_bytes
    cdef public Transaction last
    cdef public object answered

    cpdef count(self, long long size_bytes, long long end_ps)
    @cython.locals(spent=list, begins=tuple, transaction=Transaction, left_ps="long long", begin_ps="long long", phase=int)
    cpdef marks(self, long long start_ps, long long now_ps)


cdef class Channel:
    cdef public object dma
    cdef public object engine
    cdef public object inbox
    cdef public object in_flight
    cdef public object window
    cdef public object station
    cdef public long long n_open

    @cython.locals(transaction=Transaction, transfer=Transfer, size_bytes="long long", end_ps="long long")
    cpdef answered(self, chunk)
