cdef class Value:
    cdef public object program, version
