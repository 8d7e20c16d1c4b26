from kernbench.messages.oplog cimport Row


cdef class Issued:
    cdef readonly object command
    cdef readonly Row record
    cdef readonly long long issued_ps
