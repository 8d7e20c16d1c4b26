cdef class Transaction:
    cdef public object piece, answered, tag, landed
    cdef public bint is_write
    cdef public long long memory, requester, size_bytes, left_bytes, burst_bytes
    cdef public long long walk_ps, issued_ps, arrived_ps, started_ps, served_ps
    cdef public Transaction behind
