from kernbench.messages.commands cimport Command

cdef class LiveValue:
    cdef readonly object extents, line, operand, size_bytes

cdef class Scratch:
    cdef public object live_bytes, tcm_bytes
    cdef public dict live
    cdef list _holes

    cpdef admit(self, Command command)
