cdef class Row:
    cdef public long long number
