cdef class Transaction:
    cdef public object piece
    cdef public bint is_write
    cdef public long long memory
    cdef public long long requester
    cdef public long long size_bytes
    cdef public long long left_bytes
    cdef public long long burst_bytes
    cdef public object answered
    cdef public object tag
    cdef public object landed
    cdef public Transaction behind
    cdef public long long walk_ps
    cdef public long long issued_ps
    cdef public long long arrived_ps
    cdef public long long started_ps
    cdef public long long served_ps
