cimport cython


cdef class OpLog:
    cdef public bint keep
    cdef readonly object lines
    cdef readonly Py_ssize_t first
    cdef public list values
    cdef bytearray _open
    cdef list _rows
    cdef object _instant_ps
    cdef list _blocks
    cdef object _sha
    cdef Py_ssize_t _n_rows
    cdef Py_ssize_t _n_values
    cdef object _drain

    cpdef commit(self, commit_ps, node, seq, pe, command)
    cpdef _close(self)
