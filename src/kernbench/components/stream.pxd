cdef class Test:
    cdef public object version
    cdef public bint is_done
