from kernbench.components.accumulators cimport AccumulatorFile


cdef class Needs:
    cdef readonly object command
    cdef readonly dict after
    cdef public dict behind

    cpdef in_tcm(self, operand, AccumulatorFile acc_state)
