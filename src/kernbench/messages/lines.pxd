from kernbench.messages.commands cimport Command, DmaReadCmd, DmaWriteCmd, GemmCmd, MathCmd

cdef class PeLines:
    cdef public long long first
    cdef public list lines, ops
    cdef public set products
    cdef public long long short_bytes

    cpdef note(self, Command command)
    cdef _op_of(self, Command command)
    cdef bint _adds_product(self, command)
